//! `controller/src/db/planner_lease.rs`, and the fleet as `reconcile/planner.rs` reads it.

use std::{num::NonZeroU32, time::Duration};

use headworks_duty::LastHolder;
use headworks_planner::{Node, Slot, Wanted};
use headworks_types::{
    NodeId,
    edge::{Fencing, Role, SlotKey},
};
use uuid::Uuid;

use super::{Database, PlannerRow, Rules, Stamp};

impl Database {
    /// Takes or extends the right to plan for `lease`. The term, or none while another has it.
    pub fn planner_acquire(&mut self, now: Stamp, me: Uuid, lease: Stamp) -> Option<i64> {
        let Some(row) = &mut self.planner else {
            self.planner = Some(PlannerRow {
                holder: me,
                term: 1,
                expires_at: now + lease,
            });
            return Some(1);
        };
        if row.holder != me && row.expires_at >= now {
            return None;
        }
        *row = PlannerRow {
            holder: me,
            term: row.term + i64::from(row.holder != me),
            expires_at: now + lease,
        };
        Some(row.term)
    }

    /// True if `me` still plans under `term`.
    #[must_use]
    pub fn planner_hold(&self, rules: &Rules, me: Uuid, term: i64) -> bool {
        !rules.term || self.is_planner(me, term)
    }

    /// The same, whatever the rules are.
    #[must_use]
    pub fn is_planner(&self, me: Uuid, term: i64) -> bool {
        self.planner
            .is_some_and(|row| (row.holder, row.term) == (me, term))
    }

    /// Gives the right up.
    pub fn planner_resign(&mut self, me: Uuid, term: i64) {
        if self.is_planner(me, term)
            && let Some(row) = &mut self.planner
        {
            row.expires_at = Stamp::MIN;
        }
    }

    /// All nodes as the planner wants them.
    #[must_use]
    pub fn node_fleet(&self, now: Stamp, suspect: Duration) -> Vec<Node> {
        let nodes = self.nodes.iter();
        nodes
            .map(|(id, node)| Node {
                alloc: u32::try_from(node.alloc).unwrap_or(0),
                state: self.life(now, *id).state(suspect),
                intake: node.intake,
                ..Node::new(*id, node.name.as_str())
            })
            .collect()
    }

    /// All slots as the planner wants them, with their epochs and reasons.
    #[must_use]
    pub fn slot_fleet(&self, now: Stamp, rules: &Rules) -> Vec<(Slot, i64, String)> {
        let slots = self.slots.iter();
        slots
            .map(|(key, row)| {
                let strict = key.role.fencing() == Fencing::Strict;
                let held = u32::try_from(row.cost).ok().and_then(NonZeroU32::new);
                let slot = Slot {
                    node: row.node_id,
                    wanted: if row.wanted {
                        Wanted::Yes
                    } else {
                        Wanted::No("it is stopped")
                    },
                    booked: held,
                    exclusive: strict,
                    follows: strict.then_some(SlotKey {
                        role: Role::Ingest,
                        ordinal: 0,
                        ..*key
                    }),
                    bound: strict.then(|| self.bound(now, rules, *key)).flatten(),
                    ..Slot::new(*key)
                };
                (slot, row.epoch, row.reason.clone())
            })
            .collect()
    }

    /// The node that may still do the strict slot's work.
    fn bound(&self, now: Stamp, rules: &Rules, key: SlotKey) -> Option<NodeId> {
        let row = self.slots.get(&key)?;
        let last = row.node_id.or(row.left_node_id)?;
        let holder = self.last_holder(now, rules, last)?;
        (rules.bound && holder.may_still_work(row.left_revision)).then_some(last)
    }

    /// What is known of a node that held a strict slot; none if it never renewed a lease.
    pub(super) fn last_holder(
        &self,
        now: Stamp,
        rules: &Rules,
        node: NodeId,
    ) -> Option<LastHolder> {
        let lease = self.leases.get(&node)?;
        Some(LastHolder {
            goodbye: lease.goodbye,
            over: lease.expires_at + rules.margin < now,
            succeeds: self.lease_held(now, rules, node),
            applied: lease.applied_revision,
            revision: self.revision_get(node)?,
        })
    }
}
