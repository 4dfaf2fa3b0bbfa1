//! Both ends against each other in memory, garbage, and foreign peers.

mod garbage;
mod memory;
mod together;
