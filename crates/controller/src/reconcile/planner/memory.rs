//! What the planner knows of the fleet, from turn to turn.
//!
//! The nodes are read at each turn. Slots are read whole at the first and every [`WHOLE`]; in
//! between only those of cameras that triggers have noted as changed, and of such as wait for
//! something that only time or an edge brings: to arrive, or for their last holder to stop.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use headworks_planner::{Fleet, Intake, Node, Slot, Wanted};
use headworks_types::{CameraId, NodeId, NodeState, edge::SlotKey};
use sqlx::PgConnection;
use tokio::time::Instant;
use uuid::Uuid;

use super::Status;
use crate::{
    db::{
        node::{node_fleet, node_heat},
        planner_lease::planner_hold,
        slot::{FleetSlot, plan_change_take, slot_fleet, slot_near},
    },
    state::State,
};

/// How often all slots are read.
const WHOLE: Duration = Duration::from_secs(30);

/// What is there.
pub(crate) struct Listed {
    pub(crate) fleet: Fleet,
    /// Epoch and stored reason of each slot.
    pub(crate) marks: HashMap<SlotKey, (i64, String)>,
}

/// What is known under one term.
pub(crate) struct Memory {
    pub(super) listed: Listed,
    term: i64,
    /// When all slots were read.
    read_at: Instant,
    /// Cameras that something was wanted of that could not be done.
    again: BTreeSet<CameraId>,
    /// How many slots nobody can take.
    pub(super) refused: usize,
}

impl Memory {
    pub(super) fn new(listed: Listed, term: i64, state: &State) -> Self {
        Self {
            listed,
            term,
            read_at: state.clock.monotonic(),
            again: BTreeSet::new(),
            refused: 0,
        }
    }

    pub(super) fn is_of(&self, term: i64) -> bool {
        self.term == term
    }

    /// Remembers how it went, and what was to move.
    pub(super) fn acted(&mut self, status: &Status, moved: BTreeSet<CameraId>) {
        self.refused = status.refused;
        if status.postponed > 0 {
            self.again = moved;
        }
    }
}

/// Takes note of which nodes are too busy, and takes what was noted as changed. Whoever takes it has
/// to read it, or everything; `None` if `me` does not plan under this term any more, and nothing is
/// taken from who does.
pub(crate) async fn take(
    state: &State,
    me: Uuid,
    term: i64,
) -> sqlx::Result<Option<BTreeSet<CameraId>>> {
    let mut tx = state.pool.begin().await?;
    if !planner_hold(&mut tx, me, term).await? {
        return Ok(None);
    }
    node_heat(&mut tx).await?;
    let changed = plan_change_take(&mut tx).await?;
    tx.commit().await?;
    Ok(Some(changed.into_iter().collect()))
}

/// Reads everything.
pub(crate) async fn list(state: &State) -> sqlx::Result<Listed> {
    let mut conn = state.pool.acquire().await?;
    listed(state, &mut conn).await
}

/// Reads everything, for somebody who only looks.
pub(crate) async fn read(state: &State, conn: &mut PgConnection) -> sqlx::Result<Fleet> {
    Ok(listed(state, conn).await?.fleet)
}

async fn listed(state: &State, conn: &mut PgConnection) -> sqlx::Result<Listed> {
    let nodes = node_fleet(conn, state.config.lease_suspect).await?;
    let mut listed = Listed {
        fleet: Fleet {
            nodes,
            slots: Vec::new(),
        },
        marks: HashMap::new(),
    };
    let slots = slot_fleet(conn, None).await?;
    listed.add(conn, slots).await?;
    Ok(listed)
}

/// Reads what has changed: the nodes, and the slots of these cameras. False if that is nothing. Many
/// cameras are read with all the rest, which is then cheaper.
pub(crate) async fn refresh(
    state: &State,
    mut known: Memory,
    mut cameras: BTreeSet<CameraId>,
) -> sqlx::Result<(Memory, bool)> {
    let mut conn = state.pool.acquire().await?;
    let nodes = node_fleet(&mut conn, state.config.lease_suspect).await?;
    let nodes_changed = nodes != known.listed.fleet.nodes;
    known.listed.fleet.nodes = nodes;
    cameras.extend(known.listed.waiting());
    cameras.append(&mut known.again);
    let now = state.clock.monotonic();
    let many = known.listed.fleet.slots.len() / 4;
    if now - known.read_at > WHOLE || cameras.len() > many.max(1000) {
        let slots = slot_fleet(&mut conn, None).await?;
        known.listed.forget(|_| true);
        known.listed.add(&mut conn, slots).await?;
        known.read_at = now;
        return Ok((known, true));
    }
    if !cameras.is_empty() {
        let list: Vec<_> = cameras.iter().copied().collect();
        let slots = slot_fleet(&mut conn, Some(&list)).await?;
        known.listed.forget(|camera| cameras.contains(&camera));
        known.listed.add(&mut conn, slots).await?;
    }
    Ok((known, nodes_changed || !cameras.is_empty()))
}

impl Listed {
    fn forget(&mut self, is_gone: impl Fn(CameraId) -> bool) {
        self.fleet.slots.retain(|slot| !is_gone(slot.key.camera_id));
        self.marks.retain(|slot, _| !is_gone(slot.camera_id));
    }

    async fn add(&mut self, conn: &mut PgConnection, slots: Vec<FleetSlot>) -> sqlx::Result<()> {
        for FleetSlot {
            slot,
            epoch,
            reason,
        } in slots
        {
            self.marks.insert(slot.key, (epoch, reason));
            self.fleet.slots.push(slot);
        }
        self.approach(conn).await
    }

    /// Finds out who is watched where, of what needs a place.
    async fn approach(&mut self, conn: &mut PgConnection) -> sqlx::Result<()> {
        let leaving: BTreeSet<NodeId> = self
            .fleet
            .nodes
            .iter()
            .filter(|node| loses(node))
            .map(|node| node.id)
            .collect();
        let needs_place = |slot: &Slot| {
            let leads = slot.wanted == Wanted::Yes && slot.follows.is_none();
            leads && slot.node.is_none_or(|node| leaving.contains(&node))
        };
        let slots = || self.fleet.slots.iter().filter(|slot| needs_place(slot));
        let cameras: Vec<_> = slots().map(|slot| slot.key.camera_id).collect();
        if cameras.is_empty() {
            return Ok(());
        }
        let near = slot_near(conn, &cameras).await?;
        for slot in self.fleet.slots.iter_mut().filter(|slot| needs_place(slot)) {
            slot.near = near.get(&slot.key.camera_id).cloned().unwrap_or_default();
        }
        Ok(())
    }

    /// Cameras whose slots wait for something that nobody notes.
    fn waiting(&self) -> BTreeSet<CameraId> {
        let nodes: BTreeMap<NodeId, &Node> = self
            .fleet
            .nodes
            .iter()
            .map(|node| (node.id, node))
            .collect();
        let is_dead = |node: &NodeId| {
            let node = nodes.get(node);
            node.is_none_or(|node| node.state == NodeState::Dead)
        };
        let waits = |slot: &&Slot| {
            let bound = slot.bound.as_ref();
            let arrives = slot.coming_from.and_then(|from| nodes.get(&from));
            let waits = bound.is_some_and(|bound| slot.node.is_none() || is_dead(bound));
            slot.wanted == Wanted::Yes && (waits || arrives.is_some_and(|from| loses(from)))
        };
        let waiting = self.fleet.slots.iter().filter(waits);
        waiting.map(|slot| slot.key.camera_id).collect()
    }
}

/// True if work leaves the node.
fn loses(node: &Node) -> bool {
    node.hot || node.intake == Intake::Draining || node.state == NodeState::Dead
}
