//! The whole cluster in one thread under virtual time: edges, controllers, planner, leases, watches,
//! a database and a network, with faults drawn from a seed. After each step the invariants of the
//! design are checked ([`check`]), and at the end that everything is well again ([`settle`]).
//!
//! What decides is the real code: `headworks_planner::plan` and all of `headworks_duty`. What the SQL
//! does is modelled in [`database`], and compared with PostgreSQL in the controller's tests. What
//! sends, waits and retries is modelled in [`edge`] and [`replica`], in the order of the real loops.
//!
//! `cargo test -p headworks-sim` runs thousands of seeds and prints the first that fails;
//! `HEADWORKS_SIM_SEED=… cargo test -p headworks-sim replay -- --nocapture` tells its whole story.

pub mod check;
pub mod database;
pub mod edge;
pub mod fault;
pub mod network;
pub mod replica;
pub mod settle;
pub mod world;

use std::fmt;

use crate::{database::Rules, edge::EdgeRules, replica::ReplicaRules, world::World};

/// Everything that the cluster keeps to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keeps {
    /// The database.
    pub database: Rules,
    /// Edges.
    pub edge: EdgeRules,
    /// Controllers.
    pub replica: ReplicaRules,
}

/// What was seen that must never be.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    /// Of the run.
    pub seed: u64,
    /// In seconds since the beginning.
    pub at: f64,
    /// Which rule is broken, and how.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, at, what } = self;
        write!(
            f,
            "seed {seed}, after {at:.3} s: {what}\n\
             replay it: HEADWORKS_SIM_SEED={seed} cargo test -p headworks-sim replay -- --nocapture"
        )
    }
}

/// How a run went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Things that happened.
    pub steps: u64,
    /// Assignments that were committed.
    pub assignments: u64,
    /// Nodes that were declared dead.
    pub deaths: u64,
    /// Strict slots that began to be pushed by another process than before.
    pub handovers: u64,
    /// Databases that lost assignments that they had acknowledged.
    pub lost: u64,
}

impl Summary {
    /// Adds what another run came to.
    pub fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.assignments += other.assignments;
        self.deaths += other.deaths;
        self.handovers += other.handovers;
        self.lost += other.lost;
    }
}

/// Runs the world of this seed to its end.
///
/// # Errors
/// The first violation.
pub fn run(seed: u64, keeps: Keeps, trace: bool) -> Result<Summary, Violation> {
    World::new(seed, keeps, trace).run()
}
