//! Frames as they go from edge to edge: with the numbers and times that their origin gave them.

use headworks_media::{AudioParameters, Frame, TrackKind, Tracks, VIDEO_CLOCK, opus, rescale};

use super::entry::Entry;

/// Samples of a packet of AAC.
pub(super) const AAC_SAMPLES: u32 = 1024;

/// A frame as its origin has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relayed {
    /// Its place in the incarnation; the next frame has the next one.
    pub(crate) sequence: u64,
    /// The first of a session of the origin's source.
    pub(crate) starts_session: bool,
    /// With the origin's times.
    pub(crate) frame: Frame,
}

/// From where a frame in a ring is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Source {
    /// Tells unbroken runs of frames apart: drawn at random where the camera comes in.
    pub(crate) incarnation: u64,
    /// The frame's place in it.
    pub(crate) sequence: u64,
    /// How much later it is here than at its origin, 90 kHz.
    pub(super) shift: i64,
}

impl Source {
    /// The same for the next frame.
    pub(super) fn next(self) -> Self {
        Self {
            sequence: self.sequence + 1,
            ..self
        }
    }
}

impl Relayed {
    /// True if a picture can be shown from here on.
    pub(super) fn is_key(&self) -> bool {
        self.frame.track == TrackKind::Video && self.frame.key
    }
}

impl Entry {
    /// The frame as other edges get it.
    pub(crate) fn relayed(&self) -> Relayed {
        Relayed {
            sequence: self.source.sequence,
            starts_session: self.starts_session,
            frame: shifted(
                self.frame.clone(),
                &self.description.tracks,
                -self.source.shift,
            ),
        }
    }
}

/// The frame so much later, in 90 kHz.
pub(super) fn shifted(frame: Frame, tracks: &Tracks, by: i64) -> Frame {
    // Rounded the same way in both directions.
    let ticks = rescale(by.abs(), VIDEO_CLOCK, rate(frame.track, tracks)) * by.signum();
    Frame {
        dts: frame.dts + ticks,
        pts: frame.pts + ticks,
        ..frame
    }
}

/// Ticks per second of a track's times.
pub(super) fn rate(track: TrackKind, tracks: &Tracks) -> u32 {
    match (track, &tracks.audio) {
        (TrackKind::Audio, Some(audio)) => audio.clock_rate(),
        _ => VIDEO_CLOCK,
    }
}

/// How many samples a packet of sound holds; 0 if that cannot be seen.
pub(super) fn samples(audio: Option<&AudioParameters>, payload: &[u8]) -> u32 {
    match audio {
        Some(AudioParameters::Aac { .. }) => AAC_SAMPLES,
        Some(AudioParameters::G711 { channels, .. }) => {
            let count = payload.len() / usize::from(*channels).max(1);
            u32::try_from(count).unwrap_or_default()
        }
        Some(AudioParameters::Opus { .. }) => opus::packet_length(payload).unwrap_or_default(),
        None => 0,
    }
}
