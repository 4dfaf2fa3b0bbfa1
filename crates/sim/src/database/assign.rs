//! `controller/src/db/slot/assign.rs` and `slot/handover.rs`.

use std::collections::BTreeSet;

use headworks_planner::Intake;
use headworks_types::{
    NodeId,
    edge::{Fencing, Role, SlotKey},
};

use super::{Database, Rules, Stamp};

/// One change of who holds a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Which slot.
    pub slot: SlotKey,
    /// Its epoch when the step was decided.
    pub epoch: i64,
    /// Its holder when the step was decided.
    pub from: Option<NodeId>,
    /// Its new holder.
    pub to: Option<NodeId>,
    /// What it takes from the new holder.
    pub cost: i64,
    /// Why.
    pub reason: String,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, under this epoch.
    Done(i64),
    /// The slot has changed, or its last holder may still work.
    Stale,
    /// The new holder has no room, or takes no new work.
    Full,
}

impl Database {
    /// Performs the steps that are still possible, each for another slot.
    pub fn slot_assign(&mut self, now: Stamp, rules: &Rules, steps: &[Step]) -> Vec<Outcome> {
        let mut outcomes = vec![Outcome::Stale; steps.len()];
        let mut open: Vec<usize> = (0..steps.len())
            .filter(|index| self.is_possible(&steps[*index]))
            .filter(|index| !(rules.bound && self.is_bound(now, rules, &steps[*index])))
            .collect();
        let mut done = Vec::new();
        // A step may need room that another one makes, so go on until nothing changes.
        loop {
            let before = open.len();
            open.retain(|index| {
                let moved = self.book(&steps[*index]);
                if moved {
                    done.push(*index);
                }
                !moved
            });
            if open.len() == before {
                break;
            }
        }
        for index in open {
            outcomes[index] = Outcome::Full;
        }
        let mut touched = BTreeSet::new();
        for index in done {
            let step = &steps[index];
            touched.extend([step.from, step.to].into_iter().flatten());
            outcomes[index] = Outcome::Done(self.slot_write(rules, step));
        }
        self.revision_bump(touched);
        let released = steps
            .iter()
            .zip(&outcomes)
            .filter(|(step, outcome)| step.to.is_none() && matches!(outcome, Outcome::Done(_)))
            .map(|(step, _)| step.slot);
        self.slot_mark_left(released);
        outcomes
    }

    fn is_possible(&self, step: &Step) -> bool {
        self.slots.get(&step.slot).is_some_and(|slot| {
            slot.epoch == step.epoch
                && slot.node_id == step.from
                && (slot.wanted || step.to.is_none())
        })
    }

    /// True if the step gives a strict slot to another node than the one that may still work.
    fn is_bound(&self, now: Stamp, rules: &Rules, step: &Step) -> bool {
        let bound = || {
            let slot = self.slots.get(&step.slot)?;
            let last = slot.node_id.or(slot.left_node_id)?;
            let holder = self.last_holder(now, rules, last)?;
            Some(step.to? != last && holder.may_still_work(slot.left_revision))
        };
        step.slot.role.fencing() == Fencing::Strict && bound().unwrap_or(false)
    }

    /// Moves the slot's cost from account to account; false if there is no room, or the node takes no
    /// new work.
    fn book(&mut self, step: &Step) -> bool {
        let Some(slot) = self.slots.get(&step.slot) else {
            return false;
        };
        let (holder, held) = (slot.node_id, slot.cost);
        if let Some(to) = step.to {
            let Some(account) = self.nodes.get_mut(&to) else {
                return false;
            };
            let back = if holder == Some(to) { held } else { 0 };
            let comes = holder != Some(to) && step.slot.role != Role::Restream;
            let closed = matches!(account.intake, Intake::Cordoned | Intake::Draining);
            if closed && comes || account.used - back + step.cost > account.alloc {
                return false;
            }
            account.used += step.cost;
        }
        if let Some(account) = holder.and_then(|from| self.nodes.get_mut(&from)) {
            account.used -= held;
        }
        true
    }

    /// Writes the new holder; an assignment raises the epoch above everything that was ever seen.
    fn slot_write(&mut self, rules: &Rules, step: &Step) -> i64 {
        let Some(slot) = self.slots.get_mut(&step.slot) else {
            return 0;
        };
        if step.to.is_none() {
            slot.left_revision = slot.left_revision.filter(|_| slot.node_id.is_none());
            slot.left_node_id = slot.node_id.or(slot.left_node_id);
            slot.cost = 0;
        } else {
            (slot.left_node_id, slot.left_revision) = (None, None);
            slot.cost = step.cost;
            let reported = if rules.above_reported {
                slot.reported_epoch
            } else {
                0
            };
            slot.epoch = slot.epoch.max(reported) + 1;
        }
        slot.node_id = step.to;
        slot.reason.clone_from(&step.reason);
        slot.epoch
    }

    /// Stores why slots are where they are, as far as their epoch is still the given one.
    pub fn slot_explain(&mut self, reasons: &[(SlotKey, i64, String)]) {
        for (key, epoch, reason) in reasons {
            if let Some(slot) = self.slots.get_mut(key)
                && slot.epoch == *epoch
                && slot.wanted
            {
                slot.reason.clone_from(reason);
            }
        }
    }
}
