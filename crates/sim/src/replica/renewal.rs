//! Renews leases in batches.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::{Duration, Instant},
};

use headworks_types::{NodeId, edge::NO_REVISION};
use uuid::Uuid;

use super::{Answer, Caller, Effect, Failed, Input, Peer, Query, Replica};
use crate::{
    database::{Renewal, Report},
    edge::Refusal,
};

const PERIOD: Duration = Duration::from_millis(500);
const DEADLINE: Duration = Duration::from_secs(5);

/// The queue, and the batch that is being stored.
#[derive(Debug, Default)]
pub(super) struct Renewals {
    queue: BTreeMap<(NodeId, Uuid), Turn>,
    /// Waits for the time of the next batch.
    due: bool,
    next: Option<Instant>,
    batch: BTreeMap<NodeId, Turn>,
    /// What counted, and whether a process before is waited for.
    counted: BTreeMap<NodeId, bool>,
    step: Step,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Step {
    #[default]
    Idle,
    Renewing,
    Reading,
    Reporting,
}

/// The latest renewal of one process, and all that wait for it.
#[derive(Debug)]
struct Turn {
    renewal: Renewal,
    reports: Vec<Report>,
    answers: Vec<Peer>,
}

impl Replica {
    /// Of several renewals of one process the latest counts, but nothing comes after goodbye.
    pub(super) fn enlist(
        &mut self,
        now: Instant,
        peer: Peer,
        renewal: Renewal,
        reports: Vec<Report>,
        out: &mut Vec<Effect>,
    ) {
        let key = (renewal.node_id, renewal.instance);
        let turn = self.renewals.queue.entry(key).or_insert_with(|| Turn {
            renewal,
            reports: Vec::new(),
            answers: Vec::new(),
        });
        if !turn.renewal.goodbye {
            turn.renewal = renewal;
            turn.reports = reports;
        }
        turn.answers.push(peer);
        self.arrange(now, out);
    }

    /// Waits for the next batch, if there is something for it.
    fn arrange(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let renewals = &mut self.renewals;
        if renewals.due || renewals.step != Step::Idle || renewals.queue.is_empty() {
            return;
        }
        renewals.due = true;
        let wait = renewals
            .next
            .map_or(Duration::ZERO, |next| next.saturating_duration_since(now));
        out.push(Effect::After(wait, Input::FlushDue));
    }

    /// Stores one renewal of each node, of several processes the older first.
    pub(super) fn flush(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let renewals = &mut self.renewals;
        renewals.due = false;
        renewals.next = Some(now + PERIOD);
        let mut rest = BTreeMap::new();
        for ((node, instance), turn) in std::mem::take(&mut renewals.queue) {
            match renewals.batch.entry(node) {
                Entry::Occupied(_) => {
                    rest.insert((node, instance), turn);
                }
                Entry::Vacant(entry) => {
                    entry.insert(turn);
                }
            }
        }
        renewals.queue = rest;
        renewals.step = Step::Renewing;
        let batch = renewals.batch.values();
        let query = Query::Renew(batch.map(|turn| turn.renewal).collect(), self.rules.lease);
        self.call(Caller::Renewal, query, DEADLINE, out);
    }

    pub(super) fn renewal_answered(
        &mut self,
        now: Instant,
        answer: Result<Answer, Failed>,
        out: &mut Vec<Effect>,
    ) {
        match (self.renewals.step, answer) {
            (Step::Renewing, Ok(Answer::Renewed(counted))) => {
                self.renewals.counted = counted.into_iter().collect();
                self.renewals.step = Step::Reading;
                let nodes = self.renewals.counted.keys().copied().collect();
                self.call(Caller::Renewal, Query::Revisions(nodes), DEADLINE, out);
            }
            (Step::Reading, Ok(Answer::Revisions(revisions))) => self.answer(&revisions, out),
            (Step::Reporting, _) => self.renewals.step = Step::Idle,
            _ => {
                for turn in std::mem::take(&mut self.renewals.batch).into_values() {
                    for peer in turn.answers {
                        out.push(Effect::Grant(peer, Err(Refusal::Unavailable)));
                    }
                }
                self.renewals.step = Step::Idle;
            }
        }
        self.arrange(now, out);
    }

    /// Stores the reports of those that count. The real one answers behind that: what is told is the
    /// same.
    fn answer(&mut self, revisions: &[(NodeId, i64)], out: &mut Vec<Effect>) {
        let batch = std::mem::take(&mut self.renewals.batch);
        let revisions: BTreeMap<_, _> = revisions.iter().copied().collect();
        let mut reports = Vec::new();
        for (node, turn) in batch {
            let held = self.renewals.counted.get(&node).copied();
            let told = match (held, revisions.get(&node)) {
                (Some(true), Some(_)) => Ok(NO_REVISION),
                (Some(false), Some(revision)) => Ok(*revision),
                _ => Err(Refusal::Doubled),
            };
            if told.is_ok() {
                reports.extend(turn.reports);
            }
            for peer in turn.answers {
                out.push(Effect::Grant(peer, told));
            }
        }
        self.renewals.step = Step::Reporting;
        self.call(Caller::Renewal, Query::Report(reports), DEADLINE, out);
    }
}
