//! Pushes of cameras to other people's servers.

pub mod sign;
