//! What is pushed: the camera's frames as they are, or encoded anew.

use std::sync::Arc;

use super::{encode::Encoder, failure::Failure};
use crate::{
    hub::{Reader, Sound},
    jumps::Jumps,
};
use headworks_bootstrap::Clock;
use headworks_media::{AudioParameters, Frame, TrackKind, Tracks, VIDEO_CLOCK, rescale};

/// A frame and what it is made of.
#[derive(Debug, Clone)]
pub(super) struct Picked {
    pub(super) frame: Frame,
    pub(super) tracks: Arc<Tracks>,
    /// Changes with the tracks.
    pub(super) description: u64,
    /// Changes with codecs: what was said of the stream before does not hold any more.
    pub(super) series: u64,
}

/// Gives frames in order, from a key frame on.
pub(super) enum Source {
    Copied(Copied),
    Encoded(Box<Encoder>),
}

impl Source {
    /// What it begins with, if that is not what the camera has.
    pub(super) fn tracks(&self) -> Option<&Arc<Tracks>> {
        match self {
            Self::Copied(_) => None,
            Self::Encoded(encoder) => encoder.tracks(),
        }
    }

    /// Waits for the next frame; `None` if the camera is no longer here. Losing the future loses
    /// nothing.
    pub(super) async fn next(&mut self) -> Result<Option<Picked>, Failure> {
        match self {
            Self::Copied(copied) => copied.next().await,
            Self::Encoded(encoder) => encoder.next().await,
        }
    }
}

/// The camera's own frames, never later than its buffer is long.
pub(super) struct Copied {
    reader: Reader,
    sound: Sound,
    clock: Clock,
    limit: u32,
    jumps: Jumps,
}

impl Copied {
    /// More than `limit` jumps in a minute are an error.
    pub(super) fn new(reader: Reader, sound: Sound, limit: u32, clock: Clock) -> Self {
        Self {
            reader,
            sound,
            clock,
            limit,
            jumps: Jumps::default(),
        }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Picked>, Failure> {
        let before = self.reader.jumps();
        let Some(entry) = self.reader.next().await else {
            return Ok(None);
        };
        if self.reader.jumps() != before {
            self.count_jump()?;
        }
        Ok(Some(Picked {
            frame: entry.frame.clone(),
            tracks: Arc::clone(entry.description.tracks_for(self.sound)),
            description: entry.description.number,
            series: entry.description.series,
        }))
    }

    fn count_jump(&mut self) -> Result<(), Failure> {
        let now = self.clock.monotonic();
        let too_many = self.jumps.too_many(now, self.limit);
        let jumps = self.jumps.count();
        tracing::debug!(jumps, "the target is slow; on with a key frame");
        if too_many {
            return Err(Failure::TooSlow(jumps));
        }
        Ok(())
    }
}

/// The time line of one connection: it begins with zero at the first picture.
#[derive(Debug, Default)]
pub(super) struct Rebase(Option<i64>);

impl Rebase {
    /// The frame as the target sees it; `None` for what comes before the first picture.
    pub(super) fn frame(&mut self, picked: &Picked) -> Option<Frame> {
        let frame = &picked.frame;
        let rate = match (frame.track, &picked.tracks.audio) {
            (TrackKind::Audio, Some(audio)) => AudioParameters::clock_rate(audio),
            _ => VIDEO_CLOCK,
        };
        let base = match (self.0, frame.track) {
            (Some(base), _) => base,
            (None, TrackKind::Video) => *self.0.insert(frame.dts),
            (None, TrackKind::Audio) => return None,
        };
        let base = rescale(base, VIDEO_CLOCK, rate);
        let dts = frame.dts - base;
        (dts >= 0).then(|| Frame {
            dts,
            pts: frame.pts - base,
            ..frame.clone()
        })
    }
}
