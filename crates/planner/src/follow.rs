//! Slots that follow another one: they go where it goes.
//!
//! They come last, into the room that is left. What two may never do at once moves in two steps:
//! the slot is released, and when its last holder has stopped it goes to the new node.

use headworks_types::NodeState;

use crate::{
    board::{Board, Cause, Leader, Work},
    fleet::{Move, Plan, Refusal, Release},
};

/// Where the leader of a follower shall be.
enum Target {
    /// On this node, which lives.
    Node(usize),
    /// Where it is: on a node that is dead, since nobody else can take it.
    Dead,
    Nowhere,
}

impl Board<'_> {
    /// Places what follows and has no place yet.
    pub(crate) fn follow(&mut self) {
        for index in 0..self.work.len() {
            let work = &self.work[index];
            if !work.is_wanted() || work.at.is_some() || work.leader.is_none() {
                continue;
            }
            if let Target::Node(node) = self.target(work)
                && self.may_hold(work, node)
                && self.can_follow(work, node)
                && self.has_space(node, work.cost())
            {
                self.put(index, node, self.work[index].cost());
            }
        }
    }

    fn can_follow(&self, work: &Work<'_>, node: usize) -> bool {
        self.classes.list[work.class]
            .nodes
            .binary_search(&node)
            .is_ok()
    }

    /// Its leader is there, so it is no new work for the node.
    fn has_space(&self, node: usize, cost: u64) -> bool {
        let node_is_well = self.nodes[node].state == NodeState::Ready;
        node_is_well && self.used[node] + cost <= u64::from(self.nodes[node].alloc)
    }

    fn target(&self, work: &Work<'_>) -> Target {
        let Some(Leader::Index(leader)) = work.leader else {
            return Target::Nowhere;
        };
        let leader = &self.work[leader];
        match leader.at {
            Some(node) => Target::Node(node),
            None if leader.is_wanted() && leader.cause == Cause::Gone => Target::Dead,
            None => Target::Nowhere,
        }
    }

    /// What becomes of a wanted follower that does not simply stay.
    pub(crate) fn plan_follower(&self, work: &Work<'_>, plan: &mut Plan) {
        let slot = work.slot;
        if let Some(at) = work.at {
            let node = self.nodes[at];
            plan.moves.push(Move {
                slot: slot.key,
                from: slot.node,
                to: node.id,
                cost: slot.cost,
                reason: format!(
                    "{} in site {}: the node that has the camera",
                    node.name, node.site
                ),
            });
            return;
        }
        let reason = self.follower_refused(work);
        match slot.node {
            Some(from) if !self.stays_with_the_dead(work) => plan.releases.push(Release {
                slot: slot.key,
                from,
                reason,
            }),
            _ => plan.refusals.push(Refusal {
                slot: slot.key,
                reason,
            }),
        }
    }

    /// True if it is beside its leader on a dead node, which may only be cut off.
    fn stays_with_the_dead(&self, work: &Work<'_>) -> bool {
        let Some(Leader::Index(leader)) = work.leader else {
            return false;
        };
        matches!(self.target(work), Target::Dead) && self.work[leader].slot.node == work.slot.node
    }

    fn follower_refused(&self, work: &Work<'_>) -> String {
        let at = match self.target(work) {
            Target::Nowhere => return "its camera is on no node".to_owned(),
            Target::Dead => return "its camera is on a node that is dead".to_owned(),
            Target::Node(at) => at,
        };
        let node = self.nodes[at];
        let name = &node.name;
        if !self.may_hold(work, at) {
            let old = self.bound_name(work);
            return format!(
                "its camera is on {name}, which goes on when {old} has stopped for certain"
            );
        }
        let what = match node.state {
            NodeState::Suspect => "is suspect",
            NodeState::Dead => "is dead",
            NodeState::Ready if !self.can_follow(work, at) => {
                let lacks = node.capabilities.lacks(work.slot.needs);
                let lacks = lacks.unwrap_or("not what it needs");
                return format!("{name}, the node that has the camera, has {lacks}");
            }
            NodeState::Ready if u64::from(node.alloc) < work.cost() => "is too small",
            NodeState::Ready => "is full",
        };
        format!("{name}, the node that has the camera, {what}")
    }
}
