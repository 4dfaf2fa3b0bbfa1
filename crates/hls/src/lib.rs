//! HLS (RFC 8216, protocol version 7) with fragmented MP4, as a sans-I/O engine.
//!
//! Frames of one stream go into a [`Segmenter`]; segments and playlists come out. It holds no
//! socket and no clock: media time is the time of the frames. What it keeps is bounded by the
//! window and by the longest segment.
//!
//! What players rely on, and what the tests try to break:
//! * media sequence and discontinuity sequence numbers never go back, also when the source starts
//!   anew or the segmenter is replaced by [`Segmenter::resume`];
//! * the target duration never changes, and no segment's rounded duration exceeds it (§4.3.3.1);
//! * each segment starts with a key frame as long as the camera sends one within the target
//!   duration. Where it does not, segments are cut between key frames, and the playlist does not
//!   claim independence while such a segment is in it (§4.3.5.1);
//! * segment durations add up to the media time, less the gaps in it.

mod playlist;
mod segment;
mod segmenter;
mod window;

pub use playlist::multivariant;
pub use segment::{Init, Segment};
pub use segmenter::{Config, Segmenter};
pub use window::{Position, Window};
