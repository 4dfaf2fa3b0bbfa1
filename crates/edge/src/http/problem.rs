//! How viewers are refused: problem+json (RFC 9457).

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use headworks_types::{Problem, ProblemCode};
use url::Url;

use crate::{
    access::Denied,
    hub::{NoPicture, Stream},
};

/// When to ask again for a camera that gives no picture or has too many viewers, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// A request that is not answered with what was asked for.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is refused.
    Problem(Box<Problem>),
    /// Another edge should be asked. Its address has the token in it.
    Elsewhere(HeaderValue),
}

impl Refusal {
    pub(super) fn new(code: ProblemCode) -> Self {
        Problem::new(code).into()
    }

    /// The viewer should go there.
    pub(super) fn elsewhere(url: &Url) -> Self {
        match HeaderValue::from_str(url.as_str()) {
            Ok(mut location) => {
                location.set_sensitive(true);
                Self::Elsewhere(location)
            }
            Err(_) => Self::new(ProblemCode::Internal),
        }
    }

    /// Nobody can be served now, for a reason in words.
    pub(super) fn unavailable(why: &str) -> Self {
        Problem::new(ProblemCode::Unavailable)
            .with_detail(why)
            .into()
    }

    /// The request cannot be understood; `why` says so to people.
    pub(super) fn malformed(why: &str) -> Self {
        Problem::new(ProblemCode::Malformed).with_detail(why).into()
    }

    /// The camera gives no picture, in its own words.
    pub(super) fn no_picture(stream: &Stream) -> Self {
        NoPicture::Because(stream.status().message).into()
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        denied.problem().into()
    }
}

impl From<NoPicture> for Refusal {
    fn from(reason: NoPicture) -> Self {
        let problem = match reason {
            NoPicture::Ended => Problem::new(ProblemCode::Misdirected),
            NoPicture::Because(words) => Problem::new(ProblemCode::NoPicture).with_detail(words),
        };
        problem.into()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = match self {
            Self::Problem(problem) => problem,
            Self::Elsewhere(url) => {
                return (StatusCode::FOUND, [(header::LOCATION, url)]).into_response();
            }
        };
        let status = StatusCode::from_u16(problem.status);
        let mut response = (
            status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            [(header::CONTENT_TYPE, "application/problem+json")],
            serde_json::to_vec(&problem).unwrap_or_default(),
        )
            .into_response();
        match problem.code {
            ProblemCode::Unauthenticated => {
                let bearer = HeaderValue::from_static("Bearer");
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, bearer);
            }
            ProblemCode::NoPicture
            | ProblemCode::Unavailable
            | ProblemCode::SessionLimit
            | ProblemCode::TooManyRequests => {
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_too_many_is_told_when_to_come_back() {
        for (code, status) in [
            (ProblemCode::SessionLimit, 429),
            (ProblemCode::TooManyRequests, 429),
            (ProblemCode::NoPicture, 503),
        ] {
            let answer = Refusal::new(code).into_response();
            assert_eq!(answer.status().as_u16(), status);
            assert_eq!(answer.headers()[header::RETRY_AFTER], "5");
        }
        let other = Refusal::new(ProblemCode::Forbidden).into_response();
        assert!(!other.headers().contains_key(header::RETRY_AFTER));
    }
}
