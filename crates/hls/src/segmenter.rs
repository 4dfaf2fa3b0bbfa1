//! Cuts a stream into segments.

use std::sync::Arc;

use bytes::Bytes;
use headworks_media::{Error, Frame, TrackKind, Tracks, VIDEO_CLOCK, fmp4};

use crate::{Init, Position, Segment, Window, segment::Builder};

/// How a stream is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Segments are at least this long where key frames allow it, in 90 kHz.
    pub segment: u32,
    /// A longer one is cut between key frames, in 90 kHz. Not below `segment`.
    pub longest: u32,
    /// How many segments a playlist lists; at least 3 (§6.2.2).
    pub listed: usize,
}

/// Turns frames into segments.
#[derive(Debug)]
pub struct Segmenter {
    config: Config,
    tracks: Arc<Tracks>,
    init: Arc<Init>,
    next: Position,
    fragments: u32,
    open: Builder,
    discontinuity: bool,
    /// The longest time between key frames so far.
    longest_gop: i64,
    last_key: Option<i64>,
    window: Option<Window>,
}

impl Segmenter {
    /// Starts a stream. `longest_gop` is what is known of the time between key frames, in 90 kHz
    /// (0: nothing).
    pub fn new(config: Config, tracks: Arc<Tracks>, longest_gop: i64) -> Result<Self, Error> {
        Self::resume(config, tracks, longest_gop, Position::default())
    }

    /// Goes on at `position`, where an earlier segmenter of the stream has stopped.
    pub fn resume(
        config: Config,
        tracks: Arc<Tracks>,
        longest_gop: i64,
        position: Position,
    ) -> Result<Self, Error> {
        let init = Arc::new(Init::new(position.init, &tracks)?);
        Ok(Self {
            config: Config {
                listed: config.listed.max(3),
                longest: config.longest.max(config.segment),
                ..config
            },
            tracks,
            init,
            next: Position {
                init: position.init + 1,
                ..position
            },
            fragments: 0,
            open: Builder::default(),
            discontinuity: position.sequence > 0,
            longest_gop,
            last_key: None,
            window: None,
        })
    }

    /// Where a later segmenter has to go on. The segment that is being built counts as done, so
    /// that no number is ever used twice.
    #[must_use]
    pub fn position(&self) -> Position {
        self.next
    }

    /// The segments so far; `None` before the first is complete.
    #[must_use]
    pub fn window(&self) -> Option<&Window> {
        self.window.as_ref()
    }

    /// The source has started anew or its parameters have changed: closes the segment and marks
    /// the next one. Returns true if a segment was completed.
    pub fn restart(&mut self, tracks: Arc<Tracks>) -> Result<bool, Error> {
        let done = match self.open.last() {
            Some(last) => self.cut(last + self.open.usual_step()),
            None => false,
        };
        if tracks != self.tracks {
            self.init = Arc::new(Init::new(self.next.init, &tracks)?);
            self.next.init += 1;
            self.tracks = tracks;
        }
        self.open = Builder::default();
        self.last_key = None;
        self.discontinuity = true;
        Ok(done)
    }

    /// Takes the next frame. Frames before the first key frame are ignored. Returns true if a
    /// segment was completed.
    pub fn push(&mut self, frame: Frame) -> bool {
        let started = self.open.start();
        if frame.track == TrackKind::Audio {
            if started.is_some() {
                self.open.push(frame);
            }
            return false;
        }
        let Some(start) = started else {
            if frame.key {
                self.note_key(&frame);
                self.open.push(frame);
            }
            return false;
        };
        self.note_key(&frame);
        let done = self.is_due(&frame, start) && self.cut(frame.dts);
        self.open.push(frame);
        done
    }

    fn note_key(&mut self, frame: &Frame) {
        if frame.key {
            let gop = self.last_key.map_or(0, |last| frame.dts - last);
            self.longest_gop = self.longest_gop.max(gop);
            self.last_key = Some(frame.dts);
        }
    }

    /// True if the open segment has to end before `frame`.
    fn is_due(&self, frame: &Frame, start: i64) -> bool {
        let length = frame.dts - start;
        // After this frame the segment would be longer than its playlist allows.
        if length + self.open.usual_step() > self.limit() {
            return true;
        }
        frame.key
            && (length + self.open.usual_step() / 2 >= i64::from(self.config.segment)
                || length + self.longest_gop > self.limit())
    }

    /// A segment must not get longer than this: its duration, rounded, must not exceed the target
    /// duration. Before anything is known of that, only the configured length limits it.
    fn limit(&self) -> i64 {
        let whole = match &self.window {
            Some(window) => i64::from(window.target) * i64::from(VIDEO_CLOCK),
            None if self.longest_gop > 0 => {
                i64::from(target(self.config, self.longest_gop, 0)) * i64::from(VIDEO_CLOCK)
            }
            None => self.config.longest.into(),
        };
        whole + ROUNDED_DOWN
    }

    /// Completes the open segment, which lasts until `end`. A picture that is kept waiting for
    /// its successor too long ends at the limit, and a gap follows.
    fn cut(&mut self, end: i64) -> bool {
        let open = std::mem::take(&mut self.open);
        let Some(start) = open.start() else {
            return false;
        };
        let end = end.min(start + self.limit());
        let duration = u32::try_from(end - start).unwrap_or(0);
        let independent = open.independent();
        self.fragments = self.fragments.wrapping_add(1);
        let audio = self
            .tracks
            .audio
            .as_ref()
            .filter(|audio| fmp4::carries(audio));
        let chunks = open.finish(self.fragments, end, audio);
        let segment = Segment {
            number: self.next.sequence,
            init: self.init.number,
            duration,
            discontinuity: self.discontinuity,
            independent,
            length: chunks.iter().map(Bytes::len).sum::<usize>() as u64,
            chunks,
        };
        self.next.sequence += 1;
        self.next.discontinuities += u64::from(self.discontinuity);
        self.discontinuity = false;
        let (config, gop) = (self.config, self.longest_gop);
        let before = self.next.discontinuities - u64::from(segment.discontinuity);
        self.window
            .get_or_insert_with(|| {
                Window::new(config.listed, target(config, gop, duration), before)
            })
            .push(segment, &self.init);
        true
    }
}

/// Just under half a second: what rounding to whole seconds forgives.
const ROUNDED_DOWN: i64 = VIDEO_CLOCK as i64 / 2 - 1;

/// The target duration: whole seconds that the first segment, the usual segment and the longest
/// group of pictures seen so far fit into.
fn target(config: Config, longest_gop: i64, first: u32) -> u32 {
    let longest = longest_gop
        .min(config.longest.into())
        .max(first.into())
        .max(config.segment.into());
    let rounded = (longest + i64::from(VIDEO_CLOCK) / 2) / i64::from(VIDEO_CLOCK);
    u32::try_from(rounded).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests;
