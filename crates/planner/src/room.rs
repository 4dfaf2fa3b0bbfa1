//! Finds room by shifting slots that can be elsewhere.
//!
//! For slots of equal cost this is bipartite matching: a search for augmenting paths. A path is a
//! chain "this slot goes there, which pushes that slot to …" that ends at a node with free room.
//! Where a search has failed once, it fails for every later slot of the same class and cost, so
//! each of these is searched once only.

use std::collections::{BTreeSet, VecDeque};

use crate::{
    board::{Board, Cause, Work},
    fleet::Policy,
};

/// One step of a path: `slot` leaves its node, which is `from`.
#[derive(Clone, Copy)]
struct Step {
    slot: usize,
    from: usize,
}

impl Work<'_> {
    /// True if it may be shifted for a slot of this cost without a change of what is used, and
    /// without a break for anybody.
    fn may_shift(&self, cost: u64, running: bool) -> bool {
        self.leader.is_none()
            && self.led == 0
            && !self.slot.exclusive
            && self.booked == cost
            && self.cost() == cost
            && (running || !self.stays())
    }
}

impl Board<'_> {
    /// Shifts slots so that pending ones find a place: first such as move anyway, which costs
    /// nothing, then running ones if the policy allows it.
    pub(crate) fn make_room(&mut self, policy: &Policy) {
        let mut pending = self.pending();
        pending.retain(|index| self.work[*index].slot.bound.is_none());
        if pending.is_empty() {
            return;
        }
        let mut held = self.held();
        let mut hopeless = BTreeSet::new();
        for index in pending {
            let kind = (self.work[index].class, self.work[index].cost());
            if hopeless.contains(&kind) {
                continue;
            }
            let found = self.shift(index, &mut held, false)
                || (policy.make_room && self.shift(index, &mut held, true));
            if !found {
                hopeless.insert(kind);
            }
        }
    }

    /// The slots on each node.
    pub(crate) fn held(&self) -> Vec<BTreeSet<usize>> {
        let mut held = vec![BTreeSet::new(); self.nodes.len()];
        for (index, work) in self.work.iter().enumerate() {
            if let Some(node) = work.at {
                held[node].insert(index);
            }
        }
        held
    }

    /// Finds the shortest chain that gives `wanting` a place, and performs it.
    fn shift(&mut self, wanting: usize, held: &mut [BTreeSet<usize>], running: bool) -> bool {
        let cost = self.work[wanting].cost();
        let mut reached_by: Vec<Option<Step>> = vec![None; self.nodes.len()];
        let mut seen = vec![false; self.nodes.len()];
        let mut asked = vec![false; self.classes.list.len()];
        let class = self.work[wanting].class;
        asked[class] = true;
        let mut queue: VecDeque<usize> = self.classes.list[class]
            .nodes
            .iter()
            .copied()
            .filter(|node| self.takes_new(*node))
            .collect();
        for node in &queue {
            seen[*node] = true;
        }
        while let Some(node) = queue.pop_front() {
            if self.has_room(node, cost) {
                self.perform(wanting, node, &reached_by, held);
                return true;
            }
            for &slot in &held[node] {
                let work = &self.work[slot];
                if asked[work.class] || !work.may_shift(cost, running) {
                    continue;
                }
                asked[work.class] = true;
                for &next in &self.classes.list[work.class].nodes {
                    if !seen[next] && self.takes_new(next) {
                        seen[next] = true;
                        reached_by[next] = Some(Step { slot, from: node });
                        queue.push_back(next);
                    }
                }
            }
        }
        false
    }

    /// Walks the chain back from its free end, moving each slot one node on.
    fn perform(
        &mut self,
        wanting: usize,
        end: usize,
        reached_by: &[Option<Step>],
        held: &mut [BTreeSet<usize>],
    ) {
        let mut free = end;
        while let Some(Step { slot, from }) = reached_by[free] {
            held[from].remove(&slot);
            held[free].insert(slot);
            let cost = self.work[slot].cost();
            self.lift(slot);
            self.put(slot, free, cost);
            let work = &mut self.work[slot];
            if work.home == Some(from) && work.cause == Cause::None {
                work.cause = Cause::Room(wanting);
            }
            if work.home == Some(free) {
                work.cause = Cause::None;
            }
            free = from;
        }
        held[free].insert(wanting);
        self.put(wanting, free, self.work[wanting].cost());
    }
}
