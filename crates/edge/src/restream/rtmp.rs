//! A push over RTMP, plain or in TLS.

use bytes::Bytes;
use futures::FutureExt as _;
use headworks_media::{
    AudioParameters, TrackKind, Tracks, VIDEO_CLOCK, VideoCodec,
    flv::{self, TagKind},
};
use headworks_rtmp::{Client, ClientConfig, ClientEvent, Closed, MediaKind, Output, Url};
use rand::RngExt as _;
use tokio::time::{Instant, sleep_until};

use super::{
    failure::Failure,
    link::{Came, Link},
    push::{End, Push},
    source::{Picked, Rebase},
};

/// So many bytes go out in one burst.
const BURST: usize = 128 << 10;

/// One connection, from the handshake to its end.
pub(super) struct Session<'a, 'b> {
    push: &'a mut Push<'b>,
    client: Client,
    link: Link,
    /// What the target was told last.
    told: Option<Told>,
    time: Rebase,
    deadline: Option<Instant>,
    refused: Option<Failure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    description: u64,
    series: u64,
}

/// Pushes to the signed `url` until there is a reason to end.
pub(super) async fn run(push: &mut Push<'_>, url: &str, link: Link) -> Result<End, Failure> {
    let url = Url::parse(url).map_err(|error| Failure::Url(error.to_string()))?;
    let config = ClientConfig {
        setup_within: push.config.connect_timeout,
        codecs: four_ccs(&push.tracks),
        ..ClientConfig::default()
    };
    let now = push.clock.monotonic().into_std();
    let seed = rand::rng().random();
    let mut session = Session {
        client: Client::publish(now, url, config, seed),
        push,
        link,
        told: None,
        time: Rebase::default(),
        deadline: None,
        refused: None,
    };
    match session.run().await {
        Ok(end) => {
            session.client.finish(session.now());
            while let Output::Send(bytes) = session.client.poll_output() {
                session.link.queue(bytes);
            }
            session.link.close().await;
            Ok(end)
        }
        Err(failure) => Err(session.explain(failure)),
    }
}

impl Session<'_, '_> {
    async fn run(&mut self) -> Result<End, Failure> {
        loop {
            self.obey()?;
            let due = self.deadline;
            let due = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let wants_media = self.client.stream().is_some() && self.link.queued() == 0;
            tokio::select! {
                end = self.push.leave.leave() => return Ok(end),
                came = self.link.turn() => self.take(came?),
                () = due => self.client.handle_timeout(self.now()),
                picked = self.push.source.next(), if wants_media => {
                    let Some(picked) = picked? else {
                        return Ok(End::NoPicture);
                    };
                    if let Some(end) = self.send(picked).await? {
                        return Ok(end);
                    }
                }
            }
        }
    }

    fn now(&self) -> std::time::Instant {
        self.push.clock.monotonic().into_std()
    }

    fn take(&mut self, came: Came) {
        let now = self.now();
        match came {
            Came::Input(bytes) => self.client.handle_input(now, bytes),
            Came::Closed => self.client.handle_close(now),
            Came::Written => {
                if self.told.is_some() && self.link.queued() == 0 {
                    self.push.live();
                }
            }
        }
    }

    /// Does what the engine wants.
    fn obey(&mut self) -> Result<(), Failure> {
        loop {
            match self.client.poll_output() {
                Output::Send(bytes) => self.link.queue(bytes),
                Output::Event(ClientEvent::Refused(refusal)) => {
                    let text = match &*refusal.description {
                        "" => refusal.code.into_owned(),
                        description => format!("{} ({})", description, refusal.code),
                    };
                    self.refused = Some(Failure::Rejected(text));
                }
                Output::Event(ClientEvent::Closed(closed)) => return Err(self.closed(closed)),
                Output::Event(ClientEvent::Ready | ClientEvent::Media(_)) => {}
                Output::Wait(deadline) => {
                    self.deadline = deadline.map(Instant::from_std);
                    return Ok(());
                }
                Output::Close => return Err(Failure::Closed(None)),
            }
        }
    }

    fn closed(&mut self, closed: Closed) -> Failure {
        if let Some(refused) = self.refused.take() {
            return refused;
        }
        match closed {
            Closed::Local => Failure::Closed(None),
            Closed::Peer(reason) if self.told.is_some() => Failure::Closed(reason),
            Closed::Peer(None) => {
                Failure::Rejected("it closed the connection and gave no reason".to_owned())
            }
            Closed::Peer(Some(reason)) => Failure::Rejected(reason),
            Closed::Failed(headworks_rtmp::Error::Timeout { limit, .. }) => Failure::Timeout(limit),
            Closed::Failed(error) => Failure::Protocol(error.to_string()),
        }
    }

    /// Queues a frame, and those behind it that are there already.
    async fn send(&mut self, first: Picked) -> Result<Option<End>, Failure> {
        let mut next = Some(first);
        while let Some(picked) = next.take() {
            if !self.put(&picked) {
                return Ok(Some(End::Changed));
            }
            if self.link.queued() < BURST {
                next = match self.push.source.next().now_or_never() {
                    Some(more) => more?,
                    None => None,
                };
            }
        }
        Ok(None)
    }

    /// Queues a frame, behind what the target has to know of it. False if it has to be told on a
    /// new connection.
    fn put(&mut self, picked: &Picked) -> bool {
        let Some(frame) = self.time.frame(picked) else {
            return true;
        };
        self.push.saw(&frame);
        let told = Told {
            description: picked.description,
            series: picked.series,
        };
        if self.told.is_some_and(|before| before.series != told.series) {
            return false;
        }
        let rate = match &picked.tracks.audio {
            Some(audio) if frame.track == TrackKind::Audio => audio.clock_rate(),
            _ => VIDEO_CLOCK,
        };
        let time = flv::milliseconds(frame.dts, rate);
        if self.told != Some(told) {
            self.tell(&picked.tracks, time);
            self.told = Some(told);
        }
        let mut header = Vec::with_capacity(8);
        if let Some(kind) = flv::body_header(&frame, &picked.tracks, &mut header) {
            self.message(media_kind(kind), time, &[&header, &frame.payload]);
        }
        true
    }

    fn tell(&mut self, tracks: &Tracks, time: u32) {
        let metadata = flv::metadata_body(tracks);
        self.message(MediaKind::Data, time, &[&metadata]);
        for (kind, body) in flv::sequence_bodies(tracks) {
            self.message(media_kind(kind), time, &[&body]);
        }
    }

    fn message(&mut self, kind: MediaKind, time: u32, pieces: &[&[u8]]) {
        let message: Option<Bytes> = self.client.media(kind, time, pieces);
        self.link.queue(message.unwrap_or_default());
    }

    /// Targets that do not know a codec mostly just hang up.
    fn explain(&self, failure: Failure) -> Failure {
        let is_usual = matches!(self.push.tracks.video.codec(), VideoCodec::H264 { .. });
        match failure {
            Failure::Closed(reason) if !is_usual && !self.push.was_well() => {
                let reason = reason.unwrap_or_else(|| "no reason given".to_owned());
                Failure::Codec(format!(
                    "target closed the connection ({reason}); it may not take {} by enhanced \
                     RTMP: encode the video as h264",
                    self.push.tracks.video.codec_string()
                ))
            }
            other => other,
        }
    }
}

/// What of the tracks only Enhanced RTMP has.
fn four_ccs(tracks: &Tracks) -> Vec<String> {
    let video = match tracks.video.codec() {
        VideoCodec::H264 { .. } => None,
        VideoCodec::H265 { .. } => Some("hvc1"),
        VideoCodec::Av1 { .. } => Some("av01"),
    };
    let audio = match &tracks.audio {
        Some(AudioParameters::Opus { .. }) => Some("Opus"),
        _ => None,
    };
    let codecs = [video, audio].into_iter().flatten();
    codecs.map(str::to_owned).collect()
}

fn media_kind(tag: TagKind) -> MediaKind {
    match tag {
        TagKind::Audio => MediaKind::Audio,
        TagKind::Video => MediaKind::Video,
        TagKind::Script => MediaKind::Data,
    }
}
