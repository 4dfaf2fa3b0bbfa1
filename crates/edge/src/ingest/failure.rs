//! Why a camera gives no picture, in words that help whoever looks after it.

use std::{io, time::Duration};

/// Why a camera gives no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("connection refused")]
    Refused,
    #[error("host name does not resolve")]
    Unresolved,
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
    #[error("camera's certificate is not trusted: {0}")]
    Certificate(String),
    #[error("answer is not FLV")]
    NotFlv,
    #[error("{0}")]
    Url(String),
    #[error("{0} from camera: {1}")]
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
    #[error("an internal error; the log says more")]
    Internal,
}

impl Failure {
    /// What a session's error means. retina's errors are opaque, so that its text has to do; the
    /// operating system's error number stands in it.
    pub(super) fn from_retina(error: &retina::Error, has_credentials: bool) -> Self {
        let text = error.to_string();
        // What comes after the first line is for people with Wireshark.
        let line = text.lines().next().unwrap_or_default();
        if let Some(status) = error.status_code() {
            return match status {
                401 if has_credentials => Self::WrongCredentials,
                401 => Self::NoCredentials,
                403 => Self::Forbidden,
                404 => Self::NoSuchPath,
                200 => Self::Protocol(reason(line)),
                status => Self::Status(status, reason(line)),
            };
        }
        if text.contains("failed to lookup address") {
            return Self::Unresolved;
        }
        if let Some(failure) = os_error(line).and_then(Self::from_os) {
            return failure;
        }
        if line.contains("EOF") || line.contains("eof") {
            return Self::Closed;
        }
        Self::Protocol(line.to_owned())
    }

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

/// The number in `… (os error 111)`.
fn os_error(line: &str) -> Option<i32> {
    let (_, rest) = line.rsplit_once("(os error ")?;
    rest.split(')').next()?.parse().ok()
}

/// The part after `503 Service Unavailable response to DESCRIBE CSeq=1: `.
fn reason(line: &str) -> String {
    let (_, rest) = line.split_once(": ").unwrap_or(("", line));
    rest.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_errors_are_found_in_text() {
        let line = "Unable to connect to RTSP server: Connection refused (os error 111)";
        assert_eq!(
            os_error(line).and_then(Failure::from_os),
            Some(Failure::Refused)
        );
        assert_eq!(
            os_error("No route to host (os error 113)").and_then(Failure::from_os),
            Some(Failure::Unreachable)
        );
        assert_eq!(os_error("no number here"), None);
    }

    #[test]
    fn durations_read_as_people_say_them() {
        let failure = Failure::NoVideo(Duration::from_secs(10));
        assert_eq!(failure.to_string(), "no video for 10 s");
    }
}
