//! The writing end of a stream.

use std::sync::Arc;

use bytes::Bytes;
use headworks_media::{AudioParameters, Frame, Stamp, Timeline, TrackKind, Tracks};
use tokio::time::Instant;

use super::{
    Hub, Stream,
    entry::{Description, Entry, Forms},
    format::Sound,
    numbering::Numbering,
};

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
    /// Stands in for the camera's own sound where that is not AAC.
    aac: Option<AudioParameters>,
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
            aac: None,
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
        self.picture_waits = true;
        self.key_waits |= key;
        let frame = Frame {
            track: TrackKind::Video,
            dts: stamp.dts,
            pts: stamp.pts,
            key,
            payload,
        };
        self.write(frame, None);
    }

    /// Writes a packet of sound of `length` samples that the session plays at `timestamp`.
    pub(crate) fn audio(&mut self, timestamp: i64, length: u32, payload: Bytes) {
        if !self.has_key {
            return;
        }
        if let Some(stamp) = self.timeline.audio(timestamp, length) {
            let now = self.stream.clock.monotonic();
            self.sound_waits.get_or_insert(now);
            let only_for = self.aac.is_some().then_some(Sound::Original);
            self.write(sound(stamp, payload), only_for);
        }
    }

    /// From the next frame on, AAC with these parameters stands in for the camera's own sound
    /// where viewers can take no other; `None`: no longer.
    pub(crate) fn set_aac(&mut self, parameters: Option<AudioParameters>) {
        self.aac = parameters;
    }

    /// Writes a packet of the AAC that stands in. `stamp` is on the stream's time line, in ticks
    /// of the AAC's clock.
    pub(crate) fn aac(&mut self, stamp: i64, payload: Bytes) {
        if self.has_key && self.aac.is_some() {
            let now = self.stream.clock.monotonic();
            self.sound_waits.get_or_insert(now);
            self.write(sound(stamp, payload), Some(Sound::Aac));
        }
    }

    /// Forgets what is buffered, when the camera is left alone for some time.
    pub(crate) fn clear(&mut self) {
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
            self.picture_waits = false;
            self.sound_waits = None;
            self.stream.wake(std::mem::take(&mut self.key_waits));
        }
    }

    fn write(&mut self, frame: Frame, only_for: Option<Sound>) {
        let Some(description) = self.describe(frame.dts) else {
            return;
        };
        let entry = Entry {
            numbers: self.numbering.next(
                &frame,
                &description.tracks,
                only_for != Some(Sound::Aac),
                self.stream.clock.now(),
            ),
            frame,
            description,
            starts_session: std::mem::take(&mut self.starts_session),
            only_for,
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
        let new = Arc::new(new.with_aac(self.aac.as_ref()).at(dts));
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
        self.hub.forget(&self.stream);
        self.stream.end();
    }
}
