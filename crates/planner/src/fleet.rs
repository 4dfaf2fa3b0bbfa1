//! What the planner looks at, and what it answers.

use std::num::NonZeroU32;

use headworks_types::{Labels, NodeId, NodeState, Placement, edge::SlotKey};

/// All nodes and all slots, in any order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fleet {
    /// Every node, dead ones too, so that reasons can name them.
    pub nodes: Vec<Node>,
    /// Every slot, unwanted ones too.
    pub slots: Vec<Slot>,
}

/// Something that work can be placed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// What people call it; reasons use it.
    pub name: String,
    /// The place where it stands.
    pub site: String,
    /// Its labels.
    pub labels: Labels,
    /// How many units it takes in all. What is used follows from the slots.
    pub alloc: u32,
    /// Ready nodes take new work, suspect ones keep theirs, dead ones lose it when another can
    /// take it.
    pub state: NodeState,
    /// Whether it takes new work while it is ready.
    pub intake: Intake,
}

/// Whether a node takes new work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Intake {
    /// It does.
    #[default]
    Open,
    /// An operator has closed it: it keeps what it has.
    Cordoned,
    /// It is being emptied: what it has leaves, as soon as another node can take it.
    Draining,
    /// It has died too often lately; it keeps what it has until it is trusted again.
    Unsteady,
}

/// One unit of placeable work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Which.
    pub key: SlotKey,
    /// Where it is now.
    pub node: Option<NodeId>,
    /// Should it be anywhere?
    pub wanted: Wanted,
    /// Which nodes may do it.
    pub placement: Placement,
    /// How many units it takes from a node.
    pub cost: NonZeroU32,
    /// The slot whose node it must share: it goes wherever that one is, and nowhere else.
    pub follows: Option<SlotKey>,
    /// The node that may still be doing the work, of a slot that two may never do at once. Until
    /// it has stopped, nobody else is given the slot.
    pub bound: Option<NodeId>,
}

/// Should a slot be anywhere?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Yes.
    Yes,
    /// No, and this is why, in words.
    No(&'static str),
}

/// What the operator wishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// True if a slot that runs well may move so that another one finds a place at all.
    pub make_room: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self { make_room: true }
    }
}

/// What to change. Each list is in the order of the slots' keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Slots that get a node, or another one.
    pub moves: Vec<Move>,
    /// Slots that lose their node and get none.
    pub releases: Vec<Release>,
    /// Wanted slots that nobody can take and that stay as they are: without a node, or with one
    /// that is dead.
    pub refusals: Vec<Refusal>,
}

/// A slot gets a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Which slot.
    pub slot: SlotKey,
    /// Where it was.
    pub from: Option<NodeId>,
    /// Where it goes.
    pub to: NodeId,
    /// What it takes from that node.
    pub cost: NonZeroU32,
    /// Why there, in words.
    pub reason: String,
}

/// A slot loses its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Which slot.
    pub slot: SlotKey,
    /// Where it was.
    pub from: NodeId,
    /// Why, in words.
    pub reason: String,
}

/// A wanted slot that nobody can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which slot.
    pub slot: SlotKey,
    /// Why, in words that name the nodes.
    pub reason: String,
}
