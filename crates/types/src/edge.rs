//! What edges and controllers say to each other (`/edge/v1`).
//!
//! An edge joins once with a join token and gets a node key. From then on it renews its lease
//! ([`LeaseRenewal`]), which carries what it observes, and watches what it should do
//! ([`WatchMessage`]). Controllers never call an edge.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    Advertise, CameraId, CameraSource, Credentials, Jwks, Labels, NodeId, NodeLoad, OnConflict,
    ProjectId, Publisher, RefusedPublisher, Secret, StartMode, StreamKeyId, Track, Validate,
    Violations,
};

/// How an edge describes itself when it joins and whenever it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeSpec {
    /// What people call it; unique in the cluster.
    pub name: String,
    /// The place where it stands, near its cameras.
    pub site: String,
    /// The network area it belongs to.
    pub zone: String,
    /// Labels.
    pub labels: Labels,
    /// How much work it takes, in units; one camera costs one.
    pub capacity: u32,
    /// Where viewers and publishers reach it.
    pub advertise: Advertise,
    /// The software that it runs.
    pub version: String,
}

impl Validate for NodeSpec {
    fn validate(&self, found: &mut Violations) {
        found.text("name", &self.name, 63);
        found.text("site", &self.site, 63);
        found.text("zone", &self.zone, 63);
        found.within("labels", |found| self.labels.validate(found));
        if self.capacity > 100_000 {
            found.report("capacity", "must be at most 100000");
        }
        found.within("advertise", |found| self.advertise.validate(found));
    }
}

/// Asks to join the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinRequest {
    /// `hwjt_…`.
    pub token: Secret,
    /// What joins.
    pub node: NodeSpec,
}

impl Validate for JoinRequest {
    fn validate(&self, found: &mut Violations) {
        found.within("node", |found| self.node.validate(found));
    }
}

/// Welcome to the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinResponse {
    /// The node's id.
    pub node_id: NodeId,
    /// `hwnk_<lookup>_<secret>`: the node's credential from now on (`Authorization: Bearer …`).
    pub key: Secret,
}

/// A kind of placeable work.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Bring the camera's media into the cluster.
    Ingest,
}

impl Role {
    /// As on the wire and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
        }
    }

    /// The role of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        (name == Self::Ingest.as_str()).then_some(Self::Ingest)
    }
}

/// Names one unit of placeable work.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
pub struct SlotKey {
    /// For which camera.
    pub camera_id: CameraId,
    /// What kind of work.
    pub role: Role,
    /// Which of several of that kind; 0 for `ingest`.
    pub ordinal: u16,
}

impl fmt::Display for SlotKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}/{}",
            self.camera_id,
            self.role.as_str(),
            self.ordinal
        )
    }
}

/// Work that the edge should do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DesiredSlot {
    /// Which.
    #[serde(flatten)]
    pub key: SlotKey,
    /// Which assignment this is; it rises with each, and a lower one never acts again.
    pub epoch: i64,
    /// The camera's project.
    pub project_id: ProjectId,
    /// The camera's name, for logs.
    pub camera_name: String,
    /// What to do.
    pub work: Work,
}

/// What the work of a slot is; its kind is that of the key's role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Of [`Role::Ingest`].
    Ingest(IngestWork),
}

/// Brings a camera's media into the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IngestWork {
    /// Where the media comes from.
    pub source: CameraSource,
    /// What the camera asks for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub credentials: Option<Credentials>,
    /// When it is pulled.
    pub start: StartMode,
    /// Who may publish it: the keys of a published camera that work now or later.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub stream_keys: Vec<StreamKeyDigest>,
}

/// What an edge needs of a stream key to check publishers by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StreamKeyDigest {
    /// The key's id, for logs and reports.
    pub id: StreamKeyId,
    /// The part of the key between its underscores.
    pub lookup: String,
    /// SHA-256 of the whole key as text, `hwsk_<lookup>_<secret>`, in base64url without
    /// padding. The secret is 256 random bits, so that nobody finds it from this.
    pub digest: String,
    /// When it stops working, if ever.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<DateTime<Utc>>,
    /// What happens when somebody publishes already.
    pub on_conflict: OnConflict,
}

/// One line of the answer to `GET /edge/v1/watch` (newline-delimited JSON).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum WatchMessage {
    /// Everything that the node should do. What is not here is not to be done.
    Snapshot {
        /// The node's revision that this is.
        revision: i64,
        /// All work.
        slots: Vec<DesiredSlot>,
    },
    /// What has changed since the message before.
    Delta {
        /// The node's revision after it.
        revision: i64,
        /// New or changed work.
        upsert: Vec<DesiredSlot>,
        /// Work to stop.
        remove: Vec<SlotKey>,
    },
    /// What every edge needs to know, whole.
    Bundle(Bundle),
    /// Nothing new; the connection lives. Comes every 15 s.
    Bookmark {
        /// The node's revision now.
        revision: i64,
    },
}

/// What every edge needs to know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Bundle {
    /// The keys that playback tokens may be signed with.
    pub jwks: Jwks,
}

/// Renews the node's lease and says what it observes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LeaseRenewal {
    /// Drawn at random when the edge process starts.
    pub instance: Uuid,
    /// The revision that is applied; 0 before the first.
    pub revision: i64,
    /// Why a newer one was not applied.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub apply_error: Option<String>,
    /// All work that the edge does.
    pub slots: Vec<SlotReport>,
    /// How busy it is.
    pub load: NodeLoad,
    /// True for the last renewal before the edge stops: its work may move at once.
    #[serde(default)]
    pub goodbye: bool,
}

impl Validate for LeaseRenewal {
    fn validate(&self, found: &mut Violations) {
        if self.revision < 0 {
            found.report("revision", "must not be negative");
        }
    }
}

/// What an edge observes of one slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SlotReport {
    /// Which.
    #[serde(flatten)]
    pub key: SlotKey,
    /// Under which assignment.
    pub epoch: i64,
    /// What it does.
    pub state: SlotState,
    /// What it does or what is wrong, for people.
    pub message: String,
    /// Since when it is in this state.
    pub since: DateTime<Utc>,
    /// What the camera is made of, as last seen.
    #[serde(default)]
    pub tracks: Vec<Track>,
    /// How many watch it.
    pub viewers: u32,
    /// Who publishes it now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub publisher: Option<Publisher>,
    /// Who was refused as its publisher last, since the edge runs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refused: Option<RefusedPublisher>,
}

/// What a slot's worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SlotState {
    /// Ready; waits for the first viewer, or for its publisher.
    Idle,
    /// On its way to the first picture.
    Connecting,
    /// Pictures come.
    Live,
    /// No pictures; it tries again.
    Failed,
}

impl SlotState {
    /// As on the wire and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Failed => "failed",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Idle, Self::Connecting, Self::Live, Self::Failed]
            .into_iter()
            .find(|state| state.as_str() == name)
    }
}

/// The lease is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeaseGrant {
    /// When to renew next, in milliseconds from now.
    pub renew_in_ms: u32,
    /// When the lease runs out otherwise, in milliseconds from now.
    pub expires_in_ms: u32,
    /// The node's revision now; higher than what was reported means that the watch lags.
    pub revision: i64,
}
