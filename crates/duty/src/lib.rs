//! Who may do which work, and until when: the rules that controllers and edges keep, as pure state
//! machines. No clock, no randomness, no I/O: time is an argument.
//!
//! Controller and edge use these on their sides of the wire, and the simulation (`crates/sim`) runs
//! both sides together.
//!
//! * An edge: what it should do and the epochs that it has seen ([`Desired`]), what must change for
//!   that ([`diff`]), and whether strict work may be done ([`Fence`]).
//! * A controller: how a node lives ([`Life`]), who is dead ([`Census`], [`Health`]), and
//!   whether somebody may still do strict work ([`LastHolder`]).

mod apply;
mod death;
mod desired;
mod fence;
mod holder;
mod life;
#[cfg(test)]
mod testing;

pub use apply::{Change, Slots, diff};
pub use death::{Census, Decided, Health, Outage};
pub use desired::{Behind, Desired, Refused};
pub use fence::{Fence, Permit};
pub use holder::LastHolder;
pub use life::Life;
