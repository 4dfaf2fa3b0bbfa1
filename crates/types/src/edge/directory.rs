//! What every edge knows of the others: who they are, and which of them brings in which camera. From
//! it an edge serves any camera, by a relay, and sends viewers elsewhere, without asking anybody.

use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use crate::{Advertise, CameraId, NodeId, NodeState, ProjectId};

use super::ViewPolicy;

/// Another edge, or the one that is told itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Peer {
    /// Its id, which its certificate proves.
    pub id: NodeId,
    /// What people call it.
    pub name: String,
    /// The place where it stands.
    pub site: String,
    /// The network area it belongs to.
    pub zone: String,
    /// Where edges reach it: `https://host:port/`. Without, it relays to nobody.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub relay: Option<Url>,
    /// Where viewers reach it.
    pub advertise: Advertise,
    /// How the cluster sees it.
    pub state: NodeState,
    /// Its work leaves, and new viewers should go elsewhere.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub draining: bool,
    /// It serves as many viewers as it may.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub full: bool,
}

/// Where a camera is, and how it may be watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Route {
    /// Which camera.
    pub camera_id: CameraId,
    /// Its project.
    pub project_id: ProjectId,
    /// Its name, for pages and logs.
    pub camera_name: String,
    /// Who brings it in, if anybody does: the holder of its ingest slot.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin: Option<NodeId>,
    /// Under which assignment.
    pub epoch: i64,
    /// What to know of the camera when somebody wants to watch it.
    #[serde(skip_serializing_if = "ViewPolicy::is_empty", default)]
    pub view: ViewPolicy,
}

/// What has changed in the directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DirectoryUpdate {
    /// Up to where this tells: what the edge says when it watches again. Only controllers know what
    /// it means; it may be lower than one before, when the database was set back.
    pub cursor: i64,
    /// True if this is everything there is, and what is not in it does not exist.
    pub complete: bool,
    /// True if the next line of this kind goes on with it: nothing of it counts before the last one,
    /// which does not say so.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub more: bool,
    /// New or changed edges.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub peers: Vec<Peer>,
    /// Edges that do not exist any more.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub removed_peers: Vec<NodeId>,
    /// New or changed cameras.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub routes: Vec<Route>,
    /// Cameras that do not exist any more, or are disabled.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub removed_routes: Vec<CameraId>,
}

impl DirectoryUpdate {
    /// Goes on with `next`, where this says that there is more.
    pub fn append(&mut self, next: Self) {
        self.cursor = next.cursor;
        self.more = next.more;
        self.peers.extend(next.peers);
        self.removed_peers.extend(next.removed_peers);
        self.routes.extend(next.routes);
        self.removed_routes.extend(next.removed_routes);
    }
}
