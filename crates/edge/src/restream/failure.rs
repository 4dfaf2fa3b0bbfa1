//! Why a push does not get through, in words that help whoever looks after it.

use std::{io, time::Duration};

use super::sign::SignError;
use crate::ingest;

/// Why a push does not get through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("connection refused")]
    Refused,
    #[error("host name does not resolve")]
    Unresolved,
    #[error("no route to host")]
    Unreachable,
    #[error("target does not answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    #[error("target takes nothing for {} s", .0.as_secs_f64())]
    Stalled(Duration),
    #[error("target is too slow: it fell behind the camera {0} times within a minute")]
    TooSlow(usize),
    #[error("target refuses the stream: {0}")]
    Rejected(String),
    #[error("target closed the connection{}", reason(.0.as_deref()))]
    Closed(Option<String>),
    #[error("the target's certificate is not good: {0}; tls_verify = false takes any")]
    Certificate(String),
    #[error("target breaks the protocol: {0}")]
    Protocol(String),
    #[error("{0}")]
    Codec(String),
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error("{0}")]
    Url(String),
    #[error("{0}")]
    Encoder(String),
    #[error("the right to push has run out")]
    Fenced,
    #[error("an internal error; the log says more")]
    Internal,
}

fn reason(text: Option<&str>) -> String {
    text.map_or_else(String::new, |text| format!(": {text}"))
}

impl From<&io::Error> for Failure {
    /// Why connecting, reading or writing failed.
    fn from(error: &io::Error) -> Self {
        ingest::Failure::of(error).into()
    }
}

impl From<ingest::Failure> for Failure {
    /// Of what is done with cameras and targets alike.
    fn from(failure: ingest::Failure) -> Self {
        use ingest::Failure as Camera;
        match failure {
            Camera::Refused => Self::Refused,
            Camera::Unresolved => Self::Unresolved,
            Camera::Unreachable => Self::Unreachable,
            Camera::Timeout(limit) => Self::Timeout(limit),
            Camera::Closed => Self::Closed(None),
            Camera::Certificate(why) => Self::Certificate(why),
            Camera::Protocol(why) => Self::Protocol(why),
            Camera::ClosedAddress(closed) => Self::Url(closed.to_string()),
            Camera::Internal => Self::Internal,
            other => Self::Protocol(other.to_string()),
        }
    }
}
