//! The frames of one stream that can still be read: the GOP buffer.
//!
//! One writer pushes, any number of readers look by sequence number. A reader that is too slow
//! finds that its number is gone; nothing ever waits for it.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use headworks_media::{Frame, TrackKind, Tracks, flv};

/// What a run of frames is made of. Changes with the camera's parameters.
#[derive(Debug)]
pub(crate) struct Description {
    /// The tracks.
    pub(crate) tracks: Arc<Tracks>,
    /// Tells descriptions of a stream apart; from 1.
    pub(crate) number: u64,
    /// When the first picture with it is decoded.
    dts: i64,
    flv_start: OnceLock<Bytes>,
    flv_headers: OnceLock<Bytes>,
}

impl Description {
    pub(crate) fn new(tracks: Arc<Tracks>, number: u64, dts: i64) -> Self {
        Self {
            tracks,
            number,
            dts,
            flv_start: OnceLock::new(),
            flv_headers: OnceLock::new(),
        }
    }

    /// What an FLV viewer gets before its first frame.
    pub(crate) fn flv_start(&self) -> Bytes {
        let write = || flv::start(&self.tracks, self.dts);
        self.flv_start.get_or_init(write).clone()
    }

    /// What an FLV viewer gets when this description follows another.
    pub(crate) fn flv_headers(&self) -> Bytes {
        let write = || flv::sequence_headers(&self.tracks, self.dts);
        self.flv_headers.get_or_init(write).clone()
    }
}

/// A frame in the ring, and its wire forms, each written when the first reader asks for it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The frame.
    pub(crate) frame: Frame,
    /// What it is made of.
    pub(crate) description: Arc<Description>,
    /// True if it starts a session of the source.
    pub(crate) starts_session: bool,
    flv: OnceLock<Bytes>,
}

impl Entry {
    pub(crate) fn new(frame: Frame, description: Arc<Description>, starts_session: bool) -> Self {
        Self {
            frame,
            description,
            starts_session,
            flv: OnceLock::new(),
        }
    }

    /// True if viewers can start here.
    pub(crate) fn is_key(&self) -> bool {
        self.frame.track == TrackKind::Video && self.frame.key
    }

    /// As an FLV tag; empty if FLV cannot carry it.
    pub(crate) fn flv(&self) -> &Bytes {
        self.flv
            .get_or_init(|| flv::tag(&self.frame, &self.description.tracks))
    }
}

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
        let description = Arc::new(Description::new(testing::tracks(), 1, 0));
        for index in 0..count {
            let frame = testing::picture(index as i64 * 3600, index % gop == 0, size);
            ring.push(Arc::new(Entry::new(frame, Arc::clone(&description), false)));
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

    #[test]
    fn wire_bytes_are_written_once() {
        let ring = fill(LIMITS, 10, 5, 100);
        let entry = ring.get(3).expect("there");
        assert_eq!(entry.flv().as_ptr(), entry.flv().as_ptr());
        let start = entry.description.flv_start();
        assert_eq!(start.as_ptr(), entry.description.flv_start().as_ptr());
    }
}
