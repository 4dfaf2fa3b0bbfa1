//! The database, as far as the control loop needs it: its rows, and what the SQL of the controller
//! does to them. Each function has the name of the one in `controller/src/db` that it stands for, and
//! reads like its statement; `controller/src/db/slot/tests/model.rs` runs both side by side.
//!
//! A function is a transaction that runs alone: what a race could change is tested where the SQL is.
//! What the controller does in several transactions, the simulation does in several calls.

mod assign;
mod lease;
mod planner;
mod slot;

use std::collections::BTreeMap;

use headworks_planner::Intake;
use headworks_types::{
    NodeId,
    edge::{STRICT_MARGIN, STRICT_STOP, SlotKey},
};
use uuid::Uuid;

pub use assign::{Outcome, Step};
pub use lease::{Count, Renewal};
pub use slot::{Assignment, Report};

/// What `clock_timestamp()` says, in microseconds since some day.
pub type Stamp = i64;

/// One second.
pub const SECOND: Stamp = 1_000_000;

/// What the SQL checks; tests take a rule away to see that the simulation misses it.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// `planner_hold` looks at holder and term.
    pub term: bool,
    /// An assignment is above what was reported, and not only above the last one.
    pub above_reported: bool,
    /// `slot_bound` keeps strict slots from being given away early.
    pub bound: bool,
    /// A database on a new timeline may have lost commits.
    pub era: bool,
    /// How long after a lease strict work goes on to others.
    pub margin: Stamp,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            term: true,
            above_reported: true,
            bound: true,
            era: true,
            margin: stamp(STRICT_MARGIN),
        }
    }
}

/// As a difference of stamps.
#[must_use]
pub fn stamp(duration: std::time::Duration) -> Stamp {
    duration.as_micros().try_into().unwrap_or(Stamp::MAX)
}

/// All tables.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Database {
    /// `node` with `node_capacity` and `node_revision`.
    pub nodes: BTreeMap<NodeId, NodeRow>,
    /// `node_lease`.
    pub leases: BTreeMap<NodeId, LeaseRow>,
    /// `slot`, with the camera's or restream's `enabled`.
    pub slots: BTreeMap<SlotKey, SlotRow>,
    /// `planner_lease`.
    pub planner: Option<PlannerRow>,
    /// `database_era`: the timeline of the server that the rows were made for.
    pub era: i64,
    /// What the server says is its timeline; no row. It rises when a replica becomes the database.
    pub timeline: i64,
}

/// A node, its capacity and its revision.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeRow {
    /// Its name.
    pub name: String,
    /// When it was declared dead.
    pub died_at: Option<Stamp>,
    /// Whether it takes new work.
    pub intake: Intake,
    /// Units that it takes.
    pub alloc: i64,
    /// Units that are taken.
    pub used: i64,
    /// Rises with every change of what it should do.
    pub revision: i64,
}

/// A node's lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseRow {
    /// Which process is the node.
    pub instance: Uuid,
    /// When it renewed last.
    pub renewed_at: Stamp,
    /// When it runs out.
    pub expires_at: Stamp,
    /// It said that it stops.
    pub goodbye: bool,
    /// The revision that it has applied.
    pub applied_revision: i64,
    /// Until when a process before it may still do strict work.
    pub strict_after: Stamp,
}

/// A slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotRow {
    /// Rises with every assignment.
    pub epoch: i64,
    /// The highest epoch that any edge reported.
    pub reported_epoch: i64,
    /// Who holds it.
    pub node_id: Option<NodeId>,
    /// What that takes from the holder; 0 without one.
    pub cost: i64,
    /// Who held it before nobody did.
    pub left_node_id: Option<NodeId>,
    /// The revision that took it away.
    pub left_revision: Option<i64>,
    /// Should it be anywhere?
    pub wanted: bool,
    /// Why it is where it is.
    pub reason: String,
}

/// Who plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannerRow {
    /// Which controller.
    pub holder: Uuid,
    /// Under which term.
    pub term: i64,
    /// Until when, if it does not renew.
    pub expires_at: Stamp,
}

impl Database {
    /// Adds a node with its capacity and its first revision.
    pub fn node_insert(&mut self, id: NodeId, name: &str, alloc: i64) {
        self.nodes.insert(
            id,
            NodeRow {
                name: name.to_owned(),
                died_at: None,
                intake: Intake::Open,
                alloc,
                used: 0,
                revision: 1,
            },
        );
    }

    /// The node says that it takes so much: as `node_update`.
    pub fn node_resize(&mut self, id: NodeId, alloc: i64) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.alloc = alloc;
        }
    }

    /// `revision_get`.
    #[must_use]
    pub fn revision_get(&self, node: NodeId) -> Option<i64> {
        self.nodes.get(&node).map(|node| node.revision)
    }

    /// True as long as it is not known what a new timeline has lost.
    #[must_use]
    pub fn era_is_over(&self, rules: &Rules) -> bool {
        rules.era && self.era != self.timeline
    }

    /// `era_begin`: on a new timeline, raises all revisions above what was ever lost, and lets nobody
    /// do strict work until all that could do it before have stopped.
    pub fn era_begin(&mut self, now: Stamp, rules: &Rules) -> bool {
        if !self.era_is_over(rules) {
            return false;
        }
        self.era = self.timeline;
        for node in self.nodes.values_mut() {
            node.revision = node.revision.max(self.timeline << 32) + 1;
        }
        let stopped = now + stamp(STRICT_STOP) + rules.margin;
        for lease in self.leases.values_mut() {
            lease.strict_after = lease.strict_after.max(stopped);
        }
        true
    }

    /// `revision_bump`.
    fn revision_bump(&mut self, nodes: impl IntoIterator<Item = NodeId>) {
        for node in nodes {
            if let Some(node) = self.nodes.get_mut(&node) {
                node.revision += 1;
            }
        }
    }
}
