//! Frames, codec parameters, timestamps, and the containers that come and go: FLV and MPEG-TS in
//! both directions, fragmented MP4 for viewers.
//!
//! Time has one unit per track and never milliseconds: video counts in 90 kHz
//! ([`VIDEO_CLOCK`]), audio in its own sample clock. Payloads are [`bytes::Bytes`] and shared, so
//! that a frame is stored once however many read it. The crate does no I/O, starts no threads and
//! reads no clock; whatever it parses comes from cameras and may be garbage, so no parser panics.

pub mod aac;
mod audio_clock;
mod av1;
pub mod bits;
mod demux;
pub mod flv;
pub mod fmp4;
mod frame;
mod h264;
mod h265;
pub mod nal;
pub mod opus;
mod parameters;
mod reorder;
mod timeline;
pub mod ts;

pub use aac::AudioSpecificConfig;
pub use audio_clock::AudioClock;
pub use demux::Demuxed;
pub use frame::{Frame, TrackKind, VIDEO_CLOCK, rescale};
pub use parameters::{AudioParameters, G711Law, OPUS_CLOCK, Tracks, VideoCodec, VideoParameters};
pub use reorder::Reorder;
pub use timeline::{Stamp, Timeline};

/// Why codec parameters or a container cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A parameter set does not parse.
    #[error("bad {set} of {length} bytes: {reason}")]
    ParameterSet {
        /// `SPS`, `PPS`, …
        set: &'static str,
        /// How long it is.
        length: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// What should be a container's bytes is not.
    #[error("bad {container}, {part} at byte {offset}: {reason}")]
    Malformed {
        /// Which container.
        container: &'static str,
        /// Which part of it.
        part: &'static str,
        /// Where: in the tag for FLV tags, else in the whole input.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A source uses a codec that nobody here knows.
    #[error("{} in {codec} is not supported", match .track { TrackKind::Video => "a picture", TrackKind::Audio => "sound" })]
    UnsupportedCodec {
        /// Of which track.
        track: TrackKind,
        /// Its name.
        codec: String,
    },
    /// The container has no way to carry this.
    #[error("{container} cannot carry {what}")]
    Unsupported {
        /// Which container.
        container: &'static str,
        /// What it should have carried.
        what: String,
    },
}

impl Error {
    pub(crate) fn parameter_set(
        set: &'static str,
        bytes: &[u8],
        reason: impl Into<String>,
    ) -> Self {
        Self::ParameterSet {
            set,
            length: bytes.len(),
            reason: reason.into(),
        }
    }
}
