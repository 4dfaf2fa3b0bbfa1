//! Moves work away from nodes that are being emptied or are too busy, a little at a time, into room
//! that is free: nothing else is shifted for it.
//!
//! What moves without a break goes first. A slot that two may not do at once goes last, from one
//! node at a time, and in two steps: it is released, and when its node has let go of it, it gets
//! another.

use std::{cmp::Reverse, collections::HashMap};

use headworks_types::NodeState;

use crate::{
    board::{Board, Cause, Leader},
    fleet::{Intake, Policy},
};

/// What is on its way, and what follows what.
struct Traffic {
    /// Slots that have left each node and have not arrived.
    from: Vec<usize>,
    /// True if such a slot is among them that two may not do at once.
    exclusive: bool,
    /// Slots that follow those of this index.
    followers: HashMap<usize, Vec<usize>>,
}

impl Board<'_> {
    /// See the module's documentation.
    pub(crate) fn relieve(&mut self, policy: &Policy) {
        let draining = self
            .nodes_where(|node| node.intake == Intake::Draining && node.state != NodeState::Dead);
        let hot = self.nodes_where(|node| node.hot && node.state == NodeState::Ready);
        let sought = self.sought();
        self.serve_followers(&sought);
        if draining.is_empty() && hot.is_empty() {
            return;
        }
        let mut traffic = self.traffic();
        let held = self.held();
        for work in &self.work {
            if let Some(node) = work.at {
                self.demand[node] += work.cost();
            }
        }
        for node in &draining {
            let slots: Vec<_> = held[*node].iter().copied().collect();
            self.empty(*node, slots, policy, &mut traffic);
        }
        let hot = hot.into_iter().filter(|node| !sought[*node]);
        for node in hot.filter(|node| !draining.contains(node)) {
            let slots: Vec<_> = held[node].iter().copied().collect();
            self.cool(node, slots, policy, &mut traffic);
        }
        if !traffic.exclusive {
            for node in draining.into_iter().filter(|node| traffic.from[*node] == 0) {
                let slots: Vec<_> = held[node].iter().copied().collect();
                if self.let_go(slots, policy, &traffic) > 0 {
                    return;
                }
            }
        }
    }

    fn nodes_where(&self, is: impl Fn(&crate::fleet::Node) -> bool) -> Vec<usize> {
        let nodes = 0..self.nodes.len();
        nodes.filter(|index| is(self.nodes[*index])).collect()
    }

    /// Which nodes something that has no place would fill again.
    fn sought(&self) -> Vec<bool> {
        let mut classes: Vec<_> = self
            .pending()
            .iter()
            .map(|index| self.work[*index].class)
            .collect();
        classes.sort_unstable();
        classes.dedup();
        let mut sought = vec![false; self.nodes.len()];
        for class in classes {
            for node in &self.classes.list[class].nodes {
                sought[*node] = true;
            }
        }
        sought
    }

    fn traffic(&self) -> Traffic {
        let mut traffic = Traffic {
            from: vec![0; self.nodes.len()],
            exclusive: false,
            followers: HashMap::new(),
        };
        for (index, work) in self.work.iter().enumerate() {
            if let Some(Leader::Index(leader)) = work.leader {
                traffic.followers.entry(leader).or_default().push(index);
            } else if work.is_wanted()
                && let Some(from) = work.slot.coming_from
                && let Ok(from) = self.nodes.binary_search_by_key(&from, |node| node.id)
            {
                traffic.from[from] += 1;
                traffic.exclusive |= work.slot.exclusive;
            }
        }
        traffic
    }

    /// Moves cameras without a break to where their restreams can be done.
    fn serve_followers(&mut self, sought: &[bool]) {
        for index in 0..self.work.len() {
            let work = &self.work[index];
            let needs = work.followers_need;
            let can = |node: usize| self.nodes[node].capabilities.include(needs);
            let is_sought = work.at.is_some_and(|node| sought[node]);
            if !work.stays()
                || is_sought
                || work.led > 0
                || work.slot.exclusive
                || work.at.is_some_and(can)
            {
                continue;
            }
            let cost = work.cost();
            if let Some(best) = self.choose(work, |node| can(node) && self.has_room(node, cost)) {
                self.lift(index);
                self.put(index, best.node, cost);
                let work = &mut self.work[index];
                work.cause = Cause::Followers;
                work.choice = Some((best.of, best.by));
            }
        }
    }

    /// Moves what can move without a break from a node that is being emptied.
    fn empty(&mut self, node: usize, slots: Vec<usize>, policy: &Policy, traffic: &mut Traffic) {
        let mut slots: Vec<_> = slots
            .into_iter()
            .filter(|index| self.work[*index].leader.is_none())
            .filter(|index| self.work[*index].at == Some(node))
            .collect();
        slots.sort_by_key(|index| self.work[*index].led > 0);
        for index in slots {
            let work = &self.work[index];
            let all = work.cost() + work.led;
            let Some(best) = self.choose_any(work, |node| self.has_room(node, all)) else {
                self.work[index].is_stuck = true;
                continue;
            };
            if work.slot.exclusive || traffic.from[node] >= policy.drain_at_once {
                continue;
            }
            self.kept[best.node] += work.led;
            let cost = work.cost();
            self.lift(index);
            self.put(index, best.node, cost);
            self.demand[best.node] += cost;
            let work = &mut self.work[index];
            work.cause = Cause::Drained;
            work.choice = Some((best.of, best.by));
            traffic.from[node] += 1;
            for follower in traffic.followers.get(&index).into_iter().flatten() {
                self.lift(*follower);
            }
        }
    }

    /// Has a node that is being emptied let go of what two may not do at once, if there is room for
    /// it elsewhere. Nothing else moves from there now. Returns how many it lets go of.
    fn let_go(&mut self, slots: Vec<usize>, policy: &Policy, traffic: &Traffic) -> usize {
        let mut count = 0;
        for index in slots {
            let work = &self.work[index];
            let all = work.cost() + work.led;
            let is_next = work.slot.exclusive && work.leader.is_none() && work.at.is_some();
            if !is_next || count == policy.drain_at_once {
                continue;
            }
            if let Some(best) = self.choose_any(work, |node| self.has_room(node, all)) {
                self.kept[best.node] += all;
                self.lift(index);
                self.work[index].cause = Cause::Drained;
                for follower in traffic.followers.get(&index).into_iter().flatten() {
                    self.lift(*follower);
                }
                count += 1;
            }
        }
        count
    }

    /// Moves work from a node that is too busy until it is no more, or no other has room enough.
    fn cool(&mut self, node: usize, slots: Vec<usize>, policy: &Policy, traffic: &mut Traffic) {
        let percent = u64::from(policy.cool_percent);
        let is_cool = |used: u64, alloc: u32| used * 100 <= u64::from(alloc) * percent;
        let mut demand = self.demand[node];
        let mut slots: Vec<_> = slots
            .into_iter()
            .filter(|index| {
                let work = &self.work[*index];
                let may = work.slot.settled && !work.slot.exclusive && work.leader.is_none();
                may && work.led == 0 && work.stays() && work.slot.coming_from.is_none()
            })
            .collect();
        slots.sort_by_key(|index| Reverse(self.work[*index].cost()));
        for index in slots {
            if is_cool(demand, self.nodes[node].alloc)
                || traffic.from[node] >= policy.rebalance_at_once
            {
                break;
            }
            let work = &self.work[index];
            let cost = work.cost();
            let best = self.choose(work, |other| {
                let filled = self.demand[other].max(self.used[other]) + self.kept[other];
                let there = self.nodes[other];
                other != node
                    && !there.hot
                    && self.has_room(other, cost)
                    && is_cool(filled + cost, there.alloc)
            });
            let Some(best) = best else { continue };
            self.lift(index);
            self.put(index, best.node, cost);
            self.demand[best.node] += cost;
            let work = &mut self.work[index];
            work.cause = Cause::Hot;
            work.choice = Some((best.of, best.by));
            traffic.from[node] += 1;
            demand -= cost;
        }
    }
}
