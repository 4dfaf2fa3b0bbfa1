//! Both engines against each other under virtual time, and against foreign peers.

mod foreign;
mod memory;
mod nginx;
mod pair;
mod socket;
mod tunnel;
