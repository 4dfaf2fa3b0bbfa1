//! The writing end of a stream.

use std::sync::Arc;

use bytes::Bytes;
use headworks_media::{
    AudioParameters, Frame, Stamp, Timeline, TrackKind, Tracks, VIDEO_CLOCK, rescale,
};
use tokio::time::Instant;

use super::{
    Hub, Stream,
    entry::{self, Description, Entry, Forms, Pack},
    format::Sound,
    held::HeldSound,
    numbering::Numbering,
};

/// AAC comes so much later than what it is made of, at most, 90 kHz.
const LAG: i64 = VIDEO_CLOCK as i64 / 4;

/// Writes the frames of a stream; there is one per stream. It lives as long as its slot and
/// survives reconnects, so that viewers see one unbroken time line. Dropping it ends the stream.
pub(crate) struct Publisher {
    stream: Arc<Stream>,
    hub: Hub,
    timeline: Timeline,
    tracks: Option<Arc<Tracks>>,
    description: Option<Arc<Description>>,
    numbering: Numbering,
    starts_session: bool,
    has_key: bool,
    /// When the newest key frame is decoded.
    key: i64,
    /// Stands in for the camera's own sound where that is not AAC.
    aac: Option<AudioParameters>,
    /// Sound that is not written yet.
    held: HeldSound,
    /// Readers have not been told of a key frame.
    key_waits: bool,
    /// Readers have not been told of a picture.
    picture_waits: bool,
    /// Readers have not been told of sound that is this old.
    sound_waits: Option<Instant>,
}

impl Publisher {
    pub(super) fn new(stream: Arc<Stream>, hub: Hub) -> Self {
        Self {
            stream,
            hub,
            timeline: Timeline::default(),
            tracks: None,
            description: None,
            numbering: Numbering::new(rand::random),
            starts_session: false,
            has_key: false,
            key: 0,
            aac: None,
            held: HeldSound::default(),
            key_waits: false,
            picture_waits: false,
            sound_waits: None,
        }
    }

    /// The stream that it writes.
    pub(crate) fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// The source starts anew and consists of `tracks`. Nothing is written before its first key
    /// frame.
    pub(crate) fn start_session(&mut self, tracks: Arc<Tracks>) {
        self.write_held();
        self.timeline.restart(
            tracks.video.reorder_depth(),
            tracks.audio.as_ref().map(AudioParameters::clock_rate),
        );
        self.tracks = Some(tracks);
        self.numbering.restart();
        self.starts_session = true;
        self.has_key = false;
    }

    /// The parameters of the picture have changed within the session; a key frame follows.
    pub(crate) fn change_tracks(&mut self, tracks: Arc<Tracks>) {
        self.write_held();
        if let Some(before) = &self.tracks
            && before.video.reorder_depth() != tracks.video.reorder_depth()
        {
            self.timeline
                .set_reorder_depth(tracks.video.reorder_depth());
        }
        self.tracks = Some(tracks);
        self.has_key = false;
    }

    /// The source has told how its sound relates to its picture: `ticks` later than thought.
    pub(crate) fn correct_audio(&mut self, ticks: i64) {
        self.timeline.correct_audio(ticks);
    }

    /// Writes a picture that the session shows at `pts`. Readers notice at the next [`wake`].
    ///
    /// [`wake`]: Self::wake
    pub(crate) fn video(&mut self, pts: i64, key: bool, payload: Bytes) {
        if self.can_start(key) {
            let stamp = self.timeline.video(pts);
            self.picture(stamp, key, payload);
        }
    }

    /// As [`Self::video`], for a source that also says when the picture is decoded.
    pub(crate) fn video_with_dts(&mut self, dts: i64, pts: i64, key: bool, payload: Bytes) {
        if self.can_start(key) {
            let stamp = self.timeline.video_with_dts(dts, pts);
            self.picture(stamp, key, payload);
        }
    }

    /// False before the first key frame.
    fn can_start(&mut self, key: bool) -> bool {
        self.has_key |= key;
        self.has_key
    }

    fn picture(&mut self, stamp: Stamp, key: bool, payload: Bytes) {
        // No packet has sound from both sides of a key frame.
        self.write_held();
        self.picture_waits = true;
        self.key_waits |= key;
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
        self.write(frame, None, false, Pack::Alone);
    }

    /// Writes a packet of sound of `length` samples that the session plays at `timestamp`. Returns
    /// when that is on the stream's time line; `None` if it had to be dropped.
    pub(crate) fn audio(&mut self, timestamp: i64, length: u32, payload: Bytes) -> Option<i64> {
        if !self.has_key {
            return None;
        }
        let stamp = self.timeline.audio(timestamp, length)?;
        let now = self.stream.clock.monotonic();
        self.sound_waits.get_or_insert(now);
        let frame = sound(stamp, payload);
        if self.tracks.as_deref().is_some_and(entry::needs_aac) {
            self.write(frame, Some(Sound::Original), false, Pack::Alone);
        } else {
            if !self.held.fits(&frame) {
                self.write_held();
            }
            self.held.push(frame, length);
        }
        Some(stamp)
    }

    fn write_held(&mut self) {
        for (frame, pack) in self.held.take() {
            self.write(frame, None, false, pack);
        }
    }

    /// From now on, AAC with these parameters stands in for a sound that is not AAC where viewers
    /// take no other; `None`: no longer. Frames that are buffered have it too, unless somebody has
    /// seen that they have not.
    pub(crate) fn set_aac(&mut self, parameters: Option<AudioParameters>) {
        self.aac = parameters;
        if let Some(description) = &self.description {
            description.stand_in(self.aac.as_ref());
        }
    }

    /// Writes a packet of the AAC that stands in. `stamp` is on the stream's time line, in ticks
    /// of the AAC's clock.
    pub(crate) fn aac(&mut self, stamp: i64, payload: Bytes) {
        let needs_aac = self.tracks.as_deref().is_some_and(entry::needs_aac);
        if let Some(aac) = self.aac.as_ref().filter(|_| self.has_key && needs_aac) {
            let age = self.key - rescale(stamp, aac.clock_rate(), VIDEO_CLOCK);
            let now = self.stream.clock.monotonic();
            self.sound_waits.get_or_insert(now);
            self.write(
                sound(stamp, payload),
                Some(Sound::Aac),
                age > LAG,
                Pack::Alone,
            );
        }
    }

    /// The camera's own sound that is buffered behind a key frame, with its stamps, as far as it
    /// is like the sound of now.
    pub(crate) fn buffered_sound(&self) -> Vec<(i64, Bytes)> {
        let now = self
            .tracks
            .as_ref()
            .and_then(|tracks| tracks.audio.as_ref());
        let ring = self.stream.ring();
        let numbers = ring.oldest_key().unwrap_or(ring.next())..ring.next();
        let entries = numbers.filter_map(|number| ring.get(number));
        let like_now = entries.filter(|entry| {
            entry.frame.track == TrackKind::Audio
                && entry.is_for(Sound::Original)
                && entry.description.tracks.audio.as_ref() == now
        });
        like_now
            .map(|entry| (entry.frame.dts, entry.frame.payload.clone()))
            .collect()
    }

    /// Forgets what is buffered, when the camera is left alone for some time.
    pub(crate) fn clear(&mut self) {
        self.write_held();
        self.stream.ring().clear();
    }

    /// Tells readers that there is something new. Separate from writing, so that frames that
    /// arrive together leave together. Sound alone waits a little for the next picture: each
    /// write to each viewer costs, and nothing can be heard before its picture is there anyway.
    pub(crate) fn wake(&mut self) {
        let sound_is_old = self.sound_waits.is_some_and(|since| {
            self.stream.clock.monotonic() - since >= self.stream.config.sound_wait
        });
        if self.picture_waits || sound_is_old {
            self.write_held();
            self.picture_waits = false;
            self.sound_waits = None;
            self.stream.wake(std::mem::take(&mut self.key_waits));
        }
    }

    fn write(&mut self, frame: Frame, only_for: Option<Sound>, is_past: bool, pack: Pack) {
        let Some(description) = self.describe(frame.dts) else {
            return;
        };
        let load = pack.load(&frame).filter(|_| only_for != Some(Sound::Aac));
        let now = self.stream.clock.now();
        let entry = Entry {
            numbers: self.numbering.next(load, &description.tracks, now),
            frame,
            description,
            starts_session: std::mem::take(&mut self.starts_session),
            only_for,
            is_past,
            pack,
            forms: Forms::default(),
        };
        self.stream.push(Arc::new(entry));
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

impl Drop for Publisher {
    fn drop(&mut self) {
        self.write_held();
        self.hub.forget(&self.stream);
        self.stream.end();
    }
}
