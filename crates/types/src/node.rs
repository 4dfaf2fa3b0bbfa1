//! Nodes: the running edges, and the tokens by which they join.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use crate::{CameraId, Capabilities, JoinTokenId, Labels, NodeId, Secret, Validate, Violations};

/// One running edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// What people call it; unique in the cluster.
    pub name: String,
    /// The place where it stands, near its cameras.
    pub site: String,
    /// The network area it belongs to; traffic inside a zone is cheap.
    pub zone: String,
    /// Labels.
    pub labels: Labels,
    /// How much work it takes, in units; one camera of up to 8 Mbit/s costs one.
    pub capacity: u32,
    /// What it can do, beyond passing on media.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// How many units are assigned to it.
    pub used: u32,
    /// How the cluster sees it.
    pub state: NodeState,
    /// The same for people.
    pub message: String,
    /// Since when it is in this state.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<DateTime<Utc>>,
    /// Why it could not apply the work that it was given last; absent if it could.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_error: Option<String>,
    /// Since when it takes no new work because an operator said so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cordoned_at: Option<DateTime<Utc>>,
    /// How it is being emptied, or was; until it is opened again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub drain: Option<NodeDrain>,
    /// Until when it takes no new work because it has died too often.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unsteady_until: Option<DateTime<Utc>>,
    /// Where viewers and publishers reach it.
    pub advertise: Advertise,
    /// The software that it runs.
    pub version: String,
    /// How many viewers it serves at most.
    #[serde(default)]
    pub limits: NodeLimits,
    /// True while it has as many viewers as it takes, or has had and still has nearly as many: new
    /// ones go elsewhere.
    #[serde(default)]
    pub full: bool,
    /// What it said of itself last.
    pub load: NodeLoad,
    /// When it last renewed its lease.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_seen_at: Option<DateTime<Utc>>,
    /// When its certificate was taken away, if it was: it may not come in until it joins anew.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it joined.
    pub created_at: DateTime<Utc>,
}

/// How the cluster sees a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It renews its lease.
    Ready,
    /// It has missed renewals; nothing new is placed on it.
    Suspect,
    /// Its lease has run out; its work goes to others.
    Dead,
}

/// How a node is being emptied, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeDrain {
    /// How far it is.
    pub state: DrainState,
    /// The same for people; of an expired drain, what stays and why.
    pub message: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ends, however far it is.
    pub deadline_at: DateTime<Utc>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_at: Option<DateTime<Utc>>,
    /// How many units of work there were when it began.
    pub slots_total: u32,
    /// How many are still there.
    pub slots_left: u32,
    /// How many viewers are still there.
    pub viewers_left: u32,
}

/// How far a drain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DrainState {
    /// Work goes to other nodes as they can take it.
    Draining,
    /// Nothing is left. The node takes no new work until it is opened.
    Drained,
    /// The deadline has passed, and what no other node can take has stayed.
    Expired,
}

/// How a node is to be emptied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeDrainRequest {
    /// How long it may take, in seconds: 1 to 86400 (a day). Default 600. Then all that another
    /// node can take is taken away at once, and the rest stays.
    #[serde(default = "ten_minutes")]
    #[schema(minimum = 1, maximum = 86_400)]
    pub deadline_seconds: u32,
}

impl Validate for NodeDrainRequest {
    fn validate(&self, found: &mut Violations) {
        if !(1..=86_400).contains(&self.deadline_seconds) {
            found.report("deadline_seconds", "must be 1 to 86400 (a day)");
        }
    }
}

/// How many viewers a node serves at most. What is absent is without limit; 0 serves nobody.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct NodeLimits {
    /// Viewers at once, by all protocols together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_viewers: Option<u32>,
    /// What it sends to viewers, Mbit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_egress_mbit: Option<u32>,
}

impl NodeLimits {
    /// The highest number that is a limit.
    pub const MOST: u32 = 1_000_000_000;
}

impl Validate for NodeLimits {
    fn validate(&self, found: &mut Violations) {
        let all = [
            ("max_viewers", self.max_viewers),
            ("max_egress_mbit", self.max_egress_mbit),
        ];
        for (name, limit) in all {
            if limit.is_some_and(|limit| limit > Self::MOST) {
                found.report(name, "must be at most 1000000000");
            }
        }
    }
}

/// What a node says of itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct NodeLoad {
    /// Processor time used by the edge, in cores (1.0 is one core).
    pub cpu_cores: f64,
    /// Resident memory, bytes.
    pub memory_bytes: u64,
    /// Streams that carry media now.
    pub streams: u32,
    /// Viewers now.
    pub viewers: u32,
    /// Media received since the start, bytes.
    pub received_bytes: u64,
    /// Media sent to viewers and other edges since the start, bytes.
    pub sent_bytes: u64,
    /// Media sent to viewers and other edges in the last seconds, kbit/s.
    pub sent_kbit: u64,
}

/// Where viewers and publishers reach a node. A protocol that it does not offer is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Advertise {
    /// Base URL of its HTTP playback, e.g. `http://edge-1.example.com:8081/`.
    pub http: Url,
    /// Base URL of RTMP, e.g. `rtmp://edge-1.example.com:1935/`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rtmp: Option<Url>,
    /// Base URL of RTMP over TLS, e.g. `rtmps://edge-1.example.com:1936/`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rtmps: Option<Url>,
    /// Base URL of RTSP, e.g. `rtsp://edge-1.example.com:8554/`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rtsp: Option<Url>,
    /// Base URL of RTSP over TLS, e.g. `rtsps://edge-1.example.com:8322/`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rtsps: Option<Url>,
}

impl Advertise {
    /// Of a node that offers nothing but HTTP.
    #[must_use]
    pub fn new(http: Url) -> Self {
        Self {
            http,
            rtmp: None,
            rtmps: None,
            rtsp: None,
            rtsps: None,
        }
    }

    /// The address of `camera` below `base`, which is one of these URLs: `…/live/<camera>`, and
    /// below that `file`, if any.
    pub(crate) fn live(base: &Url, camera: CameraId, file: Option<&str>) -> Url {
        let mut url = base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty()
                .extend(["live", &camera.to_string()])
                .extend(file);
        }
        url
    }
}

impl Validate for Advertise {
    fn validate(&self, found: &mut Violations) {
        if !matches!(self.http.scheme(), "http" | "https") {
            found.report("http", "must be http:// or https://");
        }
        let others = [
            ("rtmp", &self.rtmp),
            ("rtmps", &self.rtmps),
            ("rtsp", &self.rtsp),
            ("rtsps", &self.rtsps),
        ];
        for (scheme, url) in others {
            if let Some(url) = url
                && (url.scheme() != scheme || !url.has_host())
            {
                found.report(scheme, format!("must be {scheme}://host[:port]/"));
            }
        }
    }
}

/// A token that lets edges join the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinToken {
    /// Its id.
    pub id: JoinTokenId,
    /// What people call it.
    pub name: String,
    /// How many nodes may join by it.
    pub max_uses: u32,
    /// How many have.
    pub uses: u32,
    /// When it stops working.
    pub expires_at: DateTime<Utc>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// A join token to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinTokenCreate {
    /// 1 to 128 characters.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// How long it works, in seconds: 60 to 2592000 (30 days). Default 3600.
    #[serde(default = "hour")]
    #[schema(minimum = 60, maximum = 2_592_000)]
    pub expires_in_seconds: u32,
    /// How many nodes may join by it: 1 to 10000. Default 1.
    #[serde(default = "once")]
    #[schema(minimum = 1, maximum = 10_000)]
    pub max_uses: u32,
}

impl Validate for JoinTokenCreate {
    fn validate(&self, found: &mut Violations) {
        found.text("name", &self.name, 128);
        if !(60..=30 * 86_400).contains(&self.expires_in_seconds) {
            found.report("expires_in_seconds", "must be 60 to 2592000 (30 days)");
        }
        if !(1..=10_000).contains(&self.max_uses) {
            found.report("max_uses", "must be 1 to 10000");
        }
    }
}

/// A new join token with its secret, which is shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinTokenCreated {
    /// The token's record.
    pub join_token: JoinToken,
    /// `hwjt_<lookup>_<secret>.<fingerprint>`: what the edge's configuration takes. The edge trusts
    /// only controllers of the authority with this fingerprint.
    pub secret: Secret,
}

fn ten_minutes() -> u32 {
    600
}

fn once() -> u32 {
    1
}

fn hour() -> u32 {
    3600
}
