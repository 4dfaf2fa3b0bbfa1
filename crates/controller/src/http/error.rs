//! The one place that turns what went wrong into `application/problem+json` (RFC 9457).
//!
//! A refusal travels through the layers as a [`Problem`] in the response's extensions;
//! `envelope` adds the request id and writes the body. So the refusals of extractors, handlers and
//! layers all look the same.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use headworks_types::{Problem, ProblemCode, ProblemField};

use crate::app;

/// A request is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    problem: Box<Problem>,
    /// In how many seconds it may be tried again.
    retry_after: Option<u32>,
}

/// The result of a handler.
pub(crate) type Result<T> = std::result::Result<T, Refusal>;

impl Refusal {
    /// Refuses with this code and these words.
    pub(crate) fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Problem::new(code).with_detail(detail).into()
    }

    /// A query parameter is not understood.
    pub(crate) fn parameter(name: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let errors = vec![ProblemField {
            pointer: format!("/{name}"),
            detail: detail.clone(),
        }];
        let problem = Problem::new(ProblemCode::Malformed)
            .with_detail(format!("query parameter `{name}`: {detail}"));
        problem.with_errors(errors).into()
    }

    /// The body is not JSON of the expected shape at `pointer`.
    pub(crate) fn body(pointer: String, detail: String) -> Self {
        let problem = Problem::new(ProblemCode::Malformed)
            .with_detail("the body is not JSON of the expected shape");
        problem
            .with_errors(vec![ProblemField { pointer, detail }])
            .into()
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self {
            problem: Box::new(problem),
            retry_after: None,
        }
    }
}

impl From<app::Error> for Refusal {
    fn from(error: app::Error) -> Self {
        let problem = problem(&error);
        if problem.status >= 500 {
            let cause = &error as &(dyn std::error::Error + 'static);
            match error {
                app::Error::Unavailable(_) => {
                    tracing::warn!(error = cause, "database is not available");
                }
                app::Error::NotNow(_) => tracing::warn!(error = cause, "request not taken"),
                app::Error::NoPicture(_) => tracing::debug!(error = cause, "camera not shown"),
                app::Error::NoRoom(_) => tracing::warn!(error = cause, "viewer turned away"),
                app::Error::Full { what, .. } => tracing::error!(error = cause, "{what}"),
                _ => tracing::error!(error = cause, "request failed"),
            }
        }
        let retry_after = match error {
            app::Error::TooMany { retry_after } => Some(retry_after),
            _ => None,
        };
        Self {
            problem: Box::new(problem),
            retry_after,
        }
    }
}

/// The reads of handlers go to the database directly.
impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        app::Error::from(error).into()
    }
}

/// What the client is told of an error.
pub(crate) fn problem(error: &app::Error) -> Problem {
    let code = match error {
        app::Error::Unauthenticated(_) => ProblemCode::Unauthenticated,
        app::Error::PasswordChangeRequired => ProblemCode::PasswordChangeRequired,
        app::Error::TooMany { .. } => ProblemCode::TooManyRequests,
        app::Error::Forbidden(_) => ProblemCode::Forbidden,
        app::Error::NotFound(_) => ProblemCode::NotFound,
        app::Error::Conflict(_) => ProblemCode::Conflict,
        app::Error::Invalid(_) => ProblemCode::Invalid,
        app::Error::Changed { .. } => ProblemCode::PreconditionFailed,
        app::Error::KeyReused => ProblemCode::IdempotencyKeyReused,
        app::Error::Unavailable(_) | app::Error::NotNow(_) | app::Error::Full { .. } => {
            ProblemCode::Unavailable
        }
        app::Error::NoPicture(_) => ProblemCode::NoPicture,
        app::Error::NoRoom(_) => ProblemCode::Full,
        app::Error::Internal(_) => ProblemCode::Internal,
    };
    let problem = Problem::new(code).with_detail(error.to_string());
    match error {
        app::Error::Invalid(fields) => problem.with_errors(fields.clone()),
        _ => problem,
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self {
            problem,
            retry_after,
        } = self;
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"headworks\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(*problem);
        response
    }
}
