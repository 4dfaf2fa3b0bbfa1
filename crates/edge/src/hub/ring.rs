//! The frames of one stream that can still be read: the GOP buffer.
//!
//! One writer pushes, any number of readers look by sequence number. A reader that is too slow
//! finds that its number is gone; nothing ever waits for it.

use std::{collections::VecDeque, sync::Arc};

use super::entry::Entry;

/// What a ring may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Frames of both tracks.
    pub(crate) frames: usize,
    /// Bytes of payload.
    pub(crate) bytes: usize,
    /// It keeps this much of the past even if the last two GOPs are shorter, in 90 kHz.
    pub(crate) past: i64,
}

/// A bounded run of frames. It holds the last complete GOP and the current one, and more as long
/// as that is younger than [`Limits::past`]; frames and bytes limit it in any case.
#[derive(Debug)]
pub(crate) struct Ring {
    limits: Limits,
    entries: VecDeque<Arc<Entry>>,
    /// The sequence number of the first entry.
    first: u64,
    bytes: usize,
    /// Sequence numbers and decoding times of the key frames that it holds.
    keys: VecDeque<(u64, i64)>,
}

impl Ring {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: VecDeque::new(),
            first: 0,
            bytes: 0,
            keys: VecDeque::new(),
        }
    }

    /// The sequence number of the oldest frame.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The sequence number that the next frame will get.
    pub(crate) fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// The frame of this number, if it is still or already there.
    pub(crate) fn get(&self, sequence: u64) -> Option<&Arc<Entry>> {
        let index = sequence.checked_sub(self.first)?;
        self.entries.get(usize::try_from(index).ok()?)
    }

    /// The newest key frame: where new viewers start.
    pub(crate) fn newest_key(&self) -> Option<u64> {
        self.keys.back().map(|(sequence, _)| *sequence)
    }

    /// The oldest key frame: where a packager starts that wants as much past as there is.
    pub(crate) fn oldest_key(&self) -> Option<u64> {
        self.keys.front().map(|(sequence, _)| *sequence)
    }

    /// The first key frame at or after this number.
    pub(crate) fn key_from(&self, sequence: u64) -> Option<u64> {
        let mut keys = self.keys.iter().map(|(key, _)| *key);
        keys.find(|key| *key >= sequence)
    }

    /// The longest complete GOP in it, in 90 kHz; 0 if there is none.
    pub(crate) fn longest_gop(&self) -> i64 {
        let pairs = self.keys.iter().zip(self.keys.iter().skip(1));
        pairs.map(|(a, b)| b.1 - a.1).max().unwrap_or(0)
    }

    pub(crate) fn push(&mut self, entry: Arc<Entry>) {
        let dts = entry.frame.dts;
        let is_key = entry.is_key();
        if is_key {
            self.keys.push_back((self.next(), dts));
        }
        self.bytes += entry.frame.payload.len();
        self.entries.push_back(entry);
        // A GOP goes when the one behind it is complete and old enough to stand alone.
        while is_key
            && let [_, second, _, ..] = self.keys.make_contiguous()
            && dts - second.1 >= self.limits.past
        {
            let until = second.0;
            self.drop_until(until);
        }
        while self.entries.len() > self.limits.frames || self.bytes > self.limits.bytes {
            self.drop_until(self.first + 1);
        }
    }

    /// Forgets all frames; numbers go on.
    pub(crate) fn clear(&mut self) {
        self.drop_until(self.next());
    }

    fn drop_until(&mut self, sequence: u64) {
        while self.first < sequence
            && let Some(entry) = self.entries.pop_front()
        {
            self.bytes -= entry.frame.payload.len();
            self.first += 1;
        }
        while self.keys.front().is_some_and(|(key, _)| *key < self.first) {
            self.keys.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::testing;

    const LIMITS: Limits = Limits {
        frames: 100,
        bytes: 10_000,
        past: 0,
    };

    fn fill(limits: Limits, gop: u64, count: u64, size: usize) -> Ring {
        let mut ring = Ring::new(limits);
        for index in 0..count {
            let frame = testing::picture(index as i64 * 3600, index % gop == 0, size);
            ring.push(Arc::new(testing::entry(frame)));
        }
        ring
    }

    #[test]
    fn it_holds_the_last_complete_gop_and_the_current_one() {
        let ring = fill(LIMITS, 10, 35, 1);
        assert_eq!((ring.first(), ring.next()), (20, 35));
        assert_eq!(ring.oldest_key(), Some(20));
        assert_eq!(ring.newest_key(), Some(30));
        assert_eq!(ring.longest_gop(), 36_000);
        assert!(ring.get(19).is_none() && ring.get(20).is_some() && ring.get(35).is_none());
    }

    #[test]
    fn short_gops_stay_while_they_are_young() {
        let limits = Limits {
            past: 40 * 3600,
            ..LIMITS
        };
        let ring = fill(limits, 10, 95, 1);
        assert_eq!(ring.first(), 50);
    }

    #[test]
    fn frames_and_bytes_are_bounded_even_in_one_endless_gop() {
        let ring = fill(LIMITS, u64::MAX, 1000, 1);
        assert_eq!((ring.entries.len(), ring.next()), (100, 1000));
        assert_eq!(ring.newest_key(), None, "its key frame is gone");
        let ring = fill(LIMITS, u64::MAX, 1000, 700);
        assert!(ring.bytes <= 10_000);
    }
}
