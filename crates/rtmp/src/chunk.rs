//! Chunks (RTMP 1.0 §5.3): what messages are cut into, and put together from.

mod header;
mod reader;

pub use reader::Reader;

/// What both ends start with (§5.4.1).
pub(crate) const DEFAULT_CHUNK_SIZE: usize = 128;
/// A timestamp field of this value is followed by an extended one (§5.3.1.3).
pub(crate) const EXTENDED: u32 = 0xff_ffff;
