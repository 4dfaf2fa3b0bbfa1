//! Both ends against each other in memory, garbage, and foreign peers.

mod foreign;
mod garbage;
mod memory;
mod recorder;
mod together;
mod wire;
