//! Viewers, as edges and controllers speak of them: who watches, who may no more, and what the
//! edge has to know to decide by itself.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    CameraGroupId, CameraId, PlaybackBounds, PlaybackKeyId, ProjectId, PublicKey, SessionId,
    Validate, ViewProtocol, Violations,
};

/// The most sessions of one report.
const MAX_SESSIONS: usize = 100_000;

/// What an edge has to know of a camera to let viewers in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ViewPolicy {
    /// The groups that the camera is in, from the top down to its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<CameraGroupId>,
    /// Watched only while the edge knows who may not watch any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sensitive: bool,
    /// How many may watch at once on one edge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_viewers: Option<u32>,
}

impl ViewPolicy {
    /// True if it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A public key of a customer, whose tokens count within its bounds. Their `kid` is its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlaybackKeyRule {
    /// Its id.
    pub id: PlaybackKeyId,
    /// Only this project's cameras.
    pub project_id: ProjectId,
    /// The key.
    pub public_key: PublicKey,
    /// What its tokens can say at most.
    pub bounds: PlaybackBounds,
}

/// What does not count any more, though it is signed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub struct Revocation {
    /// What `value` names.
    pub kind: RevocationKind,
    /// Which.
    pub value: String,
    /// Of a token: only with cameras of this project.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub project_id: Option<ProjectId>,
    /// Tokens that were issued before do not count; one of the very second neither. One that is
    /// named by itself never does.
    pub issued_before: DateTime<Utc>,
    /// True if running sessions end too; else tokens only open none any more.
    pub ends_sessions: bool,
    /// When nothing is left that it could refuse.
    pub expires_at: DateTime<Utc>,
}

/// What a [`Revocation`] names.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RevocationKind {
    /// One session: `sess_…`.
    Session,
    /// All tokens of whoever watches, and all that they have issued to others: `usr_…`, `key_…`.
    Subject,
    /// One token, by its `jti`.
    Token,
    /// All tokens that a key has signed, by its `kid`.
    Key,
    /// All tokens, for this camera.
    Camera,
}

impl RevocationKind {
    /// As on the wire and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Subject => "subject",
            Self::Token => "token",
            Self::Key => "key",
            Self::Camera => "camera",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [
            Self::Session,
            Self::Subject,
            Self::Token,
            Self::Key,
            Self::Camera,
        ];
        all.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Tells who watches on an edge: what has changed since the report before, or everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionReport {
    /// That of the process's lease renewals: of two the higher one is newer, and a report of the
    /// older one does not count.
    pub instance: Uuid,
    /// Rises by one with each report of the instance.
    pub sequence: i64,
    /// True if `opened` are all sessions that there are. A report that is not counts only behind
    /// the one with the number before.
    pub complete: bool,
    /// New sessions.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub opened: Vec<SessionOpened>,
    /// What running sessions have been sent; not in every report.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub sent: Vec<SessionSent>,
    /// Sessions that are over.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub closed: Vec<SessionId>,
}

impl Validate for SessionReport {
    fn validate(&self, found: &mut Violations) {
        if self.sequence < 1 {
            found.report("sequence", "must be positive");
        }
        for (name, length) in [
            ("opened", self.opened.len()),
            ("sent", self.sent.len()),
            ("closed", self.closed.len()),
        ] {
            if length > MAX_SESSIONS {
                found.report(name, format!("must be at most {MAX_SESSIONS}"));
            }
        }
    }
}

/// A viewer who has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionOpened {
    /// Which session.
    pub id: SessionId,
    /// What is watched.
    pub camera_id: CameraId,
    /// Who watches: `usr_…`, `key_…` or `pkey_…`.
    pub subject: String,
    /// Who issued the token, where that is not who watches: `usr_…` or `key_…`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub issuer: Option<String>,
    /// The issuer's own name for who watches.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub viewer_id: Option<String>,
    /// True if the camera is heard, too. An edge of before that was told apart does not say.
    #[serde(default)]
    pub sound: bool,
    /// The token's `jti`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token_id: Option<String>,
    /// The token's `kid`.
    pub key_id: String,
    /// How many sessions its token may have at once.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_sessions: Option<u32>,
    /// How it is watched.
    pub protocol: ViewProtocol,
    /// From where.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// When the token was issued.
    pub issued_at: DateTime<Utc>,
    /// When the session was opened.
    pub started_at: DateTime<Utc>,
    /// When it must end.
    pub watch_until: DateTime<Utc>,
    /// Bytes so far.
    pub bytes_sent: u64,
}

/// How much a session has been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionSent {
    /// Which session.
    pub id: SessionId,
    /// Bytes since it was opened.
    pub bytes_sent: u64,
}

/// How a [`SessionReport`] was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionReceipt {
    /// False if one before it is missing: the next one has to be complete.
    pub taken: bool,
}
