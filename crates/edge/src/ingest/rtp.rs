//! From the packets of an RTSP session into a feed, whoever began it: we with a camera, or a
//! publisher with us.
//!
//! [`Chosen`] takes from a description what we carry; a [`Reception`] takes packets and reports.
//! After a loss, pictures are left out up to the next key frame: what refers to the missing ones
//! would only show blocks. Sound goes on at once.

mod choose;
mod sync;

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use headworks_media::{AudioParameters, TrackKind, Tracks, VIDEO_CLOCK, VideoParameters, rescale};
use headworks_rtp::{Codec, Event, Media, Options, Picture, Receiver, Sound, window::Limits};
use headworks_rtsp::{Packet, Start};
use rand::RngExt as _;

use super::{Feed, failure::Failure};
pub(crate) use choose::{Chosen, Unusable};
use sync::Sync;

/// By what receivers know us in reports.
const NAME: &str = "headworks";

/// Receives the tracks of one session.
pub(crate) struct Reception {
    video: Track,
    audio: Option<Track>,
    sound: Option<AudioParameters>,
    sync: Sync,
    /// Pictures that cannot be decoded until the next key frame.
    wants_key: bool,
}

struct Track {
    /// Index into the session's description.
    index: usize,
    clock_rate: u32,
    receiver: Receiver,
}

impl Track {
    fn new(index: usize, media: &Media, limits: Limits, start: Option<u32>) -> Self {
        let options = Options {
            limits,
            ssrc: rand::rng().random(),
            cname: NAME.to_owned(),
            start,
        };
        Self {
            index,
            clock_rate: media.clock_rate,
            receiver: Receiver::new(media, options),
        }
    }
}

impl Reception {
    /// Begins with the tracks that were chosen. `starts` is what the sender says of where they
    /// begin; if it does not say it of all, sender reports have to tell how they relate.
    pub(crate) fn new(chosen: &Chosen, limits: Limits, starts: &[Start], feed: &mut Feed) -> Self {
        let time = |index| {
            let mut of = starts.iter().filter(|start| start.track == index);
            of.next()?.rtptime
        };
        let all_told = chosen.indices().all(|index| time(index).is_some());
        let start = |index| time(index).filter(|_| all_told);
        let track =
            |(index, media): &(usize, Media)| Track::new(*index, media, limits, start(*index));
        let reception = Self {
            video: track(&chosen.video),
            audio: chosen.audio.as_ref().map(track),
            sound: chosen.audio.as_ref().and_then(|(_, media)| sound(media)),
            sync: Sync::default(),
            wants_key: true,
        };
        if let Codec::H264(Some(known)) | Codec::H265(Some(known)) = &chosen.video.1.codec {
            reception.tell(known.clone(), feed);
        }
        reception
    }

    /// Takes a packet of the track with this index, if it is one of ours. What cannot be read is
    /// passed over: it says nothing about what follows.
    pub(crate) fn packet(&mut self, now: Instant, index: usize, kind: Packet, bytes: &Bytes) {
        let Some(track) = self.tracks().find(|track| track.index == index) else {
            return;
        };
        let taken = match kind {
            Packet::Rtp => track.receiver.handle_rtp(now, bytes),
            Packet::Rtcp => track.receiver.handle_rtcp(now, bytes),
        };
        if let Err(error) = taken {
            tracing::debug!(%error, track = index, "packet ignored");
        }
    }

    /// Gives the feed what is complete.
    pub(crate) fn deliver(&mut self, now: Instant, feed: &mut Feed) -> Result<(), Failure> {
        while let Some(event) = self.video.receiver.poll_event(now) {
            self.video_event(event, feed)?;
        }
        while let Some(event) = self
            .audio
            .as_mut()
            .and_then(|track| track.receiver.poll_event(now))
        {
            self.audio_event(event, feed)?;
        }
        Ok(())
    }

    /// When there is something to do even if nothing comes.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let audio = self.audio.as_ref();
        let audio = audio.and_then(|track| track.receiver.deadline());
        let video = self.video.receiver.deadline();
        video.into_iter().chain(audio).min()
    }

    /// A report to the sender that is due, and the index of the track that it is about.
    pub(crate) fn report(&mut self, now: Instant) -> Option<(usize, Bytes)> {
        self.tracks()
            .find_map(|track| Some((track.index, track.receiver.poll_report(now)?)))
    }

    fn tracks(&mut self) -> impl Iterator<Item = &mut Track> {
        [&mut self.video].into_iter().chain(&mut self.audio)
    }

    fn video_event(&mut self, event: Event, feed: &mut Feed) -> Result<(), Failure> {
        match event {
            Event::Parameters(parameters) => self.tell(*parameters, feed),
            Event::BadParameters(error) => return Err(Failure::Protocol(error.to_string())),
            Event::Picture(picture) => self.picture(picture, feed),
            Event::SenderReport { ntp, timestamp } => {
                self.sender_report(TrackKind::Video, ntp, timestamp, feed);
            }
            Event::Restarted => self.sync.restart(TrackKind::Video),
            Event::Lost { packets } => tracing::debug!(packets, "packets of pictures are lost"),
            Event::Bye => return Err(Failure::Closed),
            Event::Sound(_) => {}
        }
        Ok(())
    }

    fn audio_event(&mut self, event: Event, feed: &mut Feed) -> Result<(), Failure> {
        match event {
            Event::Sound(Sound {
                timestamp,
                length,
                payload,
            }) => {
                // Small, and part of a large piece of memory that it would keep from being freed.
                feed.audio(timestamp, length, Bytes::copy_from_slice(&payload));
            }
            Event::SenderReport { ntp, timestamp } => {
                self.sender_report(TrackKind::Audio, ntp, timestamp, feed);
            }
            Event::Restarted => self.sync.restart(TrackKind::Audio),
            Event::Lost { packets } => tracing::debug!(packets, "packets of sound are lost"),
            // Sound may end alone.
            Event::Bye | Event::Parameters(_) | Event::BadParameters(_) | Event::Picture(_) => {}
        }
        Ok(())
    }

    fn tell(&self, video: VideoParameters, feed: &mut Feed) {
        let audio = self.sound.clone();
        feed.tracks(Arc::new(Tracks { video, audio }));
    }

    fn picture(&mut self, picture: Picture, feed: &mut Feed) {
        self.wants_key |= picture.gap;
        if picture.key {
            self.wants_key = false;
        }
        if self.wants_key {
            feed.leave_out();
            return;
        }
        let pts = rescale(picture.timestamp, self.video.clock_rate, VIDEO_CLOCK);
        feed.video(pts, picture.key, picture.payload);
    }

    fn sender_report(&mut self, kind: TrackKind, ntp: u64, timestamp: i64, feed: &mut Feed) {
        let Some(audio) = &self.audio else {
            return;
        };
        let rate = match kind {
            TrackKind::Video => self.video.clock_rate,
            TrackKind::Audio => audio.clock_rate,
        };
        let elapsed = timestamp as f64 / f64::from(rate.max(1));
        if let Some(later) = self.sync.report(kind, ntp, elapsed) {
            tracing::debug!(seconds = later, "sound corrected by sender reports");
            feed.correct_audio((later * f64::from(audio.clock_rate)) as i64);
        }
    }
}

fn sound(media: &Media) -> Option<AudioParameters> {
    match &media.codec {
        Codec::Aac(parameters, _) | Codec::Latm(parameters) | Codec::Plain(parameters) => {
            Some(parameters.clone())
        }
        Codec::H264(_) | Codec::H265(_) => None,
    }
}
