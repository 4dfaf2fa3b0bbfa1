//! Reads the plan off the board.

use headworks_types::NodeId;

use crate::{
    board::{Board, Cause, Work, units},
    fleet::{Move, Plan, Refusal, Release, Reprice, Wanted},
    reason::Reasons,
};

impl Board<'_> {
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
                (Wanted::Yes, Some(at), Some(node)) if node == self.nodes[at].id => {
                    stay(work, node, &mut reasons, &mut plan);
                }
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

fn stay(work: &Work<'_>, node: NodeId, reasons: &mut Reasons<'_, '_>, plan: &mut Plan) {
    let slot = work.slot;
    let cost = units(work.booked);
    if cost != slot.held() {
        plan.reprices.push(Reprice {
            slot: slot.key,
            node,
            from: slot.held(),
            cost,
        });
    }
    if work.is_stuck {
        plan.refusals.push(Refusal {
            slot: slot.key,
            reason: reasons.refused(work),
        });
    }
}
