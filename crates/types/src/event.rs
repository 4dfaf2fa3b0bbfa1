//! Events: what happened, in order.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Something that happened. Events are written in the transaction that made them true.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its place in the order; also the page token.
    pub id: i64,
    /// What.
    pub kind: EventKind,
    /// The id of what it happened to.
    pub subject: String,
    /// The id of who did it, or `planner`.
    pub actor: String,
    /// What was said about it, in words.
    pub message: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum EventKind {
    /// A camera was created.
    #[serde(rename = "camera.created")]
    CameraCreated,
    /// A camera was changed.
    #[serde(rename = "camera.updated")]
    CameraUpdated,
    /// A camera was deleted.
    #[serde(rename = "camera.deleted")]
    CameraDeleted,
    /// A camera's work was given to a node, or taken from it.
    #[serde(rename = "camera.placed")]
    CameraPlaced,
    /// A camera group was created.
    #[serde(rename = "camera_group.created")]
    CameraGroupCreated,
    /// A camera group was changed or moved.
    #[serde(rename = "camera_group.updated")]
    CameraGroupUpdated,
    /// A camera group was deleted.
    #[serde(rename = "camera_group.deleted")]
    CameraGroupDeleted,
    /// A role was created.
    #[serde(rename = "role.created")]
    RoleCreated,
    /// A role was changed.
    #[serde(rename = "role.updated")]
    RoleUpdated,
    /// A role was deleted.
    #[serde(rename = "role.deleted")]
    RoleDeleted,
    /// A user was created.
    #[serde(rename = "user.created")]
    UserCreated,
    /// A user was changed.
    #[serde(rename = "user.updated")]
    UserUpdated,
    /// A user was deleted.
    #[serde(rename = "user.deleted")]
    UserDeleted,
    /// A user signed in.
    #[serde(rename = "user.signed_in")]
    UserSignedIn,
    /// A user signed out.
    #[serde(rename = "user.signed_out")]
    UserSignedOut,
    /// A user chose a new password.
    #[serde(rename = "user.password_changed")]
    UserPasswordChanged,
    /// A refresh token was used twice: one of the two who had it has stolen it.
    #[serde(rename = "refresh_token.reused")]
    RefreshTokenReused,
    /// A user group was created.
    #[serde(rename = "user_group.created")]
    UserGroupCreated,
    /// A user group was changed.
    #[serde(rename = "user_group.updated")]
    UserGroupUpdated,
    /// A user group was deleted.
    #[serde(rename = "user_group.deleted")]
    UserGroupDeleted,
    /// A user became a member of a group.
    #[serde(rename = "user_group.member_added")]
    UserGroupMemberAdded,
    /// A user is no member of a group any more.
    #[serde(rename = "user_group.member_removed")]
    UserGroupMemberRemoved,
    /// An API key was created.
    #[serde(rename = "api_key.created")]
    ApiKeyCreated,
    /// An API key was revoked.
    #[serde(rename = "api_key.revoked")]
    ApiKeyRevoked,
    /// A stream key was created.
    #[serde(rename = "stream_key.created")]
    StreamKeyCreated,
    /// A stream key was changed.
    #[serde(rename = "stream_key.updated")]
    StreamKeyUpdated,
    /// A stream key was exchanged for a new one.
    #[serde(rename = "stream_key.rotated")]
    StreamKeyRotated,
    /// A stream key was revoked.
    #[serde(rename = "stream_key.revoked")]
    StreamKeyRevoked,
    /// A restream was created.
    #[serde(rename = "restream.created")]
    RestreamCreated,
    /// A restream was changed.
    #[serde(rename = "restream.updated")]
    RestreamUpdated,
    /// A restream was deleted.
    #[serde(rename = "restream.deleted")]
    RestreamDeleted,
    /// A restream was started.
    #[serde(rename = "restream.started")]
    RestreamStarted,
    /// A restream was stopped.
    #[serde(rename = "restream.stopped")]
    RestreamStopped,
    /// A restream was told to connect anew.
    #[serde(rename = "restream.restarted")]
    RestreamRestarted,
    /// A restream was given to a node, or taken from it.
    #[serde(rename = "restream.placed")]
    RestreamPlaced,
    /// A grant was created.
    #[serde(rename = "grant.created")]
    GrantCreated,
    /// A grant was deleted.
    #[serde(rename = "grant.deleted")]
    GrantDeleted,
    /// A playback token was issued.
    #[serde(rename = "playback_token.issued")]
    PlaybackTokenIssued,
    /// A playback token was revoked.
    #[serde(rename = "playback_token.revoked")]
    PlaybackTokenRevoked,
    /// A customer's public key was registered.
    #[serde(rename = "playback_key.created")]
    PlaybackKeyCreated,
    /// A customer's public key was revoked.
    #[serde(rename = "playback_key.revoked")]
    PlaybackKeyRevoked,
    /// A viewer's session was ended.
    #[serde(rename = "session.ended")]
    SessionEnded,
    /// All sessions of a user were ended.
    #[serde(rename = "user.sessions_revoked")]
    UserSessionsRevoked,
    /// A project was created.
    #[serde(rename = "project.created")]
    ProjectCreated,
    /// A project was changed.
    #[serde(rename = "project.updated")]
    ProjectUpdated,
    /// A join token was created.
    #[serde(rename = "join_token.created")]
    JoinTokenCreated,
    /// A join token was revoked.
    #[serde(rename = "join_token.revoked")]
    JoinTokenRevoked,
    /// A signing key was made; edges learn it.
    #[serde(rename = "signing_key.created")]
    SigningKeyCreated,
    /// A signing key began to sign.
    #[serde(rename = "signing_key.activated")]
    SigningKeyActivated,
    /// A signing key's signatures ceased to count.
    #[serde(rename = "signing_key.revoked")]
    SigningKeyRevoked,
    /// A node joined.
    #[serde(rename = "node.joined")]
    NodeJoined,
    /// A node's certificate was taken away.
    #[serde(rename = "node.revoked")]
    NodeRevoked,
    /// Two edges wanted to be one node: its data directory was copied.
    #[serde(rename = "node.cloned")]
    NodeCloned,
    /// A node's lease ran out.
    #[serde(rename = "node.died")]
    NodeDied,
    /// A node that was dead is back.
    #[serde(rename = "node.returned")]
    NodeReturned,
    /// Two processes run with the identity of one node; the older one is refused.
    #[serde(rename = "node.duplicated")]
    NodeDuplicated,
    /// A node renews its lease: for the first time, again after it was stopped, or again after it
    /// was suspect.
    #[serde(rename = "node.ready")]
    NodeReady,
    /// A node has missed renewals.
    #[serde(rename = "node.suspect")]
    NodeSuspect,
    /// A node said goodbye.
    #[serde(rename = "node.stopped")]
    NodeStopped,
    /// A node has died too often, and takes no new work for some time.
    #[serde(rename = "node.unsteady")]
    NodeUnsteady,
    /// A node that died too often takes new work again.
    #[serde(rename = "node.steady")]
    NodeSteady,
    /// A node takes no new work, because an operator said so.
    #[serde(rename = "node.cordoned")]
    NodeCordoned,
    /// A node takes new work again.
    #[serde(rename = "node.uncordoned")]
    NodeUncordoned,
    /// A node is to be emptied, or its drain got another deadline.
    #[serde(rename = "node.drain_started")]
    NodeDrainStarted,
    /// A node is empty.
    #[serde(rename = "node.drained")]
    NodeDrained,
    /// The deadline of a drain has passed, and something has stayed.
    #[serde(rename = "node.drain_expired")]
    NodeDrainExpired,
    /// A node is not emptied any more.
    #[serde(rename = "node.drain_cancelled")]
    NodeDrainCancelled,
    /// A node was removed.
    #[serde(rename = "node.removed")]
    NodeRemoved,
    /// Too many nodes are silent at once: none is declared dead.
    #[serde(rename = "cluster.brake_on")]
    ClusterBrakeOn,
    /// Silent nodes are declared dead again.
    #[serde(rename = "cluster.brake_off")]
    ClusterBrakeOff,
    /// An operator lets silent nodes be declared dead, for some time.
    #[serde(rename = "cluster.brake_released")]
    ClusterBrakeReleased,
    /// The database was away; all nodes got a new lease.
    #[serde(rename = "cluster.leases_extended")]
    ClusterLeasesExtended,
}
