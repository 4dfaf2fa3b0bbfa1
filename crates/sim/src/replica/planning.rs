//! Places work, if this controller holds the right to plan.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use headworks_planner::{Fleet, Node, Policy, Slot, plan};
use headworks_types::edge::SlotKey;

use super::{Answer, Caller, Effect, Failed, Input, Query, Replica};
use crate::database::Step;

const PERIOD: Duration = Duration::from_secs(1);
/// For how long the right to plan is held without renewal, and how long a turn may take.
const LEASE: Duration = Duration::from_secs(15);
/// The real one takes 500: here a turn is to have several transactions.
const BATCH: usize = 2;

/// Where a turn is.
#[derive(Debug, Default)]
pub(super) struct Planner {
    turn: Option<Turn>,
    /// Counts waits, so that a wait that was cut short is over.
    wait: u64,
    called: bool,
}

#[derive(Debug)]
struct Turn {
    begun: Instant,
    term: i64,
    nodes: Vec<Node>,
    work: VecDeque<Query>,
}

impl Replica {
    /// A turn begins: acquire, list, decide, act.
    pub(super) fn plan_turn(&mut self, now: Instant, wait: u64, out: &mut Vec<Effect>) {
        if self.planner.turn.is_some() || wait != self.planner.wait {
            return;
        }
        self.planner.wait += 1;
        self.planner.called = false;
        self.planner.turn = Some(Turn {
            begun: now,
            term: 0,
            nodes: Vec::new(),
            work: VecDeque::new(),
        });
        let query = Query::Acquire(self.me, LEASE);
        self.call(Caller::Planner, query, LEASE, out);
    }

    /// Somebody wants it to plan soon.
    pub(super) fn plan_called(&mut self, out: &mut Vec<Effect>) {
        self.planner.called = true;
        if self.planner.turn.is_none() {
            let due = Input::PlanDue(self.planner.wait);
            out.push(Effect::After(Duration::ZERO, due));
        }
    }

    pub(super) fn plan_answered(
        &mut self,
        now: Instant,
        answer: Result<Answer, Failed>,
        out: &mut Vec<Effect>,
    ) {
        let Some(turn) = &mut self.planner.turn else {
            return;
        };
        let left = LEASE.saturating_sub(now - turn.begun);
        let next = match answer {
            _ if left.is_zero() => None,
            Ok(Answer::Term(Some(term))) => {
                turn.term = term;
                Some(Query::NodeFleet(self.rules.suspect))
            }
            Ok(Answer::Nodes(nodes)) => {
                turn.nodes = nodes;
                Some(Query::SlotFleet)
            }
            Ok(Answer::Slots(slots)) => {
                let nodes = std::mem::take(&mut turn.nodes);
                turn.work = decide(nodes, slots, |steps| {
                    Query::Assign(self.me, turn.term, steps)
                });
                turn.work.pop_front()
            }
            Ok(Answer::Assigned(Some(_)) | Answer::Explained(true)) => turn.work.pop_front(),
            _ => None,
        };
        if let Some(query) = next {
            self.call(Caller::Planner, query, left, out);
            return;
        }
        self.planner.turn = None;
        let due = Input::PlanDue(self.planner.wait);
        let wait = if self.planner.called {
            Duration::ZERO
        } else {
            PERIOD
        };
        out.push(Effect::After(wait, due));
    }
}

/// As `reconcile/planner.rs::decide`, in batches.
fn decide(
    nodes: Vec<Node>,
    listed: Vec<(Slot, i64, String)>,
    act: impl Fn(Vec<Step>) -> Query,
) -> VecDeque<Query> {
    let mut epochs: BTreeMap<SlotKey, i64> = BTreeMap::new();
    let mut slots = Vec::with_capacity(listed.len());
    for (slot, epoch, _) in listed {
        epochs.insert(slot.key, epoch);
        slots.push(slot);
    }
    let plan = plan(&Fleet { nodes, slots }, &Policy::default());
    let epoch = |slot: &SlotKey| epochs.get(slot).copied().unwrap_or(0);
    let releases = plan.releases.into_iter().map(|release| Step {
        epoch: epoch(&release.slot),
        slot: release.slot,
        from: Some(release.from),
        to: None,
        cost: 0,
        reason: release.reason,
    });
    let moves = plan.moves.into_iter().map(|step| Step {
        epoch: epoch(&step.slot),
        slot: step.slot,
        from: step.from,
        to: Some(step.to),
        cost: step.cost.get().into(),
        reason: step.reason,
    });
    let steps: Vec<_> = releases.chain(moves).collect();
    steps
        .chunks(BATCH)
        .map(|steps| act(steps.to_vec()))
        .collect()
}
