//! The board on which a plan is worked out: who is where, and why.
//!
//! Nodes and slots are sorted once and then named by their index, so nothing depends on the order
//! of the input.

use std::{cmp::Reverse, collections::HashMap, num::NonZeroU32};

use headworks_types::{Capabilities, NodeId, NodeState, edge::SlotKey};

use crate::{
    class::Classes,
    fleet::{Fleet, Intake, Node, Slot, Wanted},
    group::Groups,
    score::{Choice, Decided, Score, load, node_hash, rendezvous, slot_hash},
};

/// See the module's documentation.
pub(crate) struct Board<'a> {
    /// In the order of their ids.
    pub(crate) nodes: Vec<&'a Node>,
    /// Units in use, by node.
    pub(crate) used: Vec<u64>,
    /// Units that are kept for followers on their way, by node: no leader gets them.
    pub(crate) kept: Vec<u64>,
    /// Units that what stays or comes would take if there were room, by node.
    pub(crate) demand: Vec<u64>,
    /// In the order of their keys.
    pub(crate) work: Vec<Work<'a>>,
    pub(crate) classes: Classes<'a>,
    pub(crate) groups: Groups,
    hashes: Vec<u64>,
}

/// A slot on the board.
pub(crate) struct Work<'a> {
    pub(crate) slot: &'a Slot,
    pub(crate) class: usize,
    pub(crate) group: Option<usize>,
    /// Where it was before, if that node still exists.
    pub(crate) home: Option<usize>,
    /// Where it shall be.
    pub(crate) at: Option<usize>,
    /// What is booked for it there.
    pub(crate) booked: u64,
    /// The slot that it follows, if any.
    pub(crate) leader: Option<Leader>,
    /// What followers that run beside it, or did, take: then it moves only if it must.
    pub(crate) led: u64,
    /// What its followers need.
    pub(crate) followers_need: Capabilities,
    /// Why it is not where it was.
    pub(crate) cause: Cause,
    /// Among how many nodes its place was chosen, and by what.
    pub(crate) choice: Option<(usize, Decided)>,
    /// True if it should leave its node, but no other can take it.
    pub(crate) is_stuck: bool,
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
    /// Its node cannot do it any more.
    Unable,
    /// Its node has become too small.
    Full,
    /// It makes room for this slot (an index).
    Room(usize),
    /// Its node is being emptied.
    Drained,
    /// Its node is too busy.
    Hot,
    /// Its node cannot do what follows it.
    Followers,
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

    /// True if it was at its present place before.
    pub(crate) fn stays(&self) -> bool {
        self.at.is_some() && self.at == self.home
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
        let mut groups = Groups::default();
        let work = slots
            .into_iter()
            .map(|slot| Work {
                slot,
                class: classes.of(slot, &nodes),
                group: slot
                    .group
                    .filter(|_| slot.wanted == Wanted::Yes && slot.follows.is_none())
                    .map(|group| groups.join(group)),
                home: slot.node.and_then(|id| index.get(&id).copied()),
                at: None,
                booked: 0,
                leader: slot.follows.map(leader),
                led: 0,
                followers_need: Capabilities::NONE,
                cause: Cause::None,
                choice: None,
                is_stuck: false,
            })
            .collect();
        let mut board = Self {
            used: vec![0; nodes.len()],
            kept: vec![0; nodes.len()],
            demand: vec![0; nodes.len()],
            hashes: nodes.iter().map(|node| node_hash(node.id)).collect(),
            nodes,
            work,
            classes,
            groups,
        };
        board.learn_needs();
        board
    }

    /// Tells leaders what their followers need.
    fn learn_needs(&mut self) {
        for index in 0..self.work.len() {
            let work = &self.work[index];
            if let Some(Leader::Index(leader)) = work.leader
                && work.is_wanted()
            {
                let needs = work.slot.needs;
                let leader = &mut self.work[leader];
                leader.followers_need = leader.followers_need.union(needs);
            }
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
                if self.work[index].at.is_some() {
                    self.work[leader].led += self.work[index].cost();
                }
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
        let class = &self.classes.list[work.class];
        let booked = u64::from(work.slot.held().get());
        if class.unable.binary_search(&home).is_ok() {
            work.cause = Cause::Unable;
        } else if class.nodes.binary_search(&home).is_err() {
            work.cause = Cause::Unfit;
        } else if self.used[home] + booked > u64::from(self.nodes[home].alloc) {
            work.cause = Cause::Full;
        } else {
            self.put(index, home, booked);
        }
    }

    /// Books a slot that is nowhere onto the node.
    pub(crate) fn put(&mut self, index: usize, node: usize, cost: u64) {
        self.used[node] += cost;
        let work = &mut self.work[index];
        work.at = Some(node);
        work.booked = cost;
        self.groups.enter(work.group, node);
    }

    /// Takes a slot from where it is.
    pub(crate) fn lift(&mut self, index: usize) {
        let work = &mut self.work[index];
        if let Some(node) = work.at.take() {
            self.used[node] -= work.booked;
            work.booked = 0;
            self.groups.leave(work.group, node);
        }
    }

    /// Books what slots cost that stay where they are: first those that have become cheaper, then as
    /// much of the others as there is room for. What runs is not stopped because it costs more than
    /// was thought; it takes what room there is, and nothing new comes.
    pub(crate) fn reprice(&mut self) {
        for cheaper in [true, false] {
            for work in self.work.iter_mut().filter(|work| work.stays()) {
                let Some(node) = work.at else { continue };
                let cost = work.cost();
                if (cost < work.booked) == cheaper {
                    let free = u64::from(self.nodes[node].alloc).saturating_sub(self.used[node]);
                    let booked = cost.min(work.booked + free);
                    self.used[node] = self.used[node] + booked - work.booked;
                    work.booked = booked;
                }
            }
        }
    }

    /// Keeps room for followers that wait until their last holder has stopped.
    pub(crate) fn keep_room(&mut self) {
        for index in 0..self.work.len() {
            let work = &self.work[index];
            if let Some(Leader::Index(leader)) = work.leader
                && work.is_wanted()
                && work.at.is_none()
                && work.slot.bound.is_some()
                && let Some(node) = self.work[leader].at
            {
                let cost = work.cost();
                self.kept[node] += cost;
                self.work[leader].led += cost;
            }
        }
    }

    /// Places what has no place: the most expensive first, then those with the fewest nodes to
    /// choose from.
    pub(crate) fn place(&mut self) {
        for index in self.pending() {
            let work = &self.work[index];
            if let Some(best) = self.choose(work, |node| self.has_room(node, work.cost())) {
                self.put(index, best.node, self.work[index].cost());
                self.work[index].choice = Some((best.of, best.by));
            }
        }
    }

    /// The best node for the slot of those that may have it and are fine.
    pub(crate) fn choose(
        &self,
        work: &Work<'_>,
        is_fine: impl Fn(usize) -> bool,
    ) -> Option<Choice> {
        self.choose_any(work, |node| self.may_hold(work, node) && is_fine(node))
    }

    /// The same if nobody were doing the slot's work.
    pub(crate) fn choose_any(
        &self,
        work: &Work<'_>,
        is_fine: impl Fn(usize) -> bool,
    ) -> Option<Choice> {
        let hash = slot_hash(work.slot.key);
        let crowded = self.groups.crowded(work.group);
        let cost = work.cost();
        let nodes = self.classes.list[work.class].nodes.iter();
        let fine = nodes.filter(|node| is_fine(**node));
        fine.fold(None, |best, &index| {
            let node = self.nodes[index];
            let score = Score {
                unable: !node.capabilities.include(work.followers_need),
                far: !work.slot.near.is_empty() && !work.slot.near.contains(&node.id),
                crowded: crowded.contains(&index),
                load: load(self.used[index] + cost, node.alloc.into()),
                hash: rendezvous(hash, self.hashes[index]),
                node: node.id,
            };
            Choice::or(best, score, index)
        })
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

    /// True if the node takes new work.
    pub(crate) fn takes_new(&self, node: usize) -> bool {
        self.nodes[node].state == NodeState::Ready && self.nodes[node].intake == Intake::Open
    }

    /// True if the node takes new work, and so much.
    pub(crate) fn has_room(&self, node: usize, cost: u64) -> bool {
        self.takes_new(node)
            && self.used[node] + self.kept[node] + cost <= u64::from(self.nodes[node].alloc)
    }

    /// True if nobody else may still be doing the work.
    pub(crate) fn may_hold(&self, work: &Work<'_>, node: usize) -> bool {
        let node = self.nodes[node].id;
        work.slot.bound.is_none_or(|bound| bound == node)
    }

    /// Whoever may still be doing the work, as people call it.
    pub(crate) fn bound_name(&self, work: &Work<'_>) -> &str {
        let last = self
            .nodes
            .iter()
            .find(|node| Some(node.id) == work.slot.bound);
        last.map_or("its last node", |node| node.name.as_str())
    }
}

/// Units as plans say them.
pub(crate) fn units(cost: u64) -> NonZeroU32 {
    let cost = u32::try_from(cost).unwrap_or(u32::MAX);
    NonZeroU32::new(cost).unwrap_or(NonZeroU32::MIN)
}
