//! Why somebody may not watch.

use headworks_types::{Problem, ProblemCode};

/// Why somebody may not watch. The texts help an honest user; who forges learns nothing from them
/// about keys. Operators see the exact reason as a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub(crate) enum Denied {
    #[error("add a playback token: ?token=…")]
    Missing,
    #[error("this is not a playback token; was it cut off when it was copied?")]
    Malformed,
    #[error("this token was not issued for watching here")]
    Algorithm,
    #[error("this token was not issued for watching here")]
    Type,
    #[error("this token is not valid here; ask for a new one")]
    KeyId,
    #[error("this token is not valid here; ask for a new one")]
    UnknownKey,
    #[error("this token is not valid here; ask for a new one")]
    Signature,
    #[error("this token was not issued for watching here")]
    Issuer,
    #[error("this token was not issued for watching here")]
    Audience,
    #[error("the times in this token make no sense (they are seconds since 1970)")]
    Times,
    #[error("this token is not valid yet; are the clocks of the machines right?")]
    NotYet,
    #[error("this token has expired; ask for a new one")]
    Expired,
    #[error("the time to watch is over; ask for a new token")]
    WatchOver,
    #[error("this address is not valid; open the camera's playlist again")]
    Ticket,
    #[error("this token is not for this camera")]
    OtherCamera,
    #[error("this token does not allow this")]
    Action,
}

impl Denied {
    /// For the metric.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::Type => "type",
            Self::KeyId => "key_id",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Times => "times",
            Self::NotYet => "not_yet",
            Self::Expired => "expired",
            Self::WatchOver => "watch_over",
            Self::Ticket => "ticket",
            Self::OtherCamera => "other_camera",
            Self::Action => "action",
        }
    }

    /// What the viewer is told: 403 where the token is good but not for this, else 401.
    pub(crate) fn problem(self) -> Problem {
        let code = match self {
            Self::OtherCamera | Self::Action => ProblemCode::Forbidden,
            _ => ProblemCode::Unauthenticated,
        };
        Problem::new(code).with_detail(self.to_string())
    }
}
