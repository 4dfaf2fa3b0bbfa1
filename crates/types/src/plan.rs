//! What a change would move, before it is made.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{CameraId, Labels, NodeId, Placement, Validate, Violations, edge::SlotKey};

/// How many things of one kind a question names at most.
const MOST: usize = 10_000;
/// How many slots an answer lists at most; its summary counts all.
pub const PLAN_LISTED: usize = 1000;

/// Changes that are only thought of. Everything that is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PlanQuestion {
    /// Nodes that would take no new work.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cordon_nodes: Vec<NodeId>,
    /// Nodes that would be emptied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drain_nodes: Vec<NodeId>,
    /// Nodes that would be switched off without a word.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kill_nodes: Vec<NodeId>,
    /// Nodes that would be removed for good.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove_nodes: Vec<NodeId>,
    /// Nodes that would join.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add_nodes: Vec<PlanNode>,
    /// Nodes that would take more or less.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub node_capacities: Vec<PlanCapacity>,
    /// Cameras that would be changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cameras: Vec<PlanCamera>,
    /// Cameras that would be deleted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove_cameras: Vec<CameraId>,
}

impl Validate for PlanQuestion {
    fn validate(&self, found: &mut Violations) {
        for (name, length) in [
            ("cordon_nodes", self.cordon_nodes.len()),
            ("drain_nodes", self.drain_nodes.len()),
            ("kill_nodes", self.kill_nodes.len()),
            ("remove_nodes", self.remove_nodes.len()),
            ("add_nodes", self.add_nodes.len()),
            ("node_capacities", self.node_capacities.len()),
            ("cameras", self.cameras.len()),
            ("remove_cameras", self.remove_cameras.len()),
        ] {
            if length > MOST {
                found.report(name, format!("must be at most {MOST}"));
            }
        }
        for (index, node) in self.add_nodes.iter().enumerate() {
            found.within(&format!("add_nodes/{index}"), |found| node.validate(found));
        }
        for (index, camera) in self.cameras.iter().enumerate() {
            if let Some(placement) = &camera.placement {
                found.within(&format!("cameras/{index}/placement"), |found| {
                    placement.validate(found);
                });
            }
        }
    }
}

/// A node that would join, and could do everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanNode {
    /// What it would be called.
    pub name: String,
    /// Where it would stand.
    pub site: String,
    /// The network area that it would belong to.
    pub zone: String,
    /// Its labels.
    #[serde(default)]
    pub labels: Labels,
    /// How much it would take, in units.
    pub capacity: u32,
}

impl Validate for PlanNode {
    fn validate(&self, found: &mut Violations) {
        found.text("name", &self.name, 63);
        found.text("site", &self.site, 63);
        found.text("zone", &self.zone, 63);
        found.within("labels", |found| self.labels.validate(found));
        if self.capacity > 100_000 {
            found.report("capacity", "must be at most 100000");
        }
    }
}

/// A node that would take more or less.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanCapacity {
    /// Which.
    pub node_id: NodeId,
    /// How much it would take, in units.
    pub capacity: u32,
}

/// A camera that would be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanCamera {
    /// Which.
    pub camera_id: CameraId,
    /// Which nodes might do its work, whole.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub placement: Option<Placement>,
    /// Whether it would be enabled.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub enabled: Option<bool>,
}

/// What the changes would come to, apart from what happens anyway.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanPreview {
    /// Work that would move, begin or stop, at most 1000.
    pub moves: Vec<PlanMove>,
    /// Wanted work that would find no place, at most 1000.
    pub unplaced: Vec<PlanMove>,
    /// How much of all that there is.
    pub summary: PlanSummary,
}

/// One unit of work that would not be where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanMove {
    /// Which.
    #[serde(flatten)]
    pub slot: SlotKey,
    /// What its camera is called.
    pub camera_name: String,
    /// Where it is now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from_node: Option<String>,
    /// Where it would be.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to_node: Option<String>,
    /// Why.
    pub reason: String,
    /// True if whoever watches, publishes or is pushed to would notice.
    pub interrupts: bool,
    /// How many watch its camera now, anywhere. Zero of restreams.
    pub viewers: u32,
    /// True if somebody publishes it now.
    pub published: bool,
}

/// How much would change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanSummary {
    /// Work that would move, begin or stop.
    pub moves: u32,
    /// Wanted work that would find no place.
    pub unplaced: u32,
    /// Who would notice.
    pub interrupted: PlanImpact,
    /// Who would not, although what they see moves.
    pub unbroken: PlanImpact,
}

/// Whom something reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanImpact {
    /// Sessions of viewers.
    pub viewers: u32,
    /// Publishers.
    pub publishers: u32,
    /// Pushes to other servers.
    pub restreams: u32,
}
