//! What edges and controllers say to each other (`/edge/v1`).
//!
//! An edge joins once with a join token and gets a certificate, which it shows in every TLS handshake
//! from then on, and renews in time ([`CertificateRequest`]). It renews its lease
//! ([`LeaseRenewal`]), which carries what it observes, and watches what it should do
//! ([`WatchMessage`]). Controllers never call an edge.

mod audit;
mod directory;
mod rendezvous;
mod view;

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    Advertise, CameraId, CameraSource, Capabilities, Credentials, Jwks, Labels, Network, NodeId,
    NodeLimits, NodeLoad, OnConflict, ProjectId, Publisher, RefusedPublisher, RestreamAudio,
    RestreamId, RestreamSigning, RestreamVideo, Secret, StartMode, StreamKeyBounds, StreamKeyId,
    Track, Transport, Validate, Violations,
};

pub use audit::{AUDIT_BATCH, AuditAction, AuditDelivery, AuditEntry};
pub use directory::{DirectoryUpdate, Peer, Route};
pub use rendezvous::{mix, rendezvous};
pub use view::{
    PlaybackKeyRule, Revocation, RevocationKind, SessionOpened, SessionReceipt, SessionReport,
    SessionSent, ViewPolicy,
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
    /// How much work it takes, in units; one camera of up to 8 Mbit/s costs one.
    pub capacity: u32,
    /// What it can do. Without, it is taken for able to do everything.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub capabilities: Option<Capabilities>,
    /// How many viewers it serves at most.
    #[serde(default)]
    pub limits: NodeLimits,
    /// Where viewers and publishers reach it.
    pub advertise: Advertise,
    /// Where other edges reach it: `https://host:port/`. Without, it relays to nobody.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub relay: Option<Url>,
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
        found.within("limits", |found| self.limits.validate(found));
        found.within("advertise", |found| self.advertise.validate(found));
        if let Some(relay) = &self.relay
            && (relay.scheme() != "https" || !relay.has_host())
        {
            found.report("relay", "must be https://host[:port]/");
        }
    }
}

/// What the cluster's authority calls every controller.
pub const CONTROLLER_NAME: &str = "controller.headworks";

/// What the cluster's authority calls the node, as a DNS name.
#[must_use]
pub fn node_name(node: NodeId) -> String {
    format!("{}.node.headworks", node.uuid().simple())
}

/// The node that the authority calls so.
#[must_use]
pub fn node_of_name(name: &str) -> Option<NodeId> {
    let id = name.strip_suffix(".node.headworks")?;
    let node = Uuid::try_parse(id).ok()?.into();
    (node_name(node) == name).then_some(node)
}

/// Asks to join the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinRequest {
    /// `hwjt_…`.
    pub token: Secret,
    /// What joins.
    pub node: NodeSpec,
    /// For the node's certificate.
    #[serde(flatten)]
    pub certificate: CertificateRequest,
}

/// Asks for a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificateRequest {
    /// A certificate signing request (PKCS #10) in PEM, of a P-256 or Ed25519 key. Only its key
    /// counts: the cluster knows whom it asks.
    pub csr: String,
}

impl Validate for CertificateRequest {
    fn validate(&self, found: &mut Violations) {
        if !(1..=8192).contains(&self.csr.len()) {
            found.report("csr", "must have 1 to 8192 bytes");
        }
    }
}

/// A node's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeCertificate {
    /// The certificate, PEM.
    pub certificate: String,
    /// The certificate of the cluster's authority, PEM.
    pub authority: String,
    /// For how long it is good from now, in seconds.
    pub expires_in_seconds: u32,
}

impl Validate for JoinRequest {
    fn validate(&self, found: &mut Violations) {
        found.within("node", |found| self.node.validate(found));
        self.certificate.validate(found);
    }
}

/// Welcome to the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinResponse {
    /// The node's id.
    pub node_id: NodeId,
    /// What it shows from now on.
    #[serde(flatten)]
    pub certificate: NodeCertificate,
}

/// A kind of placeable work.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
// The API has roles of people, too.
#[schema(as = SlotRole)]
pub enum Role {
    /// Bring the camera's media into the cluster.
    Ingest,
    /// Push the camera to somebody else's server.
    Restream,
}

impl Role {
    /// As on the wire and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Restream => "restream",
        }
    }

    /// The role of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Ingest, Self::Restream]
            .into_iter()
            .find(|role| role.as_str() == name)
    }

    /// What keeps two nodes from doing the work of one slot.
    #[must_use]
    pub fn fencing(self) -> Fencing {
        match self {
            Self::Ingest => Fencing::Epoch,
            Self::Restream => Fencing::Strict,
        }
    }
}

/// What keeps two nodes from doing the work of one slot at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fencing {
    /// Nothing: many may do it.
    None,
    /// The epoch: a node that is cut off goes on, and stops when it meets a higher one.
    Epoch,
    /// Time: never two at once, not even for a moment.
    ///
    /// An edge stops such work [`STRICT_STOP`] after it *sent* the last renewal that was
    /// acknowledged. It starts or resumes such work only when the last [`LeaseGrant`] names the
    /// revision that it has applied: a higher one may have taken the work away. It reports a
    /// revision as applied, and says goodbye, only after the work that had to stop has stopped.
    ///
    /// The controller gives the work to another node when the old one has applied a revision that
    /// takes it away, has said goodbye, or [`STRICT_MARGIN`] after its lease has run out. When a
    /// newer process takes a node over, all of that waits as long for the older one.
    Strict,
}

/// How long after the last acknowledged renewal was sent an edge stops strict work.
pub const STRICT_STOP: Duration = Duration::from_secs(7);
/// How long after the end of a node's lease its strict work may go to another one.
pub const STRICT_MARGIN: Duration = Duration::from_secs(3);

/// Names one unit of placeable work.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
pub struct SlotKey {
    /// For which camera.
    pub camera_id: CameraId,
    /// What kind of work.
    pub role: Role,
    /// Which of several of that kind; 0 for `ingest`. Each restream has its own for good.
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
    /// What to know of the camera when somebody wants to watch it.
    #[serde(skip_serializing_if = "ViewPolicy::is_empty", default)]
    pub view: ViewPolicy,
    /// What to do.
    pub work: Work,
}

/// What the work of a slot is; its kind is that of the key's role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Of [`Role::Ingest`].
    Ingest(IngestWork),
    /// Of [`Role::Restream`].
    Restream(Box<RestreamWork>),
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
    /// It refuses a second session, so another node waits until this one has let go of it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub exclusive: bool,
    /// Who may publish it: the keys of a published camera that work now or later.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub stream_keys: Vec<StreamKeyDigest>,
    /// Networks that the project may connect to although they are closed.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub outbound_allow: Vec<Network>,
}

/// Pushes a camera, which the same node brings in, to somebody else's server. Secrets are open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestreamWork {
    /// The restream's id, for logs.
    pub id: RestreamId,
    /// The restream's name, for logs.
    pub name: String,
    /// Rises with each restart: another one than before means to connect anew, once.
    pub generation: i64,
    /// Where it goes, without what is secret.
    pub url: Url,
    /// How RTP travels, if the target speaks RTSP.
    pub transport: Transport,
    /// False takes any certificate of the target.
    pub tls_verify: bool,
    /// User name and password, for RTSP.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub credentials: Option<Credentials>,
    /// Comes after the URL's path and a slash, as it is; it may bring a query.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stream_key: Option<Secret>,
    /// How the URL is signed whenever it connects, with the keys.
    pub signing: RestreamSigning,
    /// What becomes of the video.
    pub video: RestreamVideo,
    /// What becomes of the audio.
    pub audio: RestreamAudio,
    /// Networks that the project may connect to although they are closed.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub outbound_allow: Vec<Network>,
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
    /// From where, by what and how fast it may publish.
    #[serde(flatten)]
    pub bounds: StreamKeyBounds,
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
    /// What has changed in the directory of edges and cameras.
    Directory(DirectoryUpdate),
    /// Nothing new; the connection lives. Comes every 15 s.
    Bookmark {
        /// The node's revision now.
        revision: i64,
        /// How long ago the controller has last read what the bundle has, in seconds.
        #[serde(default)]
        bundle_age: u64,
    },
}

/// What every edge needs to know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Bundle {
    /// The keys that playback tokens may be signed with.
    pub jwks: Jwks,
    /// Customers' keys that playback tokens may be signed with too.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub playback_keys: Vec<PlaybackKeyRule>,
    /// What does not count any more: all that has not expired.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub revocations: Vec<Revocation>,
}

/// Renews the node's lease and says what it observes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LeaseRenewal {
    /// Drawn when the edge process starts, of version 7: of two the higher one is newer. As long as
    /// the newer one lives, older ones are refused.
    pub instance: Uuid,
    /// The revision that is applied; 0 before the first.
    pub revision: i64,
    /// Why a newer one was not applied.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub apply_error: Option<String>,
    /// The names (`kid`) of the keys in the bundle that is applied and saved. No key signs before
    /// every living edge has named it.
    #[serde(default)]
    pub signing_keys: Vec<String>,
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
    /// Who published with each of its stream keys last, since the edge runs: at most
    /// [`PUBLISHED`], the latest first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub published: Vec<Publisher>,
    /// How the push goes, of [`Role::Restream`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub restream: Option<RestreamReport>,
    /// What it takes from the node, once it has been measured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub usage: Option<SlotUsage>,
}

/// What the work of a slot takes from its node: means over the last minute of work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SlotUsage {
    /// Media that comes in from the camera, kbit/s.
    pub in_kbit: u32,
    /// Media that goes out to the target of a restream, kbit/s.
    pub out_kbit: u32,
    /// Processor time of its own child process, in thousandths of a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub millicores: Option<u32>,
}

/// How many uses of stream keys a [`SlotReport`] tells of.
pub const PUBLISHED: usize = 16;

/// How a push goes, since this assignment. Texts in it hold no secret and no signed URL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestreamReport {
    /// Bytes written to the target.
    pub bytes_sent: u64,
    /// How often a connection was tried.
    pub attempts: u32,
    /// When the present connection was made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connected_at: Option<DateTime<Utc>>,
    /// Why the last connection ended or could not be made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_error: Option<String>,
    /// Until when the URL of the present connection is good.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub url_expires_at: Option<DateTime<Utc>>,
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
    /// [`NO_REVISION`] while a process that was the node before, or somebody of whom a database that
    /// was lost knew, may still do strict work.
    pub revision: i64,
}

/// Matches no revision, so that nothing strict starts; what strict work there is stops.
pub const NO_REVISION: i64 = -1;
