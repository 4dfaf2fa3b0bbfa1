//! Both engines against each other under virtual time, and against foreign peers.

mod answer;
mod command;
mod foreign;
mod gstreamer;
mod memory;
mod nginx;
mod pair;
mod socket;
mod tunnel;
