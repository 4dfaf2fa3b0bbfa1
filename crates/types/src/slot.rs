//! Slots as people see them: units of placeable work, where they are and where they were.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    CameraId, CameraState, NodeId,
    edge::{Role, SlotKey},
};

/// One unit of placeable work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Slot {
    /// Which.
    #[serde(flatten)]
    pub key: SlotKey,
    /// Rises with each assignment.
    pub epoch: i64,
    /// Who does it; absent if nobody does.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node_id: Option<NodeId>,
    /// That node's name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node_name: Option<String>,
    /// How many units it takes from the node; 0 while nobody does it.
    pub cost: u32,
    /// Why it is where it is, or why it is nowhere, in words.
    pub reason: String,
    /// When it was given to its node, or taken from the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub assigned_at: Option<DateTime<Utc>>,
    /// How it goes. Of a restream, `live` means that it pushes.
    pub state: CameraState,
    /// The same for people.
    pub message: String,
    /// Since when it goes like that.
    pub since: DateTime<Utc>,
    /// What went wrong last, even if it goes well again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_error: Option<String>,
    /// When that was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_error_at: Option<DateTime<Utc>>,
}

/// That a slot was given to a node, or taken from one. The last 50 of each slot are kept, for 90
/// days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SlotMove {
    /// Which slot.
    #[serde(flatten)]
    pub key: SlotKey,
    /// Its epoch from then on.
    pub epoch: i64,
    /// Who had it; absent if nobody had. The node may be gone by now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from_node_id: Option<NodeId>,
    /// What that node was called.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from_node_name: Option<String>,
    /// Who got it; absent if nobody did. The node may be gone by now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to_node_id: Option<NodeId>,
    /// What that node was called.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to_node_name: Option<String>,
    /// Why, in words.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// Why a camera is where it is, and what each node has to say to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CameraPlacement {
    /// Which camera.
    pub camera_id: CameraId,
    /// Its slots: its own, and those of its restreams.
    pub slots: Vec<Slot>,
    /// Where they were, newest first, at most 20.
    pub moves: Vec<SlotMove>,
    /// What each node could do for the camera.
    pub nodes: Vec<NodeFit>,
}

/// Whether a node could take a camera.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeFit {
    /// Which node.
    pub node_id: NodeId,
    /// What people call it.
    pub name: String,
    /// The place where it stands.
    pub site: String,
    /// True if it has the camera.
    pub has: bool,
    /// True if nothing keeps it from having the camera.
    pub fits: bool,
    /// What keeps it from that, or how much room it has, in words.
    pub reason: String,
}

impl SlotMove {
    /// "edge-1 → edge-2", with "nowhere" for none.
    #[must_use]
    pub fn words(&self) -> String {
        let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "nowhere".to_owned());
        format!(
            "{} → {}",
            name(&self.from_node_name),
            name(&self.to_node_name)
        )
    }

    /// "ingest", "restream 3"
    #[must_use]
    pub fn what(&self) -> String {
        what(self.key)
    }
}

impl Slot {
    /// "ingest", "restream 3"
    #[must_use]
    pub fn what(&self) -> String {
        what(self.key)
    }
}

fn what(key: SlotKey) -> String {
    match key.role {
        Role::Ingest => key.role.as_str().to_owned(),
        role => format!("{} {}", role.as_str(), key.ordinal),
    }
}
