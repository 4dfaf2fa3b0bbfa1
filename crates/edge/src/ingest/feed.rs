//! What every kind of source does with its media: describes it, stamps it, and says how it goes.
//!
//! There is one [`Feed`] per slot. Sessions come and go: each begins with [`Feed::begin`], tells
//! the tracks before the first frame, and calls [`Feed::flush`] whenever what has arrived together
//! is written.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use headworks_bootstrap::Clock;
use headworks_media::{self as media, AudioParameters, Demuxed, G711Law, Tracks, VideoCodec};
use headworks_types::{Codec, Track, TrackKind, edge::SlotState};
use tokio::time::Instant;

use super::{failure::Failure, sound::Sound};
use crate::hub::{Publisher, Relayed, Status, Stream, Writer};

/// The way of one slot's media into the hub.
pub(crate) struct Feed {
    publisher: Publisher,
    sound: Sound,
    camera_name: String,
    clock: Clock,
    /// A source that gives no picture for this long has failed.
    video_timeout: Duration,
    session: Session,
}

/// What is known of the session that runs.
struct Session {
    /// What the source is called in messages, after its tracks; empty: nothing.
    origin: String,
    tracks: Option<Arc<Tracks>>,
    last_video: Instant,
    is_live: bool,
}

impl Feed {
    pub(super) fn new(
        publisher: Publisher,
        sound: Sound,
        camera_name: &str,
        clock: Clock,
        video_timeout: Duration,
    ) -> Self {
        let session = Session::new(String::new(), clock.monotonic());
        publisher.stream().set_name(camera_name);
        Self {
            publisher,
            sound,
            camera_name: camera_name.to_owned(),
            clock,
            video_timeout,
            session,
        }
    }

    /// The stream that it writes.
    pub(crate) fn stream(&self) -> &Arc<Stream> {
        self.publisher.stream()
    }

    /// Its handle on the stream, which others may have, too.
    pub(crate) fn writer(&self) -> &Writer {
        self.publisher.writer()
    }

    /// What its source does, whether the stream shows it or not.
    pub(super) fn status(&self) -> Status {
        self.writer().status()
    }

    /// Tells the time of its sessions.
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The camera has another name now.
    pub(super) fn rename(&mut self, camera_name: &str) {
        camera_name.clone_into(&mut self.camera_name);
        self.stream().set_name(camera_name);
    }

    /// A session begins; `origin` says what its media comes by, for people.
    pub(crate) fn begin(&mut self, origin: impl Into<String>) {
        self.session = Session::new(origin.into(), self.clock.monotonic());
    }

    /// Takes what a demuxer has found.
    pub(crate) fn take(&mut self, found: Demuxed) {
        match found {
            Demuxed::Tracks(tracks) => self.tracks(tracks),
            Demuxed::Video {
                dts,
                pts,
                key,
                payload,
            } => self.video_with_dts(dts, pts, key, payload),
            Demuxed::Audio {
                timestamp,
                length,
                payload,
            } => self.audio(timestamp, length, payload),
        }
    }

    /// What the session's frames are made of from now on.
    pub(crate) fn tracks(&mut self, tracks: Arc<Tracks>) {
        match &self.session.tracks {
            Some(before) if *before == tracks => return,
            Some(before) if tracks.goes_on_from(before) => {
                self.publisher.change_tracks(Arc::clone(&tracks));
            }
            // Sound with another clock has nothing to go on from.
            _ => self.publisher.start_session(Arc::clone(&tracks)),
        }
        self.sound
            .set_own(tracks.audio.as_ref(), &mut self.publisher);
        self.session.tracks = Some(tracks);
        if self.session.is_live {
            self.describe();
        }
    }

    /// The session's frames come from another edge, and consist of `tracks` from now on. Frames of
    /// the incarnation that the stream has go on where it is; see [`Publisher::start_relay`].
    pub(crate) fn relay_tracks(&mut self, incarnation: u64, tracks: Arc<Tracks>) {
        self.publisher.start_relay(incarnation, Arc::clone(&tracks));
        self.sound
            .set_own(tracks.audio.as_ref(), &mut self.publisher);
        self.session.tracks = Some(tracks);
        if self.session.is_live {
            self.describe();
        }
    }

    /// Takes a frame of another edge. False if the stream has it already, or has somebody better.
    pub(crate) fn relay(&mut self, relayed: Relayed) -> bool {
        self.session.last_video = self.clock.monotonic();
        let sound = match relayed.frame.track {
            media::TrackKind::Audio => Some(relayed.frame.payload.clone()),
            media::TrackKind::Video => None,
        };
        let Some(stamp) = self.publisher.write(relayed) else {
            return false;
        };
        if let Some(payload) = sound {
            self.sound.take(stamp, payload);
        }
        true
    }

    /// A picture that the session shows at `pts` (90 kHz), of a source that says no more.
    pub(crate) fn video(&mut self, pts: i64, key: bool, payload: Bytes) {
        // Until its parameters are known, a picture is of no use.
        if self.session.tracks.is_some() {
            self.publisher.video(pts, key, payload);
            self.session.last_video = self.clock.monotonic();
        }
    }

    /// A picture of a source that says when it is decoded and when it is shown (90 kHz).
    pub(crate) fn video_with_dts(&mut self, dts: i64, pts: i64, key: bool, payload: Bytes) {
        if self.session.tracks.is_some() {
            self.publisher.video_with_dts(dts, pts, key, payload);
            self.session.last_video = self.clock.monotonic();
        }
    }

    /// A picture has come that is of no use to viewers; the source is alive all the same.
    pub(crate) fn leave_out(&mut self) {
        if self.session.tracks.is_some() {
            self.session.last_video = self.clock.monotonic();
        }
    }

    /// A packet of sound of `length` samples that the session plays at `timestamp` (its own clock).
    pub(crate) fn audio(&mut self, timestamp: i64, length: u32, payload: Bytes) {
        let stamp = self.publisher.audio(timestamp, length, payload.clone());
        if let Some(stamp) = stamp {
            self.sound.take(stamp, payload);
        }
    }

    /// The source has told how its sound relates to its picture: `ticks` later than thought.
    pub(crate) fn correct_audio(&mut self, ticks: i64) {
        self.publisher.correct_audio(ticks);
    }

    /// Tells readers what is new. With the first pictures the camera counts as live.
    pub(crate) fn flush(&mut self) {
        let changed = self.sound.flush(&mut self.publisher);
        self.publisher.wake();
        if changed && self.session.is_live {
            self.describe();
        }
        if !self.session.is_live && self.session.tracks.is_some() {
            self.session.is_live = true;
            self.describe();
        }
    }

    /// Until when the next picture has to be there.
    pub(crate) fn deadline(&self) -> Instant {
        self.session.last_video + self.video_timeout
    }

    /// Fails if the source gives no pictures, whatever else it gives: sound alone keeps a
    /// connection busy.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.clock.monotonic() < self.deadline() {
            Ok(())
        } else {
            Err(Failure::NoVideo(self.video_timeout))
        }
    }

    /// Forgets what is buffered, when nothing follows for some time.
    pub(super) fn clear(&mut self) {
        self.publisher.clear();
    }

    /// Says what the source does, and logs it if it is new: once per change, not per attempt.
    pub(crate) fn set_status(&self, state: SlotState, message: &str) {
        if !self.publisher.set_status(state, message) {
            return;
        }
        let message = self.status().message;
        let (camera, name) = (self.stream().camera(), self.camera_name.as_str());
        if state == SlotState::Failed {
            tracing::warn!(camera.id = %camera, camera.name = name, reason = message, "camera fails");
        } else {
            tracing::info!(camera.id = %camera, camera.name = name, state = state.as_str(), message, "camera");
        }
    }

    fn describe(&self) {
        let Some(tracks) = &self.session.tracks else {
            return;
        };
        self.publisher.set_tracks(describe(tracks));
        let mut message = sentence(tracks);
        if !self.session.origin.is_empty() {
            message.push_str("; ");
            message.push_str(&self.session.origin);
        }
        if let Some(trouble) = self.sound.trouble() {
            message.push_str("; no sound but by RTSP: ");
            message.push_str(trouble);
        }
        self.set_status(SlotState::Live, &message);
    }
}

impl Session {
    fn new(origin: String, now: Instant) -> Self {
        Self {
            origin,
            tracks: None,
            last_video: now,
            is_live: false,
        }
    }
}

/// What a camera is made of, for the API.
fn describe(tracks: &Tracks) -> Vec<Track> {
    let video = Track {
        kind: TrackKind::Video,
        codec: video_codec(tracks),
        width: Some(tracks.video.width()),
        height: Some(tracks.video.height()),
        sample_rate: None,
        channels: None,
    };
    let audio = tracks.audio.as_ref().map(|audio| Track {
        kind: TrackKind::Audio,
        codec: audio_codec(audio),
        width: None,
        height: None,
        sample_rate: Some(audio.clock_rate()),
        channels: Some(audio.channels().into()),
    });
    [Some(video), audio].into_iter().flatten().collect()
}

/// The same for people: "H.264 640x360, AAC".
fn sentence(tracks: &Tracks) -> String {
    let (width, height) = (tracks.video.width(), tracks.video.height());
    let mut sentence = format!("{} {width}x{height}", video_codec(tracks));
    if let Some(audio) = &tracks.audio {
        sentence.push_str(", ");
        sentence.push_str(&audio_codec(audio).to_string());
    }
    sentence
}

fn video_codec(tracks: &Tracks) -> Codec {
    match tracks.video.codec() {
        VideoCodec::H264 { .. } => Codec::H264,
        VideoCodec::H265 { .. } => Codec::H265,
        VideoCodec::Av1 { .. } => Codec::Av1,
    }
}

fn audio_codec(audio: &AudioParameters) -> Codec {
    match audio {
        AudioParameters::Aac { .. } => Codec::Aac,
        AudioParameters::G711 { law, .. } => match law {
            G711Law::A => Codec::G711a,
            G711Law::Mu => Codec::G711u,
        },
        AudioParameters::Opus { .. } => Codec::Opus,
    }
}
