//! What viewers can fetch now.

use std::{collections::VecDeque, sync::Arc};

use headworks_media::VIDEO_CLOCK;

use crate::{Config, Init, Part, Segment};

/// Where a playlist stands, for one that continues it later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// The number of the next segment.
    pub sequence: u64,
    /// How many discontinuities there have been.
    pub discontinuities: u64,
    /// The number of the next init segment.
    pub init: u64,
}

/// A sliding window over a stream's segments; there is at least one. Cloning is cheap and gives a
/// snapshot.
#[derive(Debug, Clone)]
pub struct Window {
    /// How many segments the playlist lists.
    pub(crate) listed: usize,
    /// Whole seconds; never changes.
    pub(crate) target: u32,
    /// No part is longer, in 90 kHz; `None` if there are no parts. Never changes.
    pub(crate) part_target: Option<u32>,
    /// The listed ones, and before them those that slow viewers may still fetch (§6.2.2).
    pub(crate) segments: VecDeque<Arc<Segment>>,
    /// Of these.
    bytes: u64,
    /// What these may have.
    max_bytes: u64,
    /// The one that is being built, once it has a part.
    pub(crate) open: Option<Segment>,
    pub(crate) inits: VecDeque<Arc<Init>>,
    /// Discontinuities among the segments that have left the playlist.
    pub(crate) discontinuities: u64,
    pub(crate) rates: Rates,
}

/// What the multivariant playlist says of the stream, from all segments so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rates {
    /// The highest bit rate of a segment of at least half the target duration.
    peak: u64,
    bits: u64,
    ticks: u64,
    /// The highest number of pictures in 1000 seconds of such a segment.
    pub(crate) pictures: u64,
}

impl Rates {
    /// Shorter segments say little: §4.4.6.2 looks at runs of half to one and a half of `target`
    /// seconds.
    fn add(&mut self, segment: &Segment, target: u32) {
        let (bits, ticks) = (segment.length() * 8, u64::from(segment.duration.max(1)));
        self.bits += bits;
        self.ticks += ticks;
        if 2 * ticks < u64::from(target) * u64::from(VIDEO_CLOCK) {
            return;
        }
        self.peak = self.peak.max(bits * u64::from(VIDEO_CLOCK) / ticks);
        // The rate of one picture is not known.
        if segment.pictures > 1 {
            let clock = u64::from(VIDEO_CLOCK) * 1000;
            let rate = (u64::from(segment.pictures) * clock + ticks / 2) / ticks;
            self.pictures = self.pictures.max(rate);
        }
    }

    /// The peak bit rate; the average one as long as there was no segment to measure.
    pub(crate) fn peak(&self) -> u64 {
        self.peak.max(self.average())
    }

    /// The average bit rate.
    pub(crate) fn average(&self) -> u64 {
        let bits = u128::from(self.bits) * u128::from(VIDEO_CLOCK);
        u64::try_from(bits / u128::from(self.ticks.max(1))).unwrap_or(u64::MAX)
    }
}

impl Window {
    pub(crate) fn new(
        config: Config,
        target: u32,
        part_target: Option<u32>,
        discontinuities: u64,
    ) -> Self {
        Self {
            listed: config.listed,
            target,
            part_target,
            segments: VecDeque::new(),
            bytes: 0,
            max_bytes: config.limits.window,
            open: None,
            inits: VecDeque::new(),
            discontinuities,
            rates: Rates::default(),
        }
    }

    /// The target duration (§4.4.3.1), in seconds.
    #[must_use]
    pub fn target(&self) -> u32 {
        self.target
    }

    /// The media segment of this number.
    #[must_use]
    pub fn segment(&self, number: u64) -> Option<&Arc<Segment>> {
        let index = number.checked_sub(self.segments.front()?.number)?;
        self.segments.get(usize::try_from(index).ok()?)
    }

    /// A part: the number of its segment, and its place in that.
    #[must_use]
    pub fn part(&self, number: u64, index: u64) -> Option<&Arc<Part>> {
        self.part_target?;
        let parts = match &self.open {
            Some(open) if open.number == number => &open.parts,
            _ => &self.segment(number)?.parts,
        };
        parts.get(usize::try_from(index).ok()?)
    }

    /// The init segment of this number.
    #[must_use]
    pub fn init(&self, number: u64) -> Option<&Arc<Init>> {
        self.inits.iter().find(|init| init.number == number)
    }

    /// The part that comes next, which `EXT-X-PRELOAD-HINT` names; `None` if there are no parts.
    #[must_use]
    pub fn next_part(&self) -> Option<(u64, u64)> {
        self.part_target?;
        let last = self.segments.back()?.number;
        let parts = self.open.as_ref().map_or(0, |open| open.parts.len() as u64);
        Some((last + 1, parts))
    }

    /// True if the playlist can answer a request that waits for this (§6.2.5.2): for the whole
    /// segment, or for a part of it.
    #[must_use]
    pub fn has(&self, segment: u64, part: Option<u64>) -> bool {
        let Some(last) = self.segments.back() else {
            return false;
        };
        let Some(part) = part else {
            return segment <= last.number;
        };
        // A part behind the last of a segment means the first of the next.
        let is_behind = |segment: &Segment| part >= segment.parts.len() as u64;
        let wanted = match self.segment(segment) {
            Some(segment) if is_behind(segment) => (segment.number + 1, 0),
            _ => (segment, part),
        };
        self.next_part().is_none_or(|next| wanted < next)
    }

    /// True if a request must not wait for this, since it is too far ahead (§6.2.5.2).
    #[must_use]
    pub fn is_too_far(&self, segment: u64, part: Option<u64>) -> bool {
        let last = self.segments.back().map_or(0, |last| last.number);
        if segment > last + 2 {
            return true;
        }
        let (Some(part), Some(target), Some(next)) = (part, self.part_target, self.next_part())
        else {
            return false;
        };
        // The Advance Part Limit.
        let limit = (3 * VIDEO_CLOCK).div_ceil(target.clamp(1, VIDEO_CLOCK));
        let there = if segment == next.0 { next.1 } else { 0 };
        segment > last && part >= there + u64::from(limit)
    }

    /// The segments that the playlist lists.
    pub(crate) fn listed(&self) -> impl ExactSizeIterator<Item = &Arc<Segment>> + Clone {
        self.segments.iter().skip(self.unlisted())
    }

    fn unlisted(&self) -> usize {
        self.segments.len().saturating_sub(self.listed)
    }

    /// A segment is complete.
    pub(crate) fn push(&mut self, segment: Segment, init: &Arc<Init>) {
        self.open = None;
        self.rates.add(&segment, self.target);
        self.keep(init);
        self.bytes += segment.length();
        self.segments.push_back(Arc::new(segment));
        if let Some(left) = self.unlisted().checked_sub(1)
            && self.segments[left].discontinuity
        {
            self.discontinuities += 1;
        }
        self.drop_oldest();
        if let Some(oldest) = self.segments.front() {
            self.inits.retain(|init| init.number >= oldest.init);
        }
    }

    fn drop_oldest(&mut self) {
        while self.segments.len() > 1
            && (self.segments.len() > 2 * self.listed + 1 || self.bytes > self.max_bytes)
        {
            let was_listed = self.unlisted() == 0;
            let Some(oldest) = self.segments.pop_front() else {
                return;
            };
            self.bytes -= oldest.length();
            self.discontinuities += u64::from(was_listed && oldest.discontinuity);
        }
    }

    /// The segment that is being built has a new part.
    pub(crate) fn extend(&mut self, open: &Segment, init: &Arc<Init>) {
        self.keep(init);
        self.open = Some(open.clone());
    }

    fn keep(&mut self, init: &Arc<Init>) {
        let last = self.inits.back();
        if last.is_none_or(|last| last.number != init.number) {
            self.inits.push_back(Arc::clone(init));
        }
    }
}
