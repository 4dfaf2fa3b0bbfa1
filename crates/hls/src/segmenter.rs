//! Cuts a stream into segments and parts.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use headworks_media::{Error, Frame, TrackKind, Tracks, VIDEO_CLOCK, rescale};

use crate::{
    Init, Part, Position, Segment, Window,
    frames::{Frames, Taken},
    sound::sound,
};

/// How a stream is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Segments are at least this long where key frames allow it, in 90 kHz.
    pub segment: u32,
    /// A longer one is cut between key frames, in 90 kHz. Not below `segment`.
    pub longest: u32,
    /// How many segments a playlist lists; at least 3 (§6.2.2).
    pub listed: usize,
    /// About how long a part is, in 90 kHz: the part target becomes a whole number of pictures
    /// near it. `None`: no parts.
    pub part: Option<u32>,
    /// What is kept at most, whatever the frames' times say.
    pub limits: Limits,
}

/// Bounds on what is kept. Streams with sane clocks do not reach them: their time has others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Pictures in a segment.
    pub pictures: usize,
    /// Bytes of a segment, and one picture more.
    pub segment: u64,
    /// Bytes of all complete segments; the newest one is kept in any case.
    pub window: u64,
}

impl Default for Limits {
    /// A segment of ten seconds may have 50 Mbit/s and 400 pictures per second.
    fn default() -> Self {
        Self {
            pictures: 4096,
            segment: 64 << 20,
            window: 256 << 20,
        }
    }
}

/// Turns frames into segments and parts.
#[derive(Debug)]
pub struct Segmenter {
    config: Config,
    tracks: Arc<Tracks>,
    init: Arc<Init>,
    next: Position,
    fragments: u32,
    /// What the next part is made of.
    frames: Frames,
    open: Option<Open>,
    discontinuity: bool,
    /// The longest time between key frames so far.
    longest_gop: i64,
    last_key: Option<i64>,
    last_picture: Option<i64>,
    /// How long the last picture was.
    last_step: i64,
    /// How long the next one will be, as far as anybody knows: the shorter of the last two, since
    /// a single pause says nothing.
    step: i64,
    /// A time of the media, and when that was.
    wall: Option<(i64, DateTime<Utc>)>,
    part_target: Option<u32>,
    window: Option<Window>,
}

/// The segment that is being built.
#[derive(Debug)]
struct Open {
    start: i64,
    segment: Segment,
    /// Of the parts that it has.
    bytes: u64,
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
                part: config.part.map(|part| part.max(SHORTEST_PART)),
                ..config
            },
            frames: Frames::new(sound(&tracks)),
            tracks,
            init,
            next: Position {
                init: position.init + 1,
                ..position
            },
            fragments: 0,
            open: None,
            discontinuity: position.sequence > 0,
            longest_gop,
            last_key: None,
            last_picture: None,
            last_step: i64::MAX,
            step: i64::from(VIDEO_CLOCK) / 25,
            wall: None,
            part_target: None,
            window: None,
        })
    }

    /// Where a later segmenter has to go on. A segment of which parts are out counts as done, so
    /// that no number is ever used twice.
    #[must_use]
    pub fn position(&self) -> Position {
        let open = self.open.as_ref().map(|open| &open.segment);
        let used = open.filter(|open| !open.parts.is_empty());
        Position {
            sequence: self.next.sequence + u64::from(used.is_some()),
            discontinuities: self.next.discontinuities
                + u64::from(used.is_some_and(|open| open.discontinuity)),
            ..self.next
        }
    }

    /// What the frames are made of.
    #[must_use]
    pub fn tracks(&self) -> &Arc<Tracks> {
        &self.tracks
    }

    /// What viewers can fetch; `None` before the first segment is complete.
    #[must_use]
    pub fn window(&self) -> Option<&Window> {
        self.window.as_ref()
    }

    /// Tells that the frame decoded at `dts` was taken at `wall`. It dates the segments that start
    /// from now on, until it is told anew, which it should be after each [`Segmenter::restart`]:
    /// the media's time goes on without a gap there, the world's does not.
    pub fn set_wall(&mut self, dts: i64, wall: DateTime<Utc>) {
        self.wall = Some((dts, wall));
    }

    /// The source has started anew or its parameters have changed: closes the segment and marks
    /// the next one. Returns true if there is something new to fetch.
    pub fn restart(&mut self, tracks: Arc<Tracks>) -> Result<bool, Error> {
        let news = match self.frames.last() {
            Some(last) => {
                let end = last + self.step;
                self.split(end);
                let rest = self.frames.take_all(end);
                self.write_part(rest);
                self.complete(end);
                true
            }
            None => false,
        };
        if tracks != self.tracks {
            self.init = Arc::new(Init::new(self.next.init, &tracks)?);
            self.next.init += 1;
            self.tracks = tracks;
        }
        self.frames = Frames::new(sound(&self.tracks));
        self.last_key = None;
        self.last_picture = None;
        self.discontinuity = true;
        Ok(news)
    }

    /// Takes the next frame. Frames before the first key frame are ignored. Returns true if there
    /// is something new to fetch: a part or a whole segment.
    pub fn push(&mut self, frame: Frame) -> bool {
        if frame.track == TrackKind::Audio {
            if self.open.is_some() {
                self.frames.push(frame);
            }
            return false;
        }
        let Some(start) = self.open.as_ref().map(|open| open.start) else {
            if frame.key {
                self.note(&frame);
                self.open(&frame);
                self.frames.push(frame);
            }
            return false;
        };
        self.note(&frame);
        let news = if self.is_due(&frame, start) || self.is_full() {
            self.split(frame.dts);
            let rest = self.frames.take_pictures(frame.dts);
            self.write_part(rest);
            self.complete(frame.dts);
            self.open(&frame);
            true
        } else {
            self.part_is_due(frame.dts) && self.cut_due(frame.dts)
        };
        self.frames.push(frame);
        news
    }

    fn note(&mut self, frame: &Frame) {
        if let Some(last) = self.last_picture.replace(frame.dts) {
            let step = frame.dts - last;
            self.step = step.min(std::mem::replace(&mut self.last_step, step));
        }
        if frame.key {
            let gop = self.last_key.map_or(0, |last| frame.dts - last);
            self.longest_gop = self.longest_gop.max(gop);
            self.last_key = Some(frame.dts);
        }
    }

    /// Starts a segment with `frame`.
    fn open(&mut self, frame: &Frame) {
        let date = self.wall.and_then(|(dts, wall)| {
            let later = rescale(frame.dts.saturating_sub(dts), VIDEO_CLOCK, 1_000_000);
            wall.checked_add_signed(TimeDelta::microseconds(later))
        });
        self.open = Some(Open {
            bytes: 0,
            start: frame.dts,
            segment: Segment {
                number: self.next.sequence,
                init: self.init.number,
                duration: 0,
                date,
                discontinuity: std::mem::take(&mut self.discontinuity),
                independent: frame.key,
                pictures: 0,
                parts: Vec::new(),
            },
        });
    }

    /// True if the open segment has to end before `frame`.
    fn is_due(&self, frame: &Frame, start: i64) -> bool {
        let length = frame.dts - start;
        // After this frame the segment would be longer than its playlist allows.
        if length + self.step > self.limit() {
            return true;
        }
        frame.key
            && (length + self.step / 2 >= i64::from(self.config.segment)
                || length + self.longest_gop > self.limit())
    }

    /// True if the open segment has as much as it may: its time does not go on as it should.
    fn is_full(&self) -> bool {
        let limits = &self.config.limits;
        self.open.as_ref().is_some_and(|open| {
            let pictures = open.segment.pictures as usize + self.frames.pictures();
            pictures >= limits.pictures || open.bytes + self.frames.bytes() >= limits.segment
        })
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

    /// True if with the picture decoded at `dts` the part would be longer than it may be. Before
    /// the first segment is complete nobody waits for parts.
    fn part_is_due(&self, dts: i64) -> bool {
        let Some(target) = self.part_target else {
            return false;
        };
        let length = self.frames.start().map_or(0, |start| dts - start);
        length + self.step > i64::from(target)
    }

    /// Completes what has to be complete before the picture at `dts`. Returns true if that is a
    /// part.
    fn cut_due(&mut self, dts: i64) -> bool {
        let split = self.split(dts);
        // What is left of a split may be short enough to go on with.
        if self.part_is_due(dts) {
            self.cut_part(dts);
            return true;
        }
        split
    }

    /// Cuts parts off until what waits, which lasts until `end`, is short enough for one: the last
    /// picture was longer than expected, or this is the first segment. That one shows what the
    /// part target has to be. Returns true if that has completed a part.
    fn split(&mut self, end: i64) -> bool {
        let (Some(wanted), Some(start)) = (self.config.part, self.frames.start()) else {
            return false;
        };
        let length = end - start;
        let target = *self.part_target.get_or_insert_with(|| {
            let first = u32::try_from(length).unwrap_or(u32::MAX);
            let segment = target(self.config, self.longest_gop, first);
            part_target(wanted, length / self.frames.pictures() as i64)
                .min(segment.saturating_mul(VIDEO_CLOCK))
        });
        let mut news = false;
        while let Some(start) = self.frames.start()
            && end - start > i64::from(target)
            && let Some(cut) = self.frames.cut_for(target.into())
        {
            self.cut_part(cut);
            news = true;
        }
        news
    }

    fn cut_part(&mut self, end: i64) {
        let taken = self.frames.take_until(end);
        self.write_part(taken);
    }

    fn write_part(&mut self, taken: Taken) {
        let Some(open) = &mut self.open else { return };
        if taken.pictures() == 0 {
            return;
        }
        self.fragments = self.fragments.wrapping_add(1);
        // A single picture may last longer than a part may be. Its bytes say how long it really
        // is; the playlist keeps its promise (§4.4.4.9), and the next segment's start corrects it.
        let longest = self.part_target.map_or(i64::MAX, i64::from);
        let (duration, independent) = (taken.length().min(longest), taken.has_key());
        open.segment.pictures += taken.pictures() as u32;
        let chunks = taken.write(self.fragments);
        let length = chunks.iter().map(Bytes::len).sum::<usize>() as u64;
        open.bytes += length;
        open.segment.parts.push(Arc::new(Part {
            duration: u32::try_from(duration).unwrap_or(0),
            independent,
            length,
            chunks,
        }));
        if let Some(window) = &mut self.window
            && self.config.part.is_some()
        {
            window.extend(&open.segment, &self.init);
        }
    }

    /// Completes the open segment, which lasts until `end`. One whose last picture has no
    /// successor for too long ends at the limit as far as the playlist is concerned.
    fn complete(&mut self, end: i64) {
        let limit = self.limit();
        let Some(Open {
            start, mut segment, ..
        }) = self.open.take()
        else {
            return;
        };
        segment.duration = u32::try_from(end.min(start + limit) - start).unwrap_or(0);
        let before = self.next.discontinuities;
        self.next.sequence += 1;
        self.next.discontinuities += u64::from(segment.discontinuity);
        let (config, gop) = (self.config, self.longest_gop);
        let parts = config.part.and(self.part_target);
        self.window
            .get_or_insert_with(|| {
                let target = target(config, gop, segment.duration);
                Window::new(config, target, parts, before)
            })
            .push(segment, &self.init);
    }
}

/// Just under half a second: what rounding to whole seconds forgives.
const ROUNDED_DOWN: i64 = VIDEO_CLOCK as i64 / 2 - 1;

/// Parts get no shorter on purpose: each costs every viewer two requests.
const SHORTEST_PART: u32 = VIDEO_CLOCK / 5;

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

/// The part target: pictures of `step` that make about `wanted`, and a tenth for their jitter. So
/// a part of that many pictures is at least 85 % of it, as §4.4.4.9 wants. In whole milliseconds.
fn part_target(wanted: u32, step: i64) -> u32 {
    let millisecond = i64::from(VIDEO_CLOCK) / 1000;
    let step = step.clamp(1, 10 * i64::from(VIDEO_CLOCK));
    let with_jitter = |pictures: i64| (pictures * step * 11) / (10 * millisecond) + 1;
    let pictures = (i64::from(wanted) / step).max(1);
    let mut milliseconds = with_jitter(pictures);
    if milliseconds * millisecond < SHORTEST_PART.into() {
        milliseconds = with_jitter(pictures + 1);
    }
    u32::try_from(milliseconds * millisecond).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
