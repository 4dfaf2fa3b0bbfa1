//! The MPEG-TS of a stream.
//!
//! Its counters go on from frame to frame, so that frames have to be written in order, whoever
//! asks first. That happens as far as somebody watches: a frame that left the ring before anybody
//! asked for it or a later one is not written, and nobody has seen the counters before it. Those who
//! get no sound have one of their own, with counters and tables of its own.

use std::sync::{Arc, Mutex};

use headworks_media::{Tracks, ts::Muxer};

use super::{
    entry::Entry,
    format::{Format, Selection, Sound},
    lock,
    ring::Ring,
    wire::Wire,
};

/// How far the MPEG-TS of a stream has been written.
#[derive(Debug, Default)]
pub(super) struct Transport {
    /// Absent before the first viewer, and for pictures that MPEG-TS cannot carry.
    muxer: Option<Muxer>,
    /// The number of the description that the muxer knows.
    description: u64,
    /// The number of the next frame.
    next: u64,
}

impl Transport {
    /// Sees to it that `entries`, which follow each other from number `first` on, are written for
    /// those who get these tracks.
    pub(super) fn prepare(
        &mut self,
        ring: &Mutex<Ring>,
        selection: Selection,
        first: u64,
        entries: &[Arc<Entry>],
    ) {
        let end = first + entries.len() as u64;
        if self.next < first && self.muxer.is_some() {
            let between: Vec<_> = {
                let ring = lock(ring);
                let numbers = self.next.max(ring.first())..first;
                numbers
                    .map_while(|number| ring.get(number).cloned())
                    .collect()
            };
            for entry in &between {
                self.write(entry, selection);
            }
        }
        let written = self.next.saturating_sub(first) as usize;
        for entry in entries.iter().skip(written) {
            self.write(entry, selection);
        }
        self.next = self.next.max(end);
    }

    fn write(&mut self, entry: &Entry, selection: Selection) {
        let description = entry.description.seen_with(selection);
        let tracks = description.tracks_for(Sound::Aac);
        if self.description != description.number {
            self.description = description.number;
            let tracks = Tracks::clone(tracks);
            let muxer = match self.muxer.take() {
                Some(mut muxer) => muxer.set_tracks(tracks).map(|()| muxer),
                None => Muxer::new(tracks),
            };
            self.muxer = muxer.ok();
        }
        if let Some(muxer) = &mut self.muxer
            && selection.has(entry.frame.track)
            && entry.is_for(Sound::Aac)
            && !entry.is_past
        {
            let wire = Wire::from(muxer.write(&entry.frame));
            entry.put(Format::Ts, selection, wire);
        }
    }
}
