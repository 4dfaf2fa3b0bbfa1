//! The writing end of a stream.

use std::sync::{Arc, MutexGuard};

use bytes::Bytes;
use headworks_media::{AudioParameters, Stamp, Timeline, TrackKind, Tracks};
use headworks_types::{Track, edge::SlotState};
use tokio::{sync::watch, time::Instant};

use super::{
    Hub, Status, Stream,
    format::Sound,
    line::{Begin, Line},
    relayed::Relayed,
    writers::Class,
};

/// One of several handles on a stream, each of which would write it. The camera itself goes before
/// another edge's frames, and otherwise whoever has begun a session last has the stream, from its
/// first key frame on: until then the one before goes on. What a handle writes that does not have
/// the stream is dropped.
///
/// It lives as long as its slot or relay and survives reconnects; time and numbers go on across
/// sessions and handles, so that viewers see one unbroken stream. When the last one is dropped, the
/// stream ends.
pub(crate) struct Publisher {
    stream: Arc<Stream>,
    hub: Hub,
    writer: Writer,
    session: Option<Session>,
    /// Stands in for the camera's own sound where that is not AAC.
    aac: Option<AudioParameters>,
    /// It is worth waiting for.
    aac_due: bool,
    /// Readers have not been told of a key frame.
    key_waits: bool,
    /// Readers have not been told of a picture.
    picture_waits: bool,
    /// Readers have not been told of sound that is this old.
    sound_waits: Option<Instant>,
}

/// A run of frames that belong together.
struct Session {
    number: u64,
    tracks: Arc<Tracks>,
    /// Nothing is written before its first key frame.
    has_key: bool,
    /// How its sound relates to its picture, if it has told before its first key frame.
    correction: Option<i64>,
    /// Where it is another edge's.
    incarnation: Option<u64>,
}

/// A handle on a stream as others see it.
#[derive(Clone)]
pub(crate) struct Writer {
    stream: Arc<Stream>,
    number: u64,
    lost: watch::Receiver<bool>,
}

impl Writer {
    /// What it says of itself, whether the stream shows it or not.
    pub(crate) fn status(&self) -> Status {
        let line = self.stream.line();
        let status = line.writers.status(self.number).cloned();
        drop(line);
        status.unwrap_or_else(|| self.stream.status())
    }

    /// From now on it goes on only until there is another; or so no more.
    pub(crate) fn give_way(&self, gives_way: bool) {
        let mut line = self.stream.line();
        line.writers.give_way(self.number, gives_way);
        self.stream.show(&line);
    }

    /// Waits until it cannot have the stream any more, since another has it.
    pub(crate) async fn lost(&self) {
        let mut lost = self.lost.clone();
        if lost.wait_for(|lost| *lost).await.is_err() {
            // Its handle is gone, which whoever waits knows by himself.
            std::future::pending::<()>().await;
        }
    }
}

impl Publisher {
    pub(super) fn new(stream: Arc<Stream>, hub: Hub) -> Self {
        let (number, lost) = {
            let mut line = stream.line();
            let added = line.writers.add(stream.fresh_status());
            stream.show(&line);
            added
        };
        let writer = Writer {
            stream: Arc::clone(&stream),
            number,
            lost,
        };
        Self {
            stream,
            hub,
            writer,
            session: None,
            aac: None,
            aac_due: false,
            key_waits: false,
            picture_waits: false,
            sound_waits: None,
        }
    }

    /// The stream that it writes.
    pub(crate) fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// This handle, for those who look after it.
    pub(crate) fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Says what its source does. `since` stays while the state stays. Returns true if anything
    /// is new.
    pub(crate) fn set_status(&self, state: SlotState, message: &str) -> bool {
        self.stream
            .set_status_of(self.writer.number, state, message)
    }

    /// Says what the camera is made of.
    pub(crate) fn set_tracks(&self, tracks: Vec<Track>) {
        self.stream.set_tracks_of(self.writer.number, tracks);
    }

    /// The source starts anew and consists of `tracks`. Nothing is written before its first key
    /// frame.
    pub(crate) fn start_session(&mut self, tracks: Arc<Tracks>) {
        self.start(tracks, Class::Own, None);
    }

    /// Frames of another edge follow, which consist of `tracks` from now on. If they are of the
    /// incarnation that the stream has, they go on where it is: without a break, and what it has is
    /// passed over. Another one follows behind what was written, from its first key frame on.
    pub(crate) fn start_relay(&mut self, incarnation: u64, tracks: Arc<Tracks>) {
        if let Some(session) = &mut self.session
            && session.incarnation == Some(incarnation)
        {
            session.tracks = Arc::clone(&tracks);
            let mut line = self.stream.line();
            if line.writers.is_at(self.writer.number, session.number) {
                line.set_tracks(&self.stream, &tracks);
            }
            return;
        }
        self.start(tracks, Class::Relay, Some(incarnation));
    }

    fn start(&mut self, tracks: Arc<Tracks>, class: Class, incarnation: Option<u64>) {
        let mut line = self.stream.line();
        if line.writers.is_of(self.writer.number) {
            line.write_held(&self.stream);
        }
        let number = line.writers.begin(self.writer.number, class);
        drop(line);
        self.session = Some(Session {
            number,
            tracks,
            has_key: false,
            correction: None,
            incarnation,
        });
    }

    /// The parameters of the picture have changed within the session; a key frame follows.
    pub(crate) fn change_tracks(&mut self, tracks: Arc<Tracks>) {
        let Some(session) = &mut self.session else {
            return;
        };
        let mut line = self.stream.line();
        if line.writers.is_at(self.writer.number, session.number) {
            let depth = tracks.video.reorder_depth();
            if session.tracks.video.reorder_depth() != depth {
                line.timeline.set_reorder_depth(depth);
            }
            line.set_tracks(&self.stream, &tracks);
        }
        session.tracks = tracks;
        session.has_key = false;
    }

    /// The source has told how its sound relates to its picture: `ticks` later than thought.
    pub(crate) fn correct_audio(&mut self, ticks: i64) {
        if let Some(session) = &mut self.session {
            session.correction = Some(ticks);
            let mut line = self.stream.line();
            if line.writers.is_at(self.writer.number, session.number) {
                line.timeline.correct_audio(ticks);
            }
        }
    }

    /// Writes a picture that the session shows at `pts`. Readers notice at the next [`wake`].
    ///
    /// [`wake`]: Self::wake
    pub(crate) fn video(&mut self, pts: i64, key: bool, payload: Bytes) {
        self.picture(key, payload, |timeline| timeline.video(pts));
    }

    /// As [`Self::video`], for a source that also says when the picture is decoded.
    pub(crate) fn video_with_dts(&mut self, dts: i64, pts: i64, key: bool, payload: Bytes) {
        self.picture(key, payload, |timeline| timeline.video_with_dts(dts, pts));
    }

    fn picture(&mut self, key: bool, payload: Bytes, stamp: impl FnOnce(&mut Timeline) -> Stamp) {
        let Some(session) = self.session.as_mut() else {
            return;
        };
        session.has_key |= key;
        if !session.has_key {
            return;
        }
        let (stream, session) = (&*self.stream, &*session);
        let mut line = stream.line();
        if !line.writers.is_at(self.writer.number, session.number) {
            if !key || !line.writers.take(self.writer.number) {
                return;
            }
            line.begin_own(stream, &begin(session, self.aac.as_ref()));
            if let Some(ticks) = session.correction {
                line.timeline.correct_audio(ticks);
            }
            stream.taken(&line, self.aac_due);
        }
        let stamp = stamp(&mut line.timeline);
        line.picture(stream, stamp, key, payload);
        drop(line);
        self.picture_waits = true;
        self.key_waits |= key;
    }

    /// Writes a packet of sound of `length` samples that the session plays at `timestamp`. Returns
    /// when that is on the stream's time line; `None` if it had to be dropped.
    pub(crate) fn audio(&mut self, timestamp: i64, length: u32, payload: Bytes) -> Option<i64> {
        let mut line = self.writing()?;
        let stamp = line.timeline.audio(timestamp, length)?;
        line.sound(&self.stream, stamp, length, payload);
        drop(line);
        self.note_sound();
        Some(stamp)
    }

    /// Writes a frame of another edge. Returns when it is decoded on the stream's time line, in
    /// ticks of its track; `None` if it is not taken: the stream has it, or it is not this
    /// handle's turn.
    pub(crate) fn write(&mut self, relayed: Relayed) -> Option<i64> {
        let session = self.session.as_ref()?;
        let incarnation = session.incarnation?;
        let (track, key) = (relayed.frame.track, relayed.is_key());
        let (stream, number) = (&*self.stream, self.writer.number);
        let mut line = stream.line();
        let next = line.expected().filter(|(of, _)| *of == incarnation);
        let next = next.map(|(_, next)| next);
        if next.is_some_and(|next| relayed.sequence < next) {
            return None;
        }
        // Behind a hole, only a key frame is of use.
        if !key && next != Some(relayed.sequence) {
            return None;
        }
        if !line.writers.is_at(number, session.number) {
            if !line.writers.take(number) {
                return None;
            }
            let begin = begin(session, self.aac.as_ref());
            match next {
                Some(_) => line.go_on(stream, &begin),
                None => line.begin_relay(stream, &begin, incarnation, &relayed),
            }
            stream.taken(&line, self.aac_due);
        }
        let stamp = line.relayed(stream, relayed);
        drop(line);
        match track {
            TrackKind::Video => {
                self.picture_waits = true;
                self.key_waits |= key;
            }
            TrackKind::Audio if stamp.is_some() => self.note_sound(),
            TrackKind::Audio => {}
        }
        stamp
    }

    /// The line, if this session has it and is behind its key frame.
    fn writing(&self) -> Option<MutexGuard<'_, Line>> {
        let session = self.session.as_ref().filter(|session| session.has_key)?;
        let line = self.stream.line();
        let is_here = line.writers.is_at(self.writer.number, session.number);
        is_here.then_some(line)
    }

    fn note_sound(&mut self) {
        if self.sound_waits.is_none() {
            self.sound_waits = Some(self.stream.clock.monotonic());
        }
    }

    /// From now on, AAC with these parameters stands in for a sound that is not AAC where viewers
    /// take no other; `None`: no longer. Frames that are buffered have it too, unless somebody has
    /// seen that they have not.
    pub(crate) fn set_aac(&mut self, parameters: Option<AudioParameters>) {
        self.aac = parameters;
        let mut line = self.stream.line();
        if line.writers.is_of(self.writer.number) {
            line.set_aac(self.aac.as_ref());
        }
    }

    /// Says whether AAC is on its way, so that who needs it had better wait.
    pub(crate) fn set_aac_due(&mut self, due: bool) {
        self.aac_due = due;
        let line = self.stream.line();
        if line.writers.is_of(self.writer.number) || !line.writers.has_writer() {
            self.stream.set_aac_due(due);
        }
    }

    /// Writes a packet of the AAC that stands in. `stamp` is on the stream's time line, in ticks
    /// of the AAC's clock.
    pub(crate) fn aac(&mut self, stamp: i64, payload: Bytes) {
        let Some(session) = &self.session else {
            return;
        };
        let mut line = self.stream.line();
        let is_here = line.writers.is_at(self.writer.number, session.number);
        let may = session.has_key || session.incarnation.is_some();
        if is_here && may && line.aac(&self.stream, stamp, payload) {
            drop(line);
            self.note_sound();
        }
    }

    /// The camera's own sound that is buffered behind a key frame, with its stamps, as far as it
    /// is like the sound of now.
    pub(crate) fn buffered_sound(&self) -> Vec<(i64, Bytes)> {
        let tracks = self.session.as_ref().map(|session| &session.tracks);
        let now = tracks.and_then(|tracks| tracks.audio.as_ref());
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

    /// Forgets what is buffered, when the camera is left alone for some time and nobody else
    /// writes.
    pub(crate) fn clear(&mut self) {
        let mut line = self.stream.line();
        if line.writers.is_of(self.writer.number) || !line.writers.has_writer() {
            line.write_held(&self.stream);
            self.stream.ring().clear();
        }
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

    fn write_held(&self) {
        let mut line = self.stream.line();
        if line.writers.is_of(self.writer.number) {
            line.write_held(&self.stream);
        }
    }
}

fn begin<'a>(session: &'a Session, aac: Option<&'a AudioParameters>) -> Begin<'a> {
    Begin {
        tracks: &session.tracks,
        aac,
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.write_held();
        self.hub.leave(&self.stream, self.writer.number);
    }
}
