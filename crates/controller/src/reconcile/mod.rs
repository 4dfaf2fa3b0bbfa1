//! Every loop of the controller.
//!
//! A loop takes no input, is idempotent and does not retry inside: what fails is tried again at the
//! next turn. It wakes on signal and on period. Listing, deciding and acting are three functions,
//! so that a test can stop between them.

mod audit;
mod directory;
mod drain;
mod feed;
mod housekeeping;
mod node_death;
mod planner;
mod renewal;
mod session;
mod signing_key;
#[cfg(test)]
mod tests;

pub(crate) use planner::read as planner_list;

use headworks_bootstrap::Tasks;

use crate::state::State;

/// Starts every loop.
pub(crate) fn spawn(state: &State, tasks: &Tasks) {
    tasks.spawn("planner", planner::run(state.clone(), tasks.token()));
    tasks.spawn("node death", node_death::run(state.clone(), tasks.token()));
    tasks.spawn("drains", drain::run(state.clone(), tasks.token()));
    tasks.spawn(
        "housekeeping",
        housekeeping::run(state.clone(), tasks.token()),
    );
    tasks.spawn(
        "signing keys",
        signing_key::run(state.clone(), tasks.token()),
    );
    tasks.spawn("sessions", session::run(state.clone(), tasks.token()));
    tasks.spawn("feed", feed::run(state.clone(), tasks.token()));
    tasks.spawn("directory", directory::run(state.clone(), tasks.token()));
    if let Some(queue) = state.refusals.outlet() {
        tasks.spawn("audit", audit::run(state.clone(), queue, tasks.token()));
    }
    if let Some(queue) = state.edges.renewals.outlet() {
        tasks.spawn(
            "renewals",
            renewal::run(state.clone(), queue, tasks.token()),
        );
    }
}
