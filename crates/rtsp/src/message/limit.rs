//! How far a byte stream is followed, and why it is not followed further.

/// What a peer may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest line of a message's head, in bytes. Long enough for a token in a URL.
    pub line: usize,
    /// The most header lines.
    pub headers: usize,
    /// The largest body, in bytes.
    pub body: usize,
    /// The largest packet in a frame, in bytes.
    pub frame: usize,
    /// The most bytes in a row that are neither a message nor a frame.
    pub garbage: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: 8 << 10,
            headers: 48,
            body: 64 << 10,
            frame: u16::MAX as usize,
            garbage: 64 << 10,
        }
    }
}

/// Why the bytes cannot be read on. Offsets count from the start of the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The first bytes are of something else.
    #[error("not RTSP: looks like {looks_like} ({head:?})")]
    NotRtsp {
        /// What it is.
        looks_like: &'static str,
        /// Its first bytes.
        head: String,
    },
    /// No end of line within the limit.
    #[error("byte {offset}: expected the end of a line within {limit} bytes")]
    LineTooLong {
        /// Where the line begins.
        offset: u64,
        /// Bytes.
        limit: usize,
    },
    /// No empty line within the limit.
    #[error("byte {offset}: expected the end of the head within {limit} header lines")]
    TooManyHeaders {
        /// Where the head begins.
        offset: u64,
        /// Lines.
        limit: usize,
    },
    /// `Content-Length` is not a number.
    #[error("byte {offset}: expected a number of bytes as Content-Length, found {found:?}")]
    BadLength {
        /// Where the message begins.
        offset: u64,
        /// What it says.
        found: String,
    },
    /// The body is larger than allowed.
    #[error("byte {offset}: a body of {length} bytes, expected at most {limit}")]
    BodyTooLarge {
        /// Where the body begins.
        offset: u64,
        /// Bytes.
        length: u64,
        /// Bytes.
        limit: usize,
    },
    /// The frame is larger than allowed.
    #[error(
        "byte {offset}: a frame of {length} bytes on channel {channel}, expected at most {limit}"
    )]
    FrameTooLarge {
        /// Where the frame begins.
        offset: u64,
        /// Its channel.
        channel: u8,
        /// Bytes.
        length: usize,
        /// Bytes.
        limit: usize,
    },
    /// Too much between two messages that is neither message nor frame.
    #[error("byte {offset}: {bytes} bytes of garbage, expected a message or a frame")]
    Garbage {
        /// Where the garbage begins.
        offset: u64,
        /// How long it is.
        bytes: usize,
    },
}

impl Error {
    /// What a server answers.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::NotRtsp { looks_like, .. } if *looks_like == RTSP_2 => 505,
            _ => 400,
        }
    }
}

/// RFC 7826.
const RTSP_2: &str = "RTSP 2.0";

/// What was passed over between messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// How often.
    pub times: u64,
    /// How many bytes in all.
    pub bytes: u64,
}

/// Names what the first bytes of a connection are instead.
pub(super) fn not_rtsp(bytes: &[u8]) -> Error {
    let contains = |word: &[u8]| bytes.windows(word.len()).take(256).any(|w| w == word);
    let looks_like = match bytes {
        [0x16, 3, ..] => "TLS",
        [3, ..] => "RTMP",
        _ if contains(b"HTTP/1.") => "HTTP",
        _ if contains(b"RTSP/2.") => RTSP_2,
        _ if bytes.starts_with(b"SSH-") => "SSH",
        _ => "something else",
    };
    Error::NotRtsp {
        looks_like,
        head: String::from_utf8_lossy(&bytes[..bytes.len().min(32)]).into_owned(),
    }
}
