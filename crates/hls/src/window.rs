//! The segments that viewers can fetch now.

use std::{collections::VecDeque, sync::Arc};

use crate::{Init, Segment};

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

/// A sliding window over a stream's segments. Cloning is cheap and gives a snapshot.
#[derive(Debug, Clone)]
pub struct Window {
    /// How many segments the playlist lists.
    pub(crate) listed: usize,
    /// Whole seconds; never changes.
    pub(crate) target: u32,
    /// The listed ones, and before them those that slow viewers may still fetch (§6.2.2).
    pub(crate) segments: VecDeque<Arc<Segment>>,
    pub(crate) inits: VecDeque<Arc<Init>>,
    /// Discontinuities among the segments that have left the playlist.
    pub(crate) discontinuities: u64,
    /// The highest bit rate of a segment so far.
    pub(crate) peak: u64,
}

impl Window {
    pub(crate) fn new(listed: usize, target: u32, discontinuities: u64) -> Self {
        Self {
            listed,
            target,
            segments: VecDeque::new(),
            inits: VecDeque::new(),
            discontinuities,
            peak: 0,
        }
    }

    /// The media segment of this number.
    #[must_use]
    pub fn segment(&self, number: u64) -> Option<&Arc<Segment>> {
        let index = number.checked_sub(self.segments.front()?.number)?;
        self.segments.get(usize::try_from(index).ok()?)
    }

    /// The init segment of this number.
    #[must_use]
    pub fn init(&self, number: u64) -> Option<&Arc<Init>> {
        self.inits.iter().find(|init| init.number == number)
    }

    /// The segments that the playlist lists.
    pub(crate) fn listed(&self) -> impl ExactSizeIterator<Item = &Arc<Segment>> + Clone {
        self.segments.iter().skip(self.unlisted())
    }

    fn unlisted(&self) -> usize {
        self.segments.len().saturating_sub(self.listed)
    }

    pub(crate) fn push(&mut self, segment: Segment, init: &Arc<Init>) {
        let rate = segment.length * 8 * 90_000 / u64::from(segment.duration.max(1));
        self.peak = self.peak.max(rate);
        if self
            .inits
            .back()
            .is_none_or(|last| last.number != init.number)
        {
            self.inits.push_back(Arc::clone(init));
        }
        self.segments.push_back(Arc::new(segment));
        if let Some(left) = self.unlisted().checked_sub(1)
            && self.segments[left].discontinuity
        {
            self.discontinuities += 1;
        }
        while self.segments.len() > 2 * self.listed + 1 {
            self.segments.pop_front();
        }
        if let Some(oldest) = self.segments.front() {
            self.inits.retain(|init| init.number >= oldest.init);
        }
    }
}
