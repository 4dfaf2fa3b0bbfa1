//! Session descriptions (RFC 8866) as RTSP uses them (RFC 2326 appendix C).
//!
//! Own parser, since sdp-types (like the RFC) insists on an order of lines and on fields that
//! cameras leave out. Here every line stands for itself, and one that makes no sense is passed
//! over; a description without any media is the only error.

use std::fmt;

mod parse;
mod write;

/// The largest description that is read, in bytes.
pub const LONGEST: usize = 64 << 10;
/// The most media of a description.
pub const MOST_MEDIA: usize = 32;
/// The most other attributes that are kept of a description and of each media.
pub const MOST_ATTRIBUTES: usize = 64;
/// The most payload types of a media.
pub const MOST_FORMATS: usize = 32;

/// Why a text is no description.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not one `m=` line.
    #[error("expected a session description, found no m= line in {length} bytes: {head:?}")]
    NoMedia {
        /// Bytes.
        length: usize,
        /// Its begin.
        head: String,
    },
    /// Larger than [`LONGEST`].
    #[error("a session description of {length} bytes, expected at most {LONGEST}")]
    TooLong {
        /// Bytes.
        length: usize,
    },
    /// More than [`MOST_MEDIA`].
    #[error("byte {offset}: expected at most {MOST_MEDIA} m= lines")]
    TooManyMedia {
        /// Where the first one too many begins.
        offset: usize,
    },
}

/// Who sends, as the one sees it who asked for the description (RFC 7826 appendix D.1.4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Direction {
    /// Nothing was said, or both.
    #[default]
    SendRecv,
    /// The client would send: a back channel (ONVIF streaming specification §5.3).
    SendOnly,
    /// The server sends.
    RecvOnly,
    /// Nobody.
    Inactive,
}

/// What a media carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Metadata, subtitles and all others.
    Other(String),
}

/// A session description.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// The session's name (`s=`).
    pub name: String,
    /// Where the whole is controlled.
    pub control: Option<String>,
    /// What of time there is (`npt=0-` for live).
    pub range: Option<String>,
    /// The session's direction, which media without one inherit.
    pub direction: Direction,
    /// Other attributes of the session: name and value.
    pub attributes: Vec<(String, String)>,
    /// The tracks.
    pub media: Vec<Media>,
}

/// One track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// What it carries.
    pub kind: Kind,
    /// 0 where RTSP chooses it.
    pub port: u16,
    /// `RTP/AVP` mostly.
    pub protocol: String,
    /// Its payload types; the first is what is sent unless told otherwise.
    pub formats: Vec<Format>,
    /// Where it is controlled.
    pub control: Option<String>,
    /// Who sends.
    pub direction: Direction,
    /// `b=AS:`, kbit/s.
    pub bandwidth: Option<u32>,
    /// Other attributes: name and value.
    pub attributes: Vec<(String, String)>,
}

/// One payload type of a track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// In the RTP header.
    pub payload_type: u8,
    /// The encoding's name in upper case, `H264` say; empty if nobody told.
    pub codec: String,
    /// Ticks of RTP time in a second; 0 if nobody told.
    pub clock_rate: u32,
    /// Of sound; `None` if not told, which means one.
    pub channels: Option<u8>,
    /// The codec's parameters.
    pub fmtp: Fmtp,
}

/// A codec's parameters: `name=value; name=value`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fmtp(pub String);

impl Fmtp {
    /// The value of `name`, which compares without regard to case; empty if it has none.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Names and values in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .split(';')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| {
                // Base64 in the value may end in `=`.
                let (name, value) = part.split_once('=').unwrap_or((part, ""));
                (name.trim(), value.trim())
            })
    }
}

impl Format {
    /// A payload type as an `a=rtpmap` tells it.
    #[must_use]
    pub fn new(payload_type: u8, codec: &str, clock_rate: u32) -> Self {
        Self {
            payload_type,
            codec: codec.to_ascii_uppercase(),
            clock_rate,
            channels: None,
            fmtp: Fmtp::default(),
        }
    }

    /// The same with so many channels.
    #[must_use]
    pub fn with_channels(self, channels: u8) -> Self {
        Self {
            channels: Some(channels),
            ..self
        }
    }

    /// The same with parameters, as they stand after the payload type.
    #[must_use]
    pub fn with_fmtp(self, text: impl Into<String>) -> Self {
        Self {
            fmtp: Fmtp(text.into()),
            ..self
        }
    }

    /// What a payload type means that needs no `a=rtpmap` (RFC 3551 §6).
    fn fixed(payload_type: u8) -> Self {
        let (codec, clock_rate, channels) = match payload_type {
            0 => ("PCMU", 8000, Some(1)),
            3 => ("GSM", 8000, Some(1)),
            4 => ("G723", 8000, Some(1)),
            8 => ("PCMA", 8000, Some(1)),
            9 => ("G722", 8000, Some(1)),
            10 => ("L16", 44100, Some(2)),
            11 => ("L16", 44100, Some(1)),
            12 => ("QCELP", 8000, Some(1)),
            14 => ("MPA", 90000, None),
            15 => ("G728", 8000, Some(1)),
            18 => ("G729", 8000, Some(1)),
            26 => ("JPEG", 90000, None),
            28 => ("NV", 90000, None),
            31 => ("H261", 90000, None),
            32 => ("MPV", 90000, None),
            33 => ("MP2T", 90000, None),
            34 => ("H263", 90000, None),
            _ => ("", 0, None),
        };
        Self {
            channels,
            ..Self::new(payload_type, codec, clock_rate)
        }
    }
}

impl Media {
    /// A track of one payload type over RTP.
    #[must_use]
    pub fn new(kind: Kind, format: Format) -> Self {
        Self {
            kind,
            port: 0,
            protocol: "RTP/AVP".to_owned(),
            formats: vec![format],
            control: None,
            direction: Direction::default(),
            bandwidth: None,
            attributes: Vec::new(),
        }
    }

    /// The same, controlled at `control`.
    #[must_use]
    pub fn with_control(self, control: impl Into<String>) -> Self {
        Self {
            control: Some(control.into()),
            ..self
        }
    }

    /// The payload type that is sent.
    #[must_use]
    pub fn format(&self) -> Option<&Format> {
        self.formats.first()
    }

    /// True if a server that describes it sends it, over RTP. A back channel is not. Some servers
    /// call their pictures `sendonly`, but nobody has a back channel for pictures.
    #[must_use]
    pub fn is_playable(&self) -> bool {
        let sends = match self.direction {
            Direction::SendRecv | Direction::RecvOnly => true,
            Direction::SendOnly => self.kind == Kind::Video,
            Direction::Inactive => false,
        };
        let protocol = self.protocol.to_ascii_uppercase();
        sends && protocol.starts_with("RTP/AVP") && !self.formats.is_empty()
    }
}

impl Description {
    /// An empty session.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// Reads a description, forgiving what can be forgiven.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        parse::parse(text)
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Other(word) => word,
        })
    }
}

#[cfg(test)]
mod tests;
