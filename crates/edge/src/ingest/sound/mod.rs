//! AAC for those who can take no other sound, made of a camera's G.711 or Opus.
//!
//! It is made once per stream and only while somebody needs it, by an FFmpeg that a task of its
//! own looks after. The feed gives each packet that it has stamped and takes what is ready; it
//! never waits. Without FFmpeg there are pictures without sound.

mod encoder;
mod marks;
mod matroska;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use headworks_bootstrap::{Clock, Tasks};
use headworks_media::{AudioClock, AudioParameters, opus, rescale};
use tokio::sync::mpsc;

use crate::{
    ffmpeg::Ffmpeg,
    hub::{AAC_RATE, Publisher},
};
use encoder::Encoder;

/// Samples of a packet of AAC.
const FRAME: i64 = 1024;

/// Packets of the camera that wait for FFmpeg; what comes while it is full is left out.
const INPUT: usize = 256;

/// Packets of AAC that wait for the next flush; then FFmpeg waits.
const OUTPUT: usize = 64;

/// So much of the buffered past is worth encoding, seconds.
const PAST: i64 = 12;

/// After so many failures one after the other, viewers are told that there is no sound.
const FAILURES: u32 = 3;

/// A packet of the camera's own sound, stamped on the stream's time line in its own clock.
#[derive(Debug)]
struct Packet {
    stamp: i64,
    payload: Bytes,
}

/// What comes of it.
#[derive(Debug)]
enum Made {
    Aac {
        stamp: i64,
        config: [u8; 2],
        payload: Bytes,
    },
    /// FFmpeg has ended, and why.
    Failed(String),
}

/// The AAC of one slot's stream.
pub(super) struct Sound {
    ffmpeg: Ffmpeg,
    clock: Clock,
    tasks: Tasks,
    /// The camera's own sound, if it is not AAC.
    own: Option<AudioParameters>,
    running: Option<Running>,
    /// Keeps the AAC even, also where one FFmpeg follows another.
    even: AudioClock,
    config: Option<[u8; 2]>,
    failures: u32,
    /// What it failed of last.
    trouble: Option<String>,
}

struct Running {
    input: mpsc::Sender<Packet>,
    output: mpsc::Receiver<Made>,
    /// Once it has come so far, it has caught up with what was buffered.
    caught_up: i64,
}

impl Sound {
    pub(super) fn new(ffmpeg: Ffmpeg, clock: Clock, tasks: Tasks) -> Self {
        Self {
            ffmpeg,
            clock,
            tasks,
            own: None,
            running: None,
            even: AudioClock::new(AAC_RATE),
            config: None,
            failures: 0,
            trouble: None,
        }
    }

    /// What the camera's sound is from now on.
    pub(super) fn set_own(&mut self, audio: Option<&AudioParameters>, publisher: &mut Publisher) {
        let own = audio.filter(|audio| !matches!(audio, AudioParameters::Aac { .. }));
        if self.own.as_ref() == own {
            return;
        }
        self.own = own.cloned();
        self.running = None;
        self.failures = 0;
        self.trouble = None;
        self.config = None;
        publisher.set_aac(None);
        publisher.set_aac_due(self.own.is_some());
    }

    /// Why there is no AAC, if that is so.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Takes a packet of the camera's own sound.
    pub(super) fn take(&mut self, stamp: i64, payload: Bytes) {
        if let Some(running) = &self.running {
            // What is left out is a gap. One that does not take it in time has its own trouble.
            let _ = running.input.try_send(Packet { stamp, payload });
        }
    }

    /// Gives what is ready to the stream, and sees to it that it is made if somebody needs it.
    /// Returns true if its trouble is another.
    pub(super) fn flush(&mut self, publisher: &mut Publisher) -> bool {
        let before = self.trouble.clone();
        while let Some(running) = &mut self.running {
            match running.output.try_recv() {
                Ok(Made::Aac {
                    stamp,
                    config,
                    payload,
                }) => self.give(stamp, config, payload, publisher),
                Ok(Made::Failed(why)) => self.failed(why, publisher),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => self.running = None,
            }
        }
        if self.running.is_none()
            && let Some(sound) = &self.own
            && *publisher.stream().aac_demand().borrow() > 0
        {
            self.start(sound.clone(), publisher);
        }
        self.trouble != before
    }

    fn start(&mut self, sound: AudioParameters, publisher: &Publisher) {
        let stream = publisher.stream();
        let past = past(&sound, publisher.buffered_sound());
        let newest = past.last().map(|packet| packet.stamp);
        // The encoder keeps some back until more comes.
        let caught_up =
            newest.map(|stamp| rescale(stamp, sound.clock_rate(), AAC_RATE) - 6 * FRAME);
        let (input, packets) = mpsc::channel(INPUT);
        let (made, output) = mpsc::channel(OUTPUT);
        let encoder = Encoder {
            ffmpeg: self.ffmpeg.clone(),
            sound,
            past,
            input: packets,
            output: made,
            stop: self.tasks.token(),
            clock: self.clock.clone(),
        };
        self.tasks
            .spawn("sound encoder", encoder.run(std::sync::Arc::clone(stream)));
        self.running = Some(Running {
            input,
            output,
            caught_up: caught_up.unwrap_or(i64::MIN),
        });
    }

    fn give(&mut self, stamp: i64, config: [u8; 2], payload: Bytes, publisher: &mut Publisher) {
        if self.config != Some(config) || self.failures > 0 {
            let parameters = AudioParameters::aac(Bytes::copy_from_slice(&config), AAC_RATE);
            publisher.set_aac(parameters.ok());
            self.config = Some(config);
            self.failures = 0;
            self.trouble = None;
        }
        // What an earlier FFmpeg has made of the same is not made twice.
        if let Some(even) = self.even.stamp(stamp, FRAME as u32) {
            publisher.aac(even, payload);
        }
        let has_caught_up = self.running.as_ref().is_none_or(|r| stamp >= r.caught_up);
        if has_caught_up {
            publisher.set_aac_due(false);
        }
    }

    fn failed(&mut self, why: String, publisher: &mut Publisher) {
        self.failures += 1;
        publisher.set_aac_due(false);
        if self.failures == FAILURES {
            publisher.set_aac(None);
        }
        let camera = publisher.stream().camera();
        if self.trouble.as_ref() != Some(&why) {
            tracing::warn!(camera.id = %camera, reason = why, "the sound is not encoded as AAC");
        }
        self.trouble = Some(why);
    }
}

/// The newest seconds of what is buffered.
fn past(sound: &AudioParameters, buffered: Vec<(i64, Bytes)>) -> Vec<Packet> {
    let newest = buffered.last().map_or(0, |(stamp, _)| *stamp);
    let oldest = newest - PAST * i64::from(sound.clock_rate());
    let packets = buffered.into_iter().filter(|(stamp, _)| *stamp >= oldest);
    packets
        .map(|(stamp, payload)| Packet { stamp, payload })
        .collect()
}

/// How many samples a packet holds; `None` if it is broken.
fn length(sound: &AudioParameters, payload: &[u8]) -> Option<u32> {
    match sound {
        AudioParameters::G711 { channels, .. } => {
            let length = payload.len() / usize::from(*channels).max(1);
            u32::try_from(length).ok().filter(|length| *length > 0)
        }
        AudioParameters::Opus { .. } => opus::packet_length(payload),
        AudioParameters::Aac { .. } => None,
    }
}
