//! HLS (draft-pantos-hls-rfc8216bis, low latency included) with fragmented MP4, as a sans-I/O
//! engine. Section numbers in this crate are the draft's, except in [`source`].
//!
//! Frames of one stream go into a [`Segmenter`]; parts, segments and playlists come out of its
//! [`Window`]. It holds no socket and no clock: media time is the time of the frames, and the time
//! of day is an argument. What it keeps is bounded by the window and by the longest segment,
//! and, for frames whose times make no sense, by [`Limits`]; segments, parts and frames share their
//! bytes. What players ask for is in [`Directives`]; other people's playlists are read by
//! [`source::parse`].
//!
//! What players rely on, and what the tests try to break:
//! * media sequence and discontinuity sequence numbers never go back, also when the source starts
//!   anew or the segmenter is replaced by [`Segmenter::resume`], and no number is used twice;
//! * the target duration never changes, and no segment's rounded duration exceeds it (§4.4.3.1);
//! * the part target never changes, and no part exceeds it (§4.4.4.9): players give up the whole
//!   stream where one does. A part is closed before the picture that would make it too long;
//! * a segment is the concatenation of its parts, byte for byte (§3.2 asks for the same samples);
//! * each segment starts with a key frame as long as the camera sends one within the target
//!   duration. Where it does not, segments are cut between key frames, and the playlist does not
//!   claim independence while such a segment is in it (§4.4.2.1);
//! * where a stream has sound, its parts have it, silence if need be;
//! * segment durations add up to the media time, less the gaps in it;
//! * the playlist without its skipped part is the old one's beginning and the new one's end.

mod directives;
mod frames;
mod playlist;
mod segment;
mod segmenter;
mod sound;
pub mod source;
mod window;

pub use directives::{DirectiveError, Directives, decimal};
pub use playlist::{Flavor, multivariant};
pub use segment::{Init, Part, Segment};
pub use segmenter::{Config, Limits, Segmenter};
pub use window::{Position, Window};
