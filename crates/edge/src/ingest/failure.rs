//! Why a camera gives no picture, in words that help whoever looks after it.

use std::{io, time::Duration};

use headworks_hls::source;

use crate::outbound::{self, Redirect};

/// Why a camera gives no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("connection refused")]
    Refused,
    #[error("host name does not resolve")]
    Unresolved,
    #[error("{0}")]
    ClosedAddress(outbound::Closed),
    #[error("no route to host")]
    Unreachable,
    #[error("camera does not answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    #[error("401 from camera: wrong user name or password")]
    WrongCredentials,
    #[error("401 from camera: it asks for a user name and password")]
    NoCredentials,
    #[error("403 from camera: this user may not watch")]
    Forbidden,
    #[error("404 from camera: no such path")]
    NoSuchPath,
    #[error("camera has no such stream")]
    NoSuchStream,
    #[error("camera refuses: {0}")]
    Rejected(String),
    #[error("camera's certificate is not trusted: {0}; tls_verify = false takes any")]
    Certificate(String),
    #[error("answer is not FLV")]
    NotFlv,
    #[error("{0}")]
    Redirect(Redirect),
    #[error("{0}")]
    Url(String),
    #[error("{status} from camera: {reason}", status = .0, reason = reason(*.0, .1))]
    Status(u16, String),
    #[error("camera has no video track")]
    NoVideoTrack,
    #[error("unsupported codec {0}")]
    Codec(String),
    #[error("no video for {} s", .0.as_secs_f64())]
    NoVideo(Duration),
    #[error("camera has ended the stream")]
    Ended,
    #[error("camera closed the connection")]
    Closed,
    #[error("camera breaks the protocol: {0}")]
    Protocol(String),
    #[error("{0}")]
    Because(String),
    #[error("an internal error; the log says more")]
    Internal,
}

/// A redirect is only seen if it was not followed.
fn reason(status: u16, words: &str) -> &str {
    match status {
        300..400 => "it redirects too often, or to an address that is not followed",
        _ => words,
    }
}

impl Failure {
    /// What an error number of the operating system means.
    pub(super) fn from_os(number: i32) -> Option<Self> {
        use io::ErrorKind as Kind;
        match io::Error::from_raw_os_error(number).kind() {
            Kind::ConnectionRefused => Some(Self::Refused),
            Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => {
                Some(Self::Unreachable)
            }
            Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => {
                Some(Self::Closed)
            }
            Kind::TimedOut => Some(Self::Unreachable),
            _ => None,
        }
    }
}

impl From<outbound::Error> for Failure {
    fn from(error: outbound::Error) -> Self {
        match error {
            outbound::Error::Unresolved => Self::Unresolved,
            outbound::Error::Closed(closed) => closed.into(),
            outbound::Error::Io(error) => Self::of(&error),
        }
    }
}

impl From<outbound::Closed> for Failure {
    fn from(closed: outbound::Closed) -> Self {
        Self::ClosedAddress(closed)
    }
}

impl From<source::Error> for Failure {
    fn from(error: source::Error) -> Self {
        match error {
            source::Error::NoPicture => Self::NoVideoTrack,
            source::Error::Unsupported(why) => Self::Because(why.to_owned()),
            source::Error::Broken(_) => Self::Protocol(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_are_said_in_words() {
        let words = |number| Failure::from_os(number).map(|failure| failure.to_string());
        assert_eq!(words(111).as_deref(), Some("connection refused"));
        assert_eq!(words(113).as_deref(), Some("no route to host"));
        assert_eq!(words(104).as_deref(), Some("camera closed the connection"));
        assert_eq!(words(22), None);
    }

    #[test]
    fn a_redirect_is_told_as_what_it_is() {
        let words = |status, reason: &str| Failure::Status(status, reason.to_owned()).to_string();
        assert_eq!(words(500, "Oops"), "500 from camera: Oops");
        assert!(words(302, "Found").starts_with("302 from camera: it redirects too often"));
    }

    #[test]
    fn durations_read_as_people_say_them() {
        let failure = Failure::NoVideo(Duration::from_secs(10));
        assert_eq!(failure.to_string(), "no video for 10 s");
    }
}
