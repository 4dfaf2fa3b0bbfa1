//! A controller: its loops as state machines, with a call to the database wherever the real loop
//! waits for one.
//!
//! * `renewal`: `reconcile/renewal.rs`. * `planning`: `reconcile/planner.rs`, around the real
//!   `headworks_planner::plan`. * `death`: `reconcile/node_death.rs`, around the real
//!   `headworks_duty::{Census, Health}`. * `feed`: `reconcile/feed.rs` and `http/edge/watch.rs`.

mod death;
mod feed;
mod planning;
mod renewal;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use headworks_duty::Census;
use headworks_planner::{Node, Slot};
use headworks_types::{
    NodeId,
    edge::{SlotKey, WatchMessage},
};
use uuid::Uuid;

use crate::{
    database::{Assignment, Outcome, Renewal, Report, Step},
    edge::Refusal,
};

/// What a controller keeps to; tests take a rule away to see that the simulation misses it.
#[derive(Debug, Clone, Copy)]
pub struct ReplicaRules {
    /// Declares nobody dead before it has seen a healthy database for long enough.
    pub awaits_health: bool,
    /// After an outage all leases start anew.
    pub extends_leases: bool,
    /// How long a lease runs.
    pub lease: Duration,
    /// The silence that makes a node suspect.
    pub suspect: Duration,
}

impl Default for ReplicaRules {
    fn default() -> Self {
        Self {
            awaits_health: true,
            extends_leases: true,
            lease: Duration::from_secs(10),
            suspect: Duration::from_secs(6),
        }
    }
}

/// A process and the number of its request or watch.
pub type Peer = (usize, u64);

/// What happens to a controller.
#[derive(Debug, Clone)]
pub enum Input {
    /// An edge renews its lease.
    Renew(Peer, Renewal, Vec<Report>),
    /// An edge, which is this node and has this revision, watches.
    Watch(Peer, NodeId, i64),
    /// It watches no more.
    EndWatch(Peer),
    /// The database has answered a call, or has not in time.
    Answered(u64, Result<Answer, Failed>),
    /// Something has changed, says the database.
    Doorbell,
    /// The next batch of renewals is due.
    FlushDue,
    /// A turn of the planner is due; woken by this wait's number.
    PlanDue(u64),
    /// Somebody has changed something through this controller.
    PlanCalled,
    /// A turn of the decision who is dead is due.
    DeathDue,
    /// Revisions are to be read; woken by this wait's number.
    FeedDue(u64),
    /// A watch tries again to read, or says that it lives.
    WatchDue(Peer, u64),
}

/// The database did not answer, or with an error. What was asked may be done or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed;

/// What a controller does to the world.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Hears this after so long, by its clock.
    After(Duration, Input),
    /// Asks the database, which may take so long.
    Call(u64, Query, Duration),
    /// Answers a renewal.
    Grant(Peer, Result<i64, Refusal>),
    /// Writes a line of a watch.
    Line(Peer, WatchMessage),
    /// Ends a watch.
    EndWatch(Peer),
}

/// One transaction.
#[derive(Debug, Clone)]
pub enum Query {
    /// `lease_renew`, its first statement.
    Renew(Vec<Renewal>, Duration),
    /// Its second one, or `revision_list`.
    Revisions(Vec<NodeId>),
    /// `slot_report`.
    Report(Vec<Report>),
    /// `planner_acquire`, for so long.
    Acquire(Uuid, Duration),
    /// `node_fleet`.
    NodeFleet(Duration),
    /// `slot_fleet`.
    SlotFleet,
    /// `planner_hold` and `slot_assign`.
    Assign(Uuid, i64, Vec<Step>),
    /// `planner_hold` and `slot_explain`.
    Explain(Uuid, i64, Vec<(SlotKey, i64, String)>),
    /// `lease_extend_all`.
    Extend(Duration),
    /// `era_begin` and `lease_census`.
    Census,
    /// `node_die` and `node_return`.
    Die(Vec<NodeId>, Vec<NodeId>),
    /// The revision of a node and what it should do, in one snapshot.
    Begin(NodeId),
    /// `revision_get`.
    Revision(NodeId),
    /// `desired_list`.
    Desired(NodeId),
}

/// What the database answers.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Of [`Query::Renew`]: which counted, and is a process before it waited for?
    Renewed(Vec<(NodeId, bool)>),
    /// Of [`Query::Revisions`].
    Revisions(Vec<(NodeId, i64)>),
    /// Of queries that only do something.
    Done,
    /// Of [`Query::Acquire`].
    Term(Option<i64>),
    /// Of [`Query::NodeFleet`].
    Nodes(Vec<Node>),
    /// Of [`Query::SlotFleet`].
    Slots(Vec<(Slot, i64, String)>),
    /// Of [`Query::Assign`]; none if it was deposed.
    Assigned(Option<Vec<Outcome>>),
    /// Of [`Query::Explain`].
    Explained(bool),
    /// Of [`Query::Census`].
    Census(Box<Census>),
    /// Of [`Query::Die`]: how many died and returned.
    Died(usize),
    /// Of [`Query::Begin`].
    Begun {
        /// The node's.
        revision: i64,
        /// What it should do.
        desired: Vec<Assignment>,
        /// What the edge has may come from a database that was lost.
        era_is_over: bool,
    },
    /// Of [`Query::Revision`] and [`Query::Desired`], as far as asked.
    Watched(i64, Vec<Assignment>),
}

/// Which loop waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Renewal,
    Planner,
    Death,
    Feed,
    Watch(Peer),
}

/// A controller process.
#[derive(Debug)]
pub struct Replica {
    /// Its name as a planner.
    pub me: Uuid,
    rules: ReplicaRules,
    numbers: u64,
    calls: BTreeMap<u64, Caller>,
    renewals: renewal::Renewals,
    planner: planning::Planner,
    death: death::Death,
    feed: feed::Feed,
}

impl Replica {
    /// Starts all loops.
    pub fn start(me: Uuid, rules: ReplicaRules, out: &mut Vec<Effect>) -> Self {
        out.push(Effect::After(Duration::ZERO, Input::PlanDue(0)));
        out.push(Effect::After(Duration::ZERO, Input::DeathDue));
        out.push(Effect::After(Duration::ZERO, Input::FeedDue(0)));
        Self {
            me,
            rules,
            numbers: 0,
            calls: BTreeMap::new(),
            renewals: renewal::Renewals::default(),
            planner: planning::Planner::default(),
            death: death::Death::default(),
            feed: feed::Feed::default(),
        }
    }

    /// Takes what happens at `now` of its clock.
    pub fn handle(&mut self, now: Instant, input: Input, out: &mut Vec<Effect>) {
        match input {
            Input::Renew(peer, renewal, reports) => self.enlist(now, peer, renewal, reports, out),
            Input::FlushDue => self.flush(now, out),
            Input::PlanDue(wait) => self.plan_turn(now, wait, out),
            Input::PlanCalled => self.plan_called(out),
            Input::DeathDue => self.death_turn(now, out),
            Input::FeedDue(wait) => self.feed_turn(wait, out),
            Input::Doorbell => self.feed_rung(out),
            Input::Watch(peer, node, revision) => self.watch_begin(peer, node, revision, out),
            Input::EndWatch(peer) => self.watch_end(peer),
            Input::WatchDue(peer, wait) => self.watch_due(peer, wait, out),
            Input::Answered(call, answer) => match self.calls.remove(&call) {
                Some(Caller::Renewal) => self.renewal_answered(now, answer, out),
                Some(Caller::Planner) => self.plan_answered(now, answer, out),
                Some(Caller::Death) => self.death_answered(now, answer, out),
                Some(Caller::Feed) => self.feed_answered(answer, out),
                Some(Caller::Watch(peer)) => self.watch_answered(peer, answer, out),
                None => {}
            },
        }
    }

    fn call(&mut self, caller: Caller, query: Query, deadline: Duration, out: &mut Vec<Effect>) {
        self.numbers += 1;
        self.calls.insert(self.numbers, caller);
        out.push(Effect::Call(self.numbers, query, deadline));
    }
}
