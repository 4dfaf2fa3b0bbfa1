//! Why somebody may not publish.

/// Why somebody may not publish. The texts are for the publisher: they help an honest one and do
/// not tell a stranger which cameras exist.
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
    Expired,
    #[error("somebody else is publishing this camera")]
    Taken,
}

impl Denied {
    /// For the audit log.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::WrongKey => "wrong_key",
            Self::UnknownCamera => "unknown_camera",
            Self::NotACamera => "not_a_camera",
            Self::Expired => "expired",
            Self::Taken => "taken",
        }
    }

    /// For the log, where the exact reason belongs.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::NoKey => "no stream key",
            Self::WrongKey => "a wrong, revoked or foreign stream key",
            Self::UnknownCamera => "no such published camera on this edge",
            Self::NotACamera => "the address names no camera",
            Self::Expired => "the stream key has expired",
            Self::Taken => "somebody else publishes, and the key does not take over",
        }
    }
}
