//! The board on which a plan is worked out: who is where, and why.
//!
//! Nodes and slots are sorted once and then named by their index, so nothing depends on the order
//! of the input.

use std::{cmp::Reverse, collections::HashMap};

use headworks_types::{NodeId, NodeState, edge::SlotKey};

use crate::{
    class::Classes,
    fleet::{Fleet, Intake, Move, Node, Plan, Refusal, Release, Slot, Wanted},
    reason::Reasons,
    score::{Load, Score, rendezvous},
};

/// See the module's documentation.
pub(crate) struct Board<'a> {
    /// In the order of their ids.
    pub(crate) nodes: Vec<&'a Node>,
    /// Units in use, by node.
    pub(crate) used: Vec<u64>,
    /// In the order of their keys.
    pub(crate) work: Vec<Work<'a>>,
    pub(crate) classes: Classes<'a>,
}

/// A slot on the board.
pub(crate) struct Work<'a> {
    pub(crate) slot: &'a Slot,
    pub(crate) class: usize,
    /// Where it was before, if that node still exists.
    pub(crate) home: Option<usize>,
    /// Where it shall be.
    pub(crate) at: Option<usize>,
    /// The slot that it follows, if any.
    pub(crate) leader: Option<Leader>,
    /// True if a follower runs beside it: then it does not move to make room for others.
    pub(crate) led: bool,
    /// Why it is not where it was.
    pub(crate) cause: Cause,
    /// How many nodes could have taken it.
    pub(crate) choice: usize,
}

/// The slot that another one follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leader {
    /// Its index.
    Index(usize),
    /// There is none of that key.
    Missing,
}

/// Why a slot is not where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It is, or was nowhere.
    None,
    /// Its node is dead or was removed.
    Gone,
    /// Its node does not fit its placement any more.
    Unfit,
    /// Its node has become too small.
    Full,
    /// It makes room for this slot (an index).
    Room(usize),
}

impl Work<'_> {
    pub(crate) fn cost(&self) -> u64 {
        u64::from(self.slot.cost.get())
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.slot.wanted == Wanted::Yes
    }

    /// True if it is wanted, chooses its place itself and has none yet.
    pub(crate) fn is_pending(&self) -> bool {
        self.is_wanted() && self.at.is_none() && self.leader.is_none()
    }
}

impl<'a> Board<'a> {
    pub(crate) fn new(fleet: &'a Fleet) -> Self {
        let mut nodes: Vec<_> = fleet.nodes.iter().collect();
        nodes.sort_unstable_by_key(|node| node.id);
        let index: HashMap<NodeId, usize> = nodes
            .iter()
            .enumerate()
            .map(|(index, node)| (node.id, index))
            .collect();
        let mut slots: Vec<_> = fleet.slots.iter().collect();
        slots.sort_unstable_by_key(|slot| slot.key);
        let place: HashMap<SlotKey, usize> = slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.follows.is_none())
            .map(|(place, slot)| (slot.key, place))
            .collect();
        let leader = |key| {
            place
                .get(&key)
                .map_or(Leader::Missing, |at| Leader::Index(*at))
        };
        let mut classes = Classes::default();
        let work = slots
            .into_iter()
            .map(|slot| Work {
                slot,
                class: classes.of(&slot.placement, &nodes),
                home: slot.node.and_then(|id| index.get(&id).copied()),
                at: None,
                leader: slot.follows.map(leader),
                led: false,
                cause: Cause::None,
                choice: 0,
            })
            .collect();
        Self {
            used: vec![0; nodes.len()],
            nodes,
            work,
            classes,
        }
    }

    /// Leaves every slot where it is, if it may be there: first those that choose their place, then
    /// those that follow one. Where a node has become too small, the older slots stay.
    pub(crate) fn keep(&mut self) {
        for index in 0..self.work.len() {
            if self.work[index].leader.is_none() {
                self.keep_one(index);
            }
        }
        for index in 0..self.work.len() {
            if let Some(Leader::Index(leader)) = self.work[index].leader
                && self.work[leader].at.is_some()
                && self.work[leader].at == self.work[index].home
            {
                self.keep_one(index);
                self.work[leader].led |= self.work[index].at.is_some();
            }
        }
    }

    fn keep_one(&mut self, index: usize) {
        let work = &mut self.work[index];
        if !work.is_wanted() || work.slot.node.is_none() {
            return;
        }
        let Some(home) = work
            .home
            .filter(|home| self.nodes[*home].state != NodeState::Dead)
        else {
            work.cause = Cause::Gone;
            return;
        };
        let fitting = &self.classes.list[work.class].nodes;
        if fitting.binary_search(&home).is_err() {
            work.cause = Cause::Unfit;
        } else if self.used[home] + work.cost() > u64::from(self.nodes[home].alloc) {
            work.cause = Cause::Full;
        } else {
            self.used[home] += work.cost();
            work.at = Some(home);
        }
    }

    /// Places what has no place: the most expensive first, then those with the fewest nodes to
    /// choose from.
    pub(crate) fn place(&mut self) {
        for index in self.pending() {
            let work = &self.work[index];
            let best = self.classes.list[work.class]
                .nodes
                .iter()
                .filter(|node| self.has_room(**node, work.cost()))
                .map(|node| (self.score(work, *node), *node));
            let (choice, best) = best.fold((0, None), |(choice, best), next| {
                (
                    choice + 1,
                    Some(best.map_or(next, |best| std::cmp::min(best, next))),
                )
            });
            if let Some((_, node)) = best {
                self.used[node] += work.cost();
                let work = &mut self.work[index];
                work.at = Some(node);
                work.choice = choice;
            }
        }
    }

    /// Indices of what has no place, in the order in which it gets one.
    pub(crate) fn pending(&self) -> Vec<usize> {
        let mut pending: Vec<usize> = (0..self.work.len())
            .filter(|index| self.work[*index].is_pending())
            .collect();
        pending.sort_by_key(|index| {
            let work = &self.work[*index];
            (
                Reverse(work.cost()),
                self.classes.list[work.class].nodes.len(),
            )
        });
        pending
    }

    /// True if the node takes new work, and so much.
    pub(crate) fn has_room(&self, node: usize, cost: u64) -> bool {
        self.nodes[node].state == NodeState::Ready
            && self.nodes[node].intake == Intake::Open
            && self.used[node] + cost <= u64::from(self.nodes[node].alloc)
    }

    fn score(&self, work: &Work<'_>, node: usize) -> Score {
        Score {
            load: Load {
                used: self.used[node] + work.cost(),
                alloc: u64::from(self.nodes[node].alloc),
            },
            hash: rendezvous(work.slot.key, self.nodes[node].id),
            node: self.nodes[node].id,
        }
    }

    pub(crate) fn into_plan(self) -> Plan {
        let mut plan = Plan::default();
        let mut reasons = Reasons::new(&self);
        for work in &self.work {
            let slot = work.slot;
            match (slot.wanted, work.at, slot.node) {
                (Wanted::No(_), _, None) => {}
                (Wanted::No(why), _, Some(from)) => plan.releases.push(Release {
                    slot: slot.key,
                    from,
                    reason: why.to_owned(),
                }),
                (Wanted::Yes, Some(at), from) if from == Some(self.nodes[at].id) => {}
                (Wanted::Yes, ..) if work.leader.is_some() => self.plan_follower(work, &mut plan),
                (Wanted::Yes, Some(at), from) => plan.moves.push(Move {
                    slot: slot.key,
                    from,
                    to: self.nodes[at].id,
                    cost: slot.cost,
                    reason: reasons.placed(work, at),
                }),
                // A dead node may only be cut off and still do the work.
                (Wanted::Yes, None, Some(from)) if work.cause != Cause::Gone => {
                    plan.releases.push(Release {
                        slot: slot.key,
                        from,
                        reason: reasons.refused(work),
                    });
                }
                (Wanted::Yes, None, _) => plan.refusals.push(Refusal {
                    slot: slot.key,
                    reason: reasons.refused(work),
                }),
            }
        }
        plan
    }
}
