//! What the planner looks at, and what it answers.

use std::num::NonZeroU32;

use headworks_types::{
    CameraGroupId, Capabilities, Labels, NodeId, NodeState, Placement, edge::SlotKey,
};

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
    /// The network area it belongs to.
    pub zone: String,
    /// Its labels.
    pub labels: Labels,
    /// What it can do.
    pub capabilities: Capabilities,
    /// How many units it takes in all. What is used follows from the slots.
    pub alloc: u32,
    /// Ready nodes take new work, suspect ones keep theirs, dead ones lose it when another can
    /// take it.
    pub state: NodeState,
    /// Whether it takes new work while it is ready.
    pub intake: Intake,
    /// It has been too busy for some time: it gives work away until it is no more.
    pub hot: bool,
}

impl Node {
    /// A ready node of 100 units that can do everything, in site and zone `default`.
    #[must_use]
    pub fn new(id: NodeId, name: impl Into<String>) -> Self {
        Self {
            id,
            name: name.into(),
            site: "default".to_owned(),
            zone: "default".to_owned(),
            labels: Labels::default(),
            capabilities: Capabilities::ALL,
            alloc: 100,
            state: NodeState::Ready,
            intake: Intake::Open,
            hot: false,
        }
    }
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
    /// What a node must be able to do for it.
    pub needs: Capabilities,
    /// How many units it takes from a node: measured, or what its role declares.
    pub cost: NonZeroU32,
    /// How many units are booked for it on the node that has it. `None`: as many as it costs.
    pub booked: Option<NonZeroU32>,
    /// The slot whose node it must share: it goes wherever that one is, and nowhere else.
    pub follows: Option<SlotKey>,
    /// The node that may still be doing the work, of a slot that two may never do at once. Until
    /// it has stopped, nobody else is given the slot.
    pub bound: Option<NodeId>,
    /// Two may not do it at once, so it moves only if it must: its node lets go of it first.
    pub exclusive: bool,
    /// It has been where it is for long enough to be moved for balance.
    pub settled: bool,
    /// The node that it has left lately, while it has not arrived on its new one.
    pub coming_from: Option<NodeId>,
    /// The group of its camera: not all cameras of one should depend on one node.
    pub group: Option<CameraGroupId>,
    /// Nodes that have the stream already, because somebody watches it there.
    pub near: Vec<NodeId>,
}

impl Slot {
    /// A wanted slot of one unit that is nowhere and may be anywhere.
    #[must_use]
    pub fn new(key: SlotKey) -> Self {
        Self {
            key,
            node: None,
            wanted: Wanted::Yes,
            placement: Placement::default(),
            needs: Capabilities::NONE,
            cost: NonZeroU32::MIN,
            booked: None,
            follows: None,
            bound: None,
            exclusive: false,
            settled: false,
            coming_from: None,
            group: None,
            near: Vec::new(),
        }
    }

    /// How many units it takes from the node that has it.
    #[must_use]
    pub fn held(&self) -> NonZeroU32 {
        self.booked.unwrap_or(self.cost)
    }
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
    /// How many slots may be on their way at once from one node that is being emptied.
    pub drain_at_once: usize,
    /// How many slots may be on their way at once from one node that is too busy.
    pub rebalance_at_once: usize,
    /// A busy node gives work away until it is no fuller than this, in percent; no other node
    /// becomes fuller than this by it.
    pub cool_percent: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            make_room: true,
            drain_at_once: 20,
            rebalance_at_once: 4,
            cool_percent: 65,
        }
    }
}

/// What to change. Each list is in the order of the slots' keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Slots that get a node, or another one.
    pub moves: Vec<Move>,
    /// Slots that lose their node and get none.
    pub releases: Vec<Release>,
    /// Slots that stay where they are, and take more or less from their node than is booked.
    pub reprices: Vec<Reprice>,
    /// Wanted slots that nobody can take and that stay as they are: without a node, or with one
    /// that is dead.
    pub refusals: Vec<Refusal>,
}

impl Plan {
    /// True if it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.moves.is_empty() && self.releases.is_empty() && self.reprices.is_empty()
    }
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

/// A slot takes more or less from its node than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reprice {
    /// Which slot.
    pub slot: SlotKey,
    /// Where it is and stays.
    pub node: NodeId,
    /// What was booked for it there.
    pub from: NonZeroU32,
    /// What it takes from that node from now on.
    pub cost: NonZeroU32,
}

/// A wanted slot that nobody can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which slot.
    pub slot: SlotKey,
    /// Why, in words that name the nodes.
    pub reason: String,
}
