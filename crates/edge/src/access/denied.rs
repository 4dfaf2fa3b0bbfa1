//! Why somebody may not watch.

use headworks_types::{Problem, ProblemCode};

use crate::session::Full;

/// Why somebody may not watch. The texts help an honest user; who forges learns nothing from them
/// about keys. Operators see the exact reason as a metric, and in the audit log.
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
    #[error("this token was revoked; ask for a new one")]
    Revoked,
    #[error("the time to watch is over; ask for a new token")]
    WatchOver,
    #[error("this address is not valid; open the camera's playlist again")]
    Ticket,
    #[error("this address is good only from where it was opened; open the camera's playlist again")]
    Elsewhere,
    #[error("this session was ended; ask for a new token")]
    Ended,
    #[error("this token is not for this camera")]
    OtherCamera,
    #[error("this token does not allow this")]
    Action,
    #[error("this token says more than its key may; ask whoever signed it")]
    Bounds,
    #[error("this token is for viewers of another network")]
    Network,
    #[error("this token is for viewers of another web page")]
    Origin,
    #[error("as many watch with this token as may at once")]
    TokenFull,
    #[error("as many watch this camera as may at once")]
    CameraFull,
    #[error("as many watch on this edge as may at once")]
    EdgeFull,
    #[error("this edge has not heard for too long who may watch this camera; try again later")]
    Stale,
}

impl From<Full> for Denied {
    fn from(full: Full) -> Self {
        match full {
            Full::Token => Self::TokenFull,
            Full::Camera => Self::CameraFull,
            Full::Edge => Self::EdgeFull,
        }
    }
}

impl Denied {
    /// For the metric and the audit log.
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
            Self::Revoked => "revoked",
            Self::WatchOver => "watch_over",
            Self::Ticket => "ticket",
            Self::Elsewhere => "elsewhere",
            Self::Ended => "ended",
            Self::OtherCamera => "other_camera",
            Self::Action => "action",
            Self::Bounds => "bounds",
            Self::Network => "network",
            Self::Origin => "origin",
            Self::TokenFull => "token_full",
            Self::CameraFull => "camera_full",
            Self::EdgeFull => "edge_full",
            Self::Stale => "stale",
        }
    }

    /// What kind of refusal it is: 403 where the token is good but not for this, else 401; and
    /// where it is good for this but not now.
    pub(crate) fn code(self) -> ProblemCode {
        match self {
            Self::OtherCamera | Self::Action | Self::Bounds | Self::Network | Self::Origin => {
                ProblemCode::Forbidden
            }
            Self::TokenFull | Self::CameraFull | Self::EdgeFull => ProblemCode::SessionLimit,
            Self::Stale => ProblemCode::Unavailable,
            _ => ProblemCode::Unauthenticated,
        }
    }

    /// What the viewer is told.
    pub(crate) fn problem(self) -> Problem {
        Problem::new(self.code()).with_detail(self.to_string())
    }
}
