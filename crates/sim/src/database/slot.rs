//! `controller/src/db/slot.rs`, `slot/report.rs` and `slot/watch.rs`.

use std::collections::{BTreeMap, BTreeSet};

use headworks_types::{NodeId, edge::SlotKey};

use super::{Database, SlotRow};

/// See `slot/report.rs`.
const MAX_EPOCH_LEAD: i64 = 1_000_000_000;

/// What an edge says of a slot: the epoch under which it does it.
pub type Report = (SlotKey, i64);

/// What a node should do: the slot and the epoch of its assignment.
pub type Assignment = (SlotKey, i64);

impl Database {
    /// Adds a slot that nobody holds.
    pub fn slot_insert(&mut self, key: SlotKey) {
        self.slots.insert(
            key,
            SlotRow {
                epoch: 0,
                reported_epoch: 0,
                node_id: None,
                cost: 0,
                left_node_id: None,
                left_revision: None,
                wanted: true,
                reason: "waits for the planner".to_owned(),
            },
        );
    }

    /// Raises what was reported. Where it is above the slot's epoch, the holder gets the slot anew.
    pub fn slot_report(&mut self, reports: &[Report]) {
        let mut seen: BTreeMap<SlotKey, i64> = BTreeMap::new();
        for (key, epoch) in reports {
            let highest = seen.entry(*key).or_insert(*epoch);
            *highest = (*highest).max(*epoch);
        }
        let mut holders = BTreeSet::new();
        for (key, epoch) in seen {
            let Some(slot) = self.slots.get_mut(&key) else {
                continue;
            };
            if epoch <= slot.reported_epoch || epoch >= slot.epoch + MAX_EPOCH_LEAD {
                continue;
            }
            slot.reported_epoch = epoch;
            if epoch > slot.epoch
                && let Some(holder) = slot.node_id
            {
                slot.epoch = epoch + 1;
                holders.insert(holder);
            }
        }
        self.revision_bump(holders);
    }

    /// All that the node should do.
    #[must_use]
    pub fn desired_list(&self, node: NodeId) -> Vec<Assignment> {
        let slots = self.slots.iter();
        slots
            .filter(|(_, slot)| slot.node_id == Some(node))
            .map(|(key, slot)| (*key, slot.epoch))
            .collect()
    }

    /// The user wants the slots or does not: as `slot_touch` and `slot_release`.
    pub fn slot_want(&mut self, keys: &[SlotKey], wanted: bool) {
        let mut holders = BTreeSet::new();
        let mut left = Vec::new();
        for key in keys {
            let Some(slot) = self.slots.get_mut(key) else {
                continue;
            };
            slot.wanted = wanted;
            let Some(holder) = slot.node_id else {
                continue;
            };
            holders.insert(holder);
            if !wanted {
                slot.node_id = None;
                slot.left_node_id = Some(holder);
                slot.left_revision = None;
                left.push(*key);
                if let Some(node) = self.nodes.get_mut(&holder) {
                    node.used -= slot.cost;
                }
                slot.cost = 0;
            }
        }
        self.revision_bump(holders);
        self.slot_mark_left(left);
    }

    /// Notes for slots that have just lost their nodes by which revisions they did.
    pub(super) fn slot_mark_left(&mut self, keys: impl IntoIterator<Item = SlotKey>) {
        for key in keys {
            if let Some(slot) = self.slots.get_mut(&key)
                && slot.left_revision.is_none()
            {
                let node = slot.left_node_id.and_then(|node| self.nodes.get(&node));
                slot.left_revision = node.map(|node| node.revision);
            }
        }
    }
}
