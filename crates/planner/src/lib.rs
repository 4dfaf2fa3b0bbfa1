//! Pure placement: which node does which work, and why.
//!
//! [`plan`] looks at a [`Fleet`] and says what to change. It has no clock, no randomness and no
//! I/O, so the same fleet always gives the same plan. The wanted properties stand in the crate's
//! README; each is a property test.

mod apply;
mod board;
mod class;
mod fleet;
mod follow;
mod group;
mod outcome;
mod reason;
mod relieve;
mod room;
mod score;
mod settle;
mod viewer;

pub use fleet::{Fleet, Intake, Move, Node, Plan, Policy, Refusal, Release, Reprice, Slot, Wanted};
pub use reason::STAYS;
pub use settle::settle;
pub use viewer::{Candidate, Ranked, Viewer, rank};

/// Says what to change so that every wanted slot has a living node that fits it.
///
/// Node ids and slot keys must be unique in the fleet.
#[must_use]
pub fn plan(fleet: &Fleet, policy: &Policy) -> Plan {
    let mut board = board::Board::new(fleet);
    board.keep();
    board.reprice();
    board.keep_room();
    board.place();
    board.make_room(policy);
    board.relieve(policy);
    board.follow();
    board.reprice();
    board.into_plan()
}
