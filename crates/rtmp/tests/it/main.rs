//! Both engines against each other under virtual time, and against foreign peers.

mod memory;
mod pair;
