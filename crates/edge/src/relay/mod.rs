//! Relays: cameras that other edges bring in, here, and ours there.
mod parent;
mod wire;
