//! Errors as every Headworks server reports them: problem+json (RFC 9457).

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An error, `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:headworks:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the code means, the same for every occurrence.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// For programs to switch on; stable.
    pub code: ProblemCode,
    /// What is wrong this time, for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    /// What is wrong with the request body, where that is the problem.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub errors: Vec<ProblemField>,
    /// Find the request in the logs by this.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<String>,
}

/// Something wrong at one place of a request body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemField {
    /// Where, as JSON pointer (RFC 6901).
    pub pointer: String,
    /// What.
    pub detail: String,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:literal, $title:literal;)+) => {
        /// What can go wrong. Each code belongs to one HTTP status.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum ProblemCode {
            $($(#[$doc])* $name,)+
        }

        impl ProblemCode {
            /// Every code there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The HTTP status that goes with it.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }

            /// What it means in a few words.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }
        }
    };
}

codes! {
    /// The body is not JSON of the expected shape, or a query or path parameter does not parse.
    Malformed = 400, "The request cannot be understood";
    /// The body parses, but what it says is not allowed; `errors` tells where.
    Invalid = 422, "The request is not valid";
    /// No credential, or one that is not known, expired or revoked.
    Unauthenticated = 401, "A valid credential is needed";
    /// The password is right, but somebody else has chosen it: sign in with a `new_password`.
    PasswordChangeRequired = 403, "A new password must be chosen";
    /// The credential is good but does not allow this.
    Forbidden = 403, "Not allowed";
    /// No such thing, or the caller may not know of it.
    NotFound = 404, "Not found";
    /// The path exists, but not with this method.
    MethodNotAllowed = 405, "This method is not allowed here";
    /// Something with this name, `external_id` or state is there already.
    Conflict = 409, "In conflict with what is there";
    /// The thing has changed since the `ETag` that was sent in `If-Match`.
    PreconditionFailed = 412, "Changed in the meantime";
    /// The request body is too large.
    TooLarge = 413, "The request is too large";
    /// The body is not `application/json`.
    UnsupportedMediaType = 415, "The body must be application/json";
    /// This `Idempotency-Key` was used with another request.
    IdempotencyKeyReused = 422, "The idempotency key belongs to another request";
    /// As many watch as may at once: with this token, this camera, or on this edge.
    SessionLimit = 429, "Too many watch at once";
    /// Too many attempts; `Retry-After` says when the next one is taken.
    TooManyRequests = 429, "Too many requests";
    /// The camera is not on this edge.
    Misdirected = 421, "The camera is on another node";
    /// The camera gives no picture now; `detail` says why.
    NoPicture = 503, "The camera gives no picture";
    /// No edge has room for another viewer; `detail` says what each of them lacks.
    Full = 503, "No edge has room";
    /// The database or something else that is needed is away; try again.
    Unavailable = 503, "Not available at the moment";
    /// A bug or an unforeseen state; the logs say more.
    Internal = 500, "Something went wrong here";
}

impl Problem {
    /// A problem with the code's title and status.
    #[must_use]
    pub fn new(code: ProblemCode) -> Self {
        Self {
            kind: format!("urn:headworks:problem:{code}"),
            title: code.title().to_owned(),
            status: code.status(),
            code,
            detail: None,
            errors: Vec::new(),
            request_id: None,
        }
    }

    /// Says what is wrong this time.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Says where the body is wrong.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<ProblemField>) -> Self {
        self.errors = errors;
        self
    }
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail.as_deref().unwrap_or(&self.title))?;
        for field in &self.errors {
            write!(f, "\n  {}: {}", field.pointer, field.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_named_as_on_the_wire() {
        for code in ProblemCode::ALL {
            let json = serde_json::to_string(code).expect("serializes");
            assert_eq!(json, format!("\"{code}\""));
            assert!((400..600).contains(&code.status()));
        }
    }
}
