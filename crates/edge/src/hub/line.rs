//! What of a stream goes on from one writer to the next: its time line, its numbers, and what
//! viewers were told.

use std::sync::Arc;

use bytes::Bytes;
use headworks_media::{
    AudioParameters, Frame, Stamp, Timeline, TrackKind, Tracks, VIDEO_CLOCK, rescale,
};

use super::{
    Stream,
    entry::{self, Description, Entry, Forms, Pack},
    format::Sound,
    held::HeldSound,
    numbering::Numbering,
    relayed::{self, AAC_SAMPLES, Relayed, Source},
    writers::Writers,
};

/// AAC comes so much later than what it is made of, at most, 90 kHz.
const LAG: i64 = VIDEO_CLOCK as i64 / 4;

/// One picture later, where nothing else is known.
const STEP: i64 = 3600;

/// How a session begins that has just got the stream.
pub(super) struct Begin<'a> {
    pub(super) tracks: &'a Arc<Tracks>,
    /// The AAC that stands in for its sound.
    pub(super) aac: Option<&'a AudioParameters>,
}

/// The writing side of a stream.
pub(super) struct Line {
    pub(super) writers: Writers,
    pub(super) timeline: Timeline,
    numbering: Numbering,
    /// Of the session that writes.
    tracks: Option<Arc<Tracks>>,
    description: Option<Arc<Description>>,
    starts_session: bool,
    /// When the newest key frame is decoded.
    key: i64,
    /// Stands in for the camera's own sound where that is not AAC.
    aac: Option<AudioParameters>,
    /// Where the newest of it ends.
    aac_end: i64,
    /// It is not taken before this: somebody else has made it.
    aac_floor: i64,
    /// Sound that is not written yet.
    held: HeldSound,
    /// Of the next frame that is written.
    source: Source,
    /// Of another edge's frames: the sequence of the next one that is taken.
    expected: Option<u64>,
    /// Another edge's sound before this is not taken: something else was played then, 90 kHz.
    floor: i64,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            writers: Writers::default(),
            timeline: Timeline::default(),
            numbering: Numbering::new(rand::random),
            tracks: None,
            description: None,
            starts_session: false,
            key: 0,
            aac: None,
            aac_end: i64::MIN,
            aac_floor: i64::MIN,
            held: HeldSound::default(),
            source: Source {
                incarnation: rand::random(),
                ..Source::default()
            },
            expected: None,
            floor: 0,
        }
    }
}

impl Line {
    /// A session of the camera begins with the key frame that comes.
    pub(super) fn begin_own(&mut self, stream: &Stream, begin: &Begin<'_>) {
        if self.expected.take().is_some() {
            self.source = Source {
                incarnation: rand::random(),
                ..Source::default()
            };
        }
        self.begin(stream, begin);
        let tracks = begin.tracks;
        self.timeline.restart(
            tracks.video.reorder_depth(),
            tracks.audio.as_ref().map(AudioParameters::clock_rate),
        );
    }

    /// Frames of another edge follow, from a key frame on.
    pub(super) fn begin_relay(
        &mut self,
        stream: &Stream,
        begin: &Begin<'_>,
        incarnation: u64,
        first: &Relayed,
    ) {
        self.begin(stream, begin);
        let (shift, floor) = match self.description {
            // Where nothing was before, times are the origin's.
            None => (0, 0),
            Some(_) => {
                let end = self.timeline.end();
                (end - first.frame.dts, end)
            }
        };
        self.floor = floor;
        self.source = Source {
            incarnation,
            sequence: first.sequence,
            shift,
        };
        self.expected = Some(first.sequence);
    }

    /// Another handle goes on with the frames of the same edge.
    pub(super) fn go_on(&mut self, stream: &Stream, begin: &Begin<'_>) {
        self.write_held(stream);
        self.tracks = Some(Arc::clone(begin.tracks));
        self.set_aac(begin.aac);
        self.aac_floor = self.aac_end;
    }

    fn begin(&mut self, stream: &Stream, begin: &Begin<'_>) {
        self.go_on(stream, begin);
        self.restart();
    }

    fn restart(&mut self) {
        self.numbering.restart();
        self.starts_session = true;
    }

    /// The session that writes is made of these from now on.
    pub(super) fn set_tracks(&mut self, stream: &Stream, tracks: &Arc<Tracks>) {
        self.write_held(stream);
        self.tracks = Some(Arc::clone(tracks));
    }

    /// What stands in for the sound of who writes.
    pub(super) fn set_aac(&mut self, aac: Option<&AudioParameters>) {
        self.aac = aac.cloned();
        if let Some(description) = &self.description {
            description.stand_in(self.aac.as_ref());
        }
    }

    /// Where another edge's frames go on: incarnation and sequence.
    pub(super) fn expected(&self) -> Option<(u64, u64)> {
        Some((self.source.incarnation, self.expected?))
    }

    /// Writes a picture.
    pub(super) fn picture(&mut self, stream: &Stream, stamp: Stamp, key: bool, payload: Bytes) {
        // No packet has sound from both sides of a key frame.
        self.write_held(stream);
        if key {
            self.key = stamp.dts;
        }
        let frame = Frame {
            track: TrackKind::Video,
            dts: stamp.dts,
            pts: stamp.pts,
            key,
            payload,
        };
        self.write(stream, frame, None, false, Pack::Alone);
    }

    /// Writes a packet of sound of `length` samples, or keeps it for the next picture.
    pub(super) fn sound(&mut self, stream: &Stream, stamp: i64, length: u32, payload: Bytes) {
        let frame = sound(stamp, payload);
        if self.tracks.as_deref().is_some_and(entry::needs_aac) {
            self.write(stream, frame, Some(Sound::Original), false, Pack::Alone);
        } else {
            if !self.held.fits(&frame) {
                self.write_held(stream);
            }
            self.held.push(frame, length);
        }
    }

    /// Writes a packet of the AAC that stands in, if there is a place for it.
    pub(super) fn aac(&mut self, stream: &Stream, stamp: i64, payload: Bytes) -> bool {
        let needs_aac = self.tracks.as_deref().is_some_and(entry::needs_aac);
        let rate = self.aac.as_ref().map(AudioParameters::clock_rate);
        let Some(rate) = rate.filter(|_| needs_aac && stamp >= self.aac_floor) else {
            return false;
        };
        self.aac_end = stamp + i64::from(AAC_SAMPLES);
        let age = self.key - rescale(stamp, rate, VIDEO_CLOCK);
        let frame = sound(stamp, payload);
        self.write(stream, frame, Some(Sound::Aac), age > LAG, Pack::Alone);
        true
    }

    /// Writes a frame of another edge; gives its time here, if it is not too late for it.
    pub(super) fn relayed(&mut self, stream: &Stream, relayed: Relayed) -> Option<i64> {
        let Relayed {
            sequence,
            starts_session,
            frame,
        } = relayed;
        if self.expected != Some(sequence) {
            // There is a hole, and what is behind it has its own numbers.
            self.write_held(stream);
            self.source.sequence = sequence;
        }
        self.expected = Some(sequence + 1);
        if starts_session {
            self.write_held(stream);
            self.restart();
        }
        let tracks = Arc::clone(self.tracks.as_ref()?);
        let frame = relayed::shifted(frame, &tracks, self.source.shift);
        let rate = relayed::rate(frame.track, &tracks);
        let time = rescale(frame.dts, rate, VIDEO_CLOCK);
        if frame.track == TrackKind::Video {
            self.timeline.advance(time + STEP);
            let stamp = Stamp {
                dts: frame.dts,
                pts: frame.pts,
            };
            self.picture(stream, stamp, frame.key, frame.payload);
            return Some(stamp.dts);
        }
        // Rounding may take a tick.
        if frame.dts + 1 < rescale(self.floor, VIDEO_CLOCK, rate) {
            self.write_held(stream);
            self.source = self.source.next();
            return None;
        }
        let length = relayed::samples(tracks.audio.as_ref(), &frame.payload);
        self.timeline
            .advance(time + rescale(length.into(), rate, VIDEO_CLOCK));
        self.sound(stream, frame.dts, length, frame.payload);
        Some(frame.dts)
    }

    /// Writes the sound that waits for a picture.
    pub(super) fn write_held(&mut self, stream: &Stream) {
        for (frame, pack) in self.held.take() {
            self.write(stream, frame, None, false, pack);
        }
    }

    fn write(
        &mut self,
        stream: &Stream,
        frame: Frame,
        only_for: Option<Sound>,
        is_past: bool,
        pack: Pack,
    ) {
        let source = self.source;
        let is_ours = only_for == Some(Sound::Aac);
        if !is_ours {
            // What stands in is not relayed: each edge makes it where somebody needs it.
            self.source = source.next();
        }
        let Some(description) = self.describe(frame.dts) else {
            return;
        };
        let load = pack.load(&frame).filter(|_| !is_ours);
        let now = stream.clock.now();
        let entry = Entry {
            numbers: self.numbering.next(load, &description.tracks, now),
            frame,
            description,
            source,
            starts_session: std::mem::take(&mut self.starts_session),
            only_for,
            is_past,
            pack,
            forms: Forms::default(),
        };
        stream.push(Arc::new(entry));
    }

    /// What the next frame is made of: as the one before, if nothing has changed.
    fn describe(&mut self, dts: i64) -> Option<Arc<Description>> {
        let tracks = self.tracks.as_ref()?;
        if let Some(before) = &self.description
            && before.is(tracks, self.aac.as_ref())
        {
            self.tracks = Some(Arc::clone(&before.tracks));
            return Some(Arc::clone(before));
        }
        let new = match &self.description {
            Some(before) => before.next(tracks),
            None => Description::first(Arc::clone(tracks), self.numbering.senders()),
        };
        let new = Arc::new(new.at(dts));
        new.stand_in(self.aac.as_ref());
        self.description = Some(Arc::clone(&new));
        Some(new)
    }
}

fn sound(stamp: i64, payload: Bytes) -> Frame {
    Frame {
        track: TrackKind::Audio,
        dts: stamp,
        pts: stamp,
        key: true,
        payload,
    }
}
