//! Why somebody may not publish.

use headworks_types::StreamKeyId;

/// Why somebody may not publish. The texts are for the publisher: they help an honest one, and do
/// not tell a stranger which cameras exist, nor a thief what a key is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("add the stream key: ?key=hwsk_…")]
    NoKey,
    #[error("this stream key is not valid for this camera here")]
    WrongKey,
    #[error("this stream key is not valid for this camera here")]
    UnknownCamera,
    #[error("this address names no camera; use the address that the API gives")]
    NotACamera,
    #[error("this stream key has expired")]
    Expired(StreamKeyId),
    #[error("this stream key is not valid for this camera here")]
    Network(StreamKeyId),
    #[error("this stream key is not valid for this camera here")]
    Protocol(StreamKeyId),
    #[error("too much was sent with this stream key; wait ten seconds, and send less")]
    TooFast(StreamKeyId),
    #[error("somebody else is publishing this camera")]
    Taken(StreamKeyId),
}

impl Denied {
    /// For the audit log.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::WrongKey => "wrong_key",
            Self::UnknownCamera => "unknown_camera",
            Self::NotACamera => "not_a_camera",
            Self::Expired(_) => "expired",
            Self::Network(_) => "wrong_network",
            Self::Protocol(_) => "wrong_protocol",
            Self::TooFast(_) => "too_fast",
            Self::Taken(_) => "taken",
        }
    }

    /// For the log, where the exact reason belongs.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::NoKey => "no stream key",
            Self::WrongKey => "a wrong, revoked or foreign stream key",
            Self::UnknownCamera => "no such published camera on this edge",
            Self::NotACamera => "the address names no camera",
            Self::Expired(_) => "the stream key has expired",
            Self::Network(_) => "the stream key is not for this network",
            Self::Protocol(_) => "the stream key is not for this protocol",
            Self::TooFast(_) => "more was sent than the stream key allows, a moment ago",
            Self::Taken(_) => "somebody else publishes, and the key does not take over",
        }
    }

    /// The key, where it was a true one.
    pub(crate) fn key(self) -> Option<StreamKeyId> {
        match self {
            Self::NoKey | Self::WrongKey | Self::UnknownCamera | Self::NotACamera => None,
            Self::Expired(key)
            | Self::Network(key)
            | Self::Protocol(key)
            | Self::TooFast(key)
            | Self::Taken(key) => Some(key),
        }
    }
}
