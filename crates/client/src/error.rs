//! What can go wrong with a call.

use std::error::Error as _;

use headworks_types::{Problem, ProblemCode};

/// What can go wrong with a call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server answered with an error of its own.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// The server did not answer in time.
    #[error("{url} did not answer in time")]
    Timeout {
        /// Base URL of the server.
        url: String,
    },
    /// The server could not be reached, or the connection broke.
    #[error("cannot reach {url}: {cause}")]
    Unreachable {
        /// Base URL of the server.
        url: String,
        /// The innermost cause, e.g. `connection refused`.
        cause: String,
        /// The whole story.
        #[source]
        source: reqwest::Error,
    },
    /// The answer is not what the API promises; something else listens there perhaps.
    #[error("{url} gave an answer that is not Headworks' (HTTP {status}): {detail}")]
    Unexpected {
        /// Base URL of the server.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What does not fit.
        detail: String,
    },
    /// The call cannot be sent as it is.
    #[error("{0}")]
    Request(String),
}

impl Error {
    /// The problem's code, if the server answered with one.
    #[must_use]
    pub fn code(&self) -> Option<ProblemCode> {
        match self {
            Self::Problem(problem) => Some(problem.code),
            _ => None,
        }
    }

    /// True if the same call may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Unreachable { .. } => true,
            Self::Problem(problem) => problem.status >= 500,
            Self::Unexpected { status, .. } => *status >= 500,
            Self::Request(_) => false,
        }
    }

    pub(crate) fn from_transport(url: &str, source: reqwest::Error) -> Self {
        let url = url.to_owned();
        if source.is_timeout() {
            return Self::Timeout { url };
        }
        if source.is_builder() {
            return Self::Request(format!("the request cannot be made: {source}"));
        }
        let source = source.without_url();
        let mut cause = source.to_string();
        let mut inner = source.source();
        while let Some(error) = inner {
            cause = error.to_string();
            inner = error.source();
        }
        Self::Unreachable { url, cause, source }
    }
}
