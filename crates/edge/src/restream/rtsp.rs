//! A push over RTSP: ANNOUNCE and RECORD (RFC 2326 §10.3, §10.11), with RTP in the connection or
//! beside it.

mod sender;

use bytes::{BufMut as _, Bytes, BytesMut};
use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt as _;
use headworks_media::{AudioParameters, Frame, TrackKind, VIDEO_CLOCK, rescale};
use headworks_rtsp::{
    Client, Output,
    auth::Login,
    client::{self, Event, Path, Via},
    message::{Limits, frame_header},
};
use headworks_types::Transport;
use rand::RngExt as _;
use tokio::time::{Duration, Instant, sleep, sleep_until};
use url::Url;

use super::{
    failure::Failure,
    link::{Came, Link},
    push::{End, Push},
    source::{Picked, Rebase},
};
use crate::{rtsp::describe::describe, udp::Pair};
use sender::Sender;

/// So many bytes go out in one burst; datagrams then pause, so that receivers can follow.
const BURST: usize = 64 << 10;
const PAUSE: Duration = Duration::from_millis(4);

/// One connection, from OPTIONS to its end.
struct Session<'a, 'b> {
    push: &'a mut Push<'b>,
    client: Client,
    link: Link,
    tracks: Vec<Track>,
    /// How packets go; another than was asked for if the target did not take that.
    transport: Transport,
    refused: Option<Transport>,
    recording: bool,
    series: Option<u64>,
    time: Rebase,
    /// The time of day at the time line's zero.
    zero: Option<DateTime<Utc>>,
    name: String,
    deadline: Option<Instant>,
}

struct Track {
    kind: TrackKind,
    sender: Sender,
    sockets: Option<Pair>,
    way: Option<Way>,
}

/// Where packets go.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// Channels of RTP and RTCP.
    Channels(u8, u8),
    /// Ports of RTP and RTCP.
    Ports(u16, u16),
}

/// Pushes to the signed `url` until there is a reason to end.
pub(super) async fn run(push: &mut Push<'_>, url: &str, link: Link) -> Result<End, Failure> {
    let mut description =
        describe(&push.tracks).map_err(|error| Failure::Codec(error.to_string()))?;
    description.range = None;
    let kinds = [TrackKind::Video, TrackKind::Audio];
    let tracks = kinds.into_iter().take(description.media.len());
    let work = &push.leave.job.work;
    let config = client::Config {
        url: Url::parse(url).map_err(|error| Failure::Url(error.to_string()))?,
        login: work.credentials.as_ref().map(|known| Login {
            username: known.username.clone(),
            password: known.password.expose().to_owned(),
        }),
        user_agent: concat!("Headworks/", env!("CARGO_PKG_VERSION")).to_owned(),
        patience: push.config.connect_timeout,
        limits: Limits::default(),
        seed: rand::rng().random(),
    };
    let transport = match work.transport {
        // What is secret in a connection does not go beside it in the clear.
        Transport::Udp if link.is_encrypted() => Transport::Tcp,
        transport => transport,
    };
    let now = push.clock.monotonic().into_std();
    let mut session = Session {
        client: Client::record(config, now, description),
        push,
        link,
        tracks: tracks.map(Track::new).collect(),
        transport,
        refused: None,
        recording: false,
        series: None,
        time: Rebase::default(),
        zero: None,
        name: format!("{:08x}", rand::random::<u32>()),
        deadline: None,
    };
    let end = session.run().await?;
    session.client.teardown(session.now());
    while let Output::Send(bytes) = session.client.poll_output() {
        session.link.queue(bytes);
    }
    session.link.close().await;
    Ok(end)
}

impl Track {
    fn new(kind: TrackKind) -> Self {
        Self {
            kind,
            sender: Sender::new(),
            sockets: None,
            way: None,
        }
    }
}

impl Session<'_, '_> {
    async fn run(&mut self) -> Result<End, Failure> {
        loop {
            self.obey().await?;
            let due = self.deadline;
            let due = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let wants_media = self.recording && self.link.queued() == 0;
            let now = self.now();
            tokio::select! {
                end = self.push.leave.leave() => return Ok(end),
                came = self.link.turn() => match came? {
                    Came::Input(bytes) => self.client.handle_input(now, &bytes).map_err(failure)?,
                    Came::Closed => self.client.handle_close(now).map_err(failure)?,
                    Came::Written => self.written(),
                },
                () = due => self.client.handle_timeout(self.now()).map_err(failure)?,
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

    fn written(&mut self) {
        if self.series.is_some() && self.link.queued() == 0 {
            self.live();
        }
    }

    fn live(&mut self) {
        let is_first = self.push.live_since.is_none();
        self.push.live();
        if is_first && self.refused.is_some() {
            self.push
                .remark("the target took no UDP, so it goes over TCP");
        }
    }

    /// Does what the engine wants.
    async fn obey(&mut self) -> Result<(), Failure> {
        loop {
            let event = match self.client.poll_output() {
                Output::Send(bytes) => {
                    self.link.queue(bytes);
                    continue;
                }
                Output::Wait(deadline) => {
                    self.deadline = deadline.map(Instant::from_std);
                    return Ok(());
                }
                Output::Event(event) => event,
            };
            match event {
                Event::Announced => self.plan().await?,
                Event::TransportRefused { .. } => {
                    let other = Transport::Tcp;
                    if self.transport == other {
                        let words = match self.refused {
                            Some(_) => "it takes neither UDP nor TCP",
                            None => "it takes no TCP; try `transport: udp`",
                        };
                        return Err(Failure::Rejected(words.to_owned()));
                    }
                    self.refused = Some(self.transport);
                    self.transport = other;
                    self.plan().await?;
                }
                Event::SetUp { track, path, .. } => self.set_up(track, path)?,
                Event::Recording => self.recording = true,
                Event::Redirect(_) => {
                    let words = "it sends us to another address; push there directly";
                    return Err(Failure::Rejected(words.to_owned()));
                }
                Event::Closed => return Err(Failure::Closed(None)),
                Event::Described(_) | Event::Playing { .. } | Event::Packet { .. } => {}
            }
        }
    }

    /// Asks for all tracks over one transport.
    async fn plan(&mut self) -> Result<(), Failure> {
        let mut plan = Vec::new();
        for (index, track) in self.tracks.iter_mut().enumerate() {
            (track.sockets, track.way) = (None, None);
            let via = match self.transport {
                Transport::Tcp => Via::Tcp,
                Transport::Udp => {
                    let pair = Pair::bind((self.link.local().ip(), 0).into()).await;
                    let pair = pair.map_err(|error| {
                        tracing::warn!(%error, "no UDP ports for a push");
                        Failure::Internal
                    })?;
                    let client = track.sockets.insert(pair).ports();
                    Via::Udp { client }
                }
            };
            plan.push((index, via));
        }
        let now = self.now();
        self.client.setup(now, &plan).map_err(failure)
    }

    fn set_up(&mut self, index: usize, path: Path) -> Result<(), Failure> {
        let way = match path {
            Path::Tcp { channels } => Way::Channels(channels.0, channels.1),
            Path::Udp { server, .. } => {
                let (rtp, rtcp) = server.ok_or_else(|| {
                    Failure::Protocol("it does not tell its ports for UDP".to_owned())
                })?;
                Way::Ports(rtp, rtcp)
            }
        };
        if let Some(track) = self.tracks.get_mut(index) {
            track.way = Some(way);
        }
        Ok(())
    }

    /// Sends a frame, and those behind it that are there already.
    async fn send(&mut self, first: Picked) -> Result<Option<End>, Failure> {
        let mut next = Some(first);
        let mut sent = 0;
        while let Some(picked) = next.take() {
            if self.is_other(&picked) {
                return Ok(Some(End::Changed));
            }
            if let Some(frame) = self.time.frame(&picked) {
                sent += self.put(&frame, &picked).await?;
            }
            if sent < BURST {
                next = match self.push.source.next().now_or_never() {
                    Some(more) => more?,
                    None => None,
                };
            } else if self.transport == Transport::Udp {
                sleep(PAUSE).await;
            }
        }
        if self.link.queued() == 0 {
            self.written();
        }
        Ok(None)
    }

    /// True if it is not what was announced.
    fn is_other(&mut self, picked: &Picked) -> bool {
        let series = *self.series.get_or_insert(picked.series);
        series != picked.series || picked.tracks.audio != self.push.tracks.audio
    }

    /// Sends one frame; tells how many bytes it has.
    async fn put(&mut self, frame: &Frame, picked: &Picked) -> Result<usize, Failure> {
        self.push.saw(frame);
        let rate = match (frame.track, &picked.tracks.audio) {
            (TrackKind::Audio, Some(audio)) => AudioParameters::clock_rate(audio),
            _ => VIDEO_CLOCK,
        };
        let now = self.push.clock.now();
        let decoded = TimeDelta::microseconds(rescale(frame.dts, rate, 1_000_000));
        let zero = *self.zero.get_or_insert(now - decoded);
        let mut tracks = self.tracks.iter_mut();
        let Some(track) = tracks.find(|track| track.kind == frame.track) else {
            return Ok(0);
        };
        let report = track.sender.report(frame, &picked.tracks, zero, &self.name);
        let packets = track.sender.packets(frame, &picked.tracks);
        let size = packets.iter().map(Bytes::len).sum();
        match (track.way, &track.sockets) {
            (Some(Way::Channels(rtp, rtcp)), _) => {
                let mut out = BytesMut::with_capacity(size + 4 * packets.len() + 64);
                let report = report.iter().map(|report| (rtcp, report));
                let all = report.chain(packets.iter().map(|packet| (rtp, packet)));
                for (channel, packet) in all {
                    if let Some(header) = frame_header(channel, packet.len()) {
                        out.put_slice(&header);
                        out.put_slice(packet);
                    }
                }
                self.link.queue(out.freeze());
            }
            (Some(Way::Ports(rtp, rtcp)), Some(sockets)) => {
                let peer = self.link.peer().ip();
                let report = report.iter().map(|report| (&sockets.rtcp, rtcp, report));
                let media = packets.iter().map(|packet| (&sockets.rtp, rtp, packet));
                for (socket, port, packet) in report.chain(media) {
                    self.link.may_send()?;
                    // What is lost is lost.
                    if let Ok(count) = socket.send_to(packet, (peer, port)).await {
                        self.link.sent(count);
                    }
                }
            }
            _ => {}
        }
        Ok(size)
    }
}

fn failure(error: client::Error) -> Failure {
    match error {
        client::Error::Denied(denied) => Failure::Rejected(format!("401: {denied}")),
        client::Error::NotFound { .. } => Failure::Rejected("404: no such path".to_owned()),
        client::Error::Refused {
            method,
            status,
            reason,
        } => Failure::Rejected(format!("{status} {reason}, to {method}")),
        client::Error::NoAnswer { patience, .. } => Failure::Timeout(patience),
        client::Error::Closed { during } => Failure::Closed(Some(during)),
        client::Error::BadCall => Failure::Internal,
        other => Failure::Protocol(other.to_string()),
    }
}
