//! One RTSP session with a camera (RFC 2326), over TCP or TLS, with RTP in it or beside it.
//!
//! [`connection`] drives the engine of `headworks-rtsp`, [`datagrams`] has the sockets of RTP over
//! UDP. A camera may send as fast as it likes: each turn takes a bounded amount, and after it
//! others have theirs.

mod connection;
mod datagrams;

use std::{fmt, net::IpAddr};

use bytes::Bytes;
use futures::FutureExt as _;
use headworks_bootstrap::Clock;
use headworks_rtp::window::Limits;
use headworks_rtsp::{
    Packet, Start,
    client::{Event, Path, Via},
    message::frame_header,
    sdp,
};
use headworks_types::{Credentials, Transport};
use tokio::{
    task::yield_now,
    time::{Instant, sleep_until},
};
use url::Url;

use crate::ingest::{
    Config, Feed,
    failure::Failure,
    rtp::{Chosen, Reception, Unusable},
};
use crate::{outbound::Gate, turns::Turns};
use connection::Connection;
use datagrams::Datagrams;

/// Cameras that send us on and on lead nowhere.
const MAX_REDIRECTS: usize = 3;

/// Packets that may come before the answer to PLAY and are kept.
const MAX_EARLY: usize = 512;

/// What a session needs to know.
pub(super) struct Session<'a> {
    pub(super) config: &'a Config,
    pub(super) clock: &'a Clock,
    pub(super) connects: &'a Turns,
    pub(super) gate: &'a Gate,
    pub(super) url: &'a Url,
    pub(super) transport: Transport,
    pub(super) tls_verify: bool,
    pub(super) credentials: Option<&'a Credentials>,
}

/// A camera that plays.
struct Playing {
    connection: Connection,
    chosen: Chosen,
    ways: Ways,
    starts: Vec<Start>,
    early: Vec<Came>,
}

/// How packets come, and where reports go.
#[derive(Default)]
struct Ways {
    datagrams: Option<Datagrams>,
    /// Of each track in the connection: its index and the channel of its reports.
    channels: Vec<(usize, u8)>,
    /// What the camera did not take.
    refused: Option<Transport>,
}

/// A packet that has come.
struct Came {
    track: usize,
    kind: Packet,
    data: Bytes,
}

/// How far connecting has come.
enum Step {
    Playing(Box<Playing>),
    Redirect(Url),
}

impl Session<'_> {
    /// Connects and gives `feed` what comes, until the session fails.
    pub(super) async fn run(&self, feed: &mut Feed) -> Failure {
        let limit = self.config.connect_timeout;
        // TLS needs much room, and only here.
        let attempt = Box::pin(self.connect());
        let connected = self.connects.attempt(limit, attempt).await;
        let connected = connected.unwrap_or(Err(Failure::Timeout(limit)));
        match connected {
            Ok(playing) => self.receive(playing, feed).await,
            Err(failure) => failure,
        }
    }

    async fn connect(&self) -> Result<Box<Playing>, Failure> {
        let mut url = self.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            match self.ask(&url).await? {
                Step::Playing(playing) => return Ok(playing),
                Step::Redirect(to) => {
                    check_redirect(&url, &to)?;
                    tracing::debug!(host = to.host_str(), "the camera sends us elsewhere");
                    url = to;
                }
            }
        }
        Err(Failure::Protocol(format!(
            "more than {MAX_REDIRECTS} redirects"
        )))
    }

    /// From connecting to the answer to PLAY.
    async fn ask(&self, url: &Url) -> Result<Step, Failure> {
        let mut connection = Connection::open(self, url).await?;
        let mut chosen = None;
        let mut ways = Ways::default();
        let mut early = Vec::new();
        let mut transport = self.transport;
        loop {
            match connection.event().await? {
                Event::Described(description) => {
                    let found = Chosen::of(&description, sdp::Media::is_playable)?;
                    let first = transport;
                    ways.plan(&mut connection, &found, first).await?;
                    chosen = Some(found);
                }
                Event::TransportRefused { .. } => {
                    let other = other(transport);
                    let may = ways.refused.is_none() && connection.may_use(other);
                    let Some(chosen) = chosen.as_ref().filter(|_| may) else {
                        return Err(no_transport(transport, ways.refused));
                    };
                    ways.refused = Some(transport);
                    transport = other;
                    ways.plan(&mut connection, chosen, transport).await?;
                }
                Event::SetUp { track, path, .. } => ways.set_up(track, path, connection.peer()),
                Event::Packet { track, kind, data } => {
                    if early.len() < MAX_EARLY {
                        early.push(Came { track, kind, data });
                    }
                }
                Event::Playing { starts } => {
                    let chosen = chosen.ok_or(Failure::Internal)?;
                    return Ok(Step::Playing(Box::new(Playing {
                        connection,
                        chosen,
                        ways,
                        starts,
                        early,
                    })));
                }
                Event::Redirect(to) => return Ok(Step::Redirect(to)),
                Event::Announced | Event::Recording | Event::Closed => {}
            }
        }
    }

    async fn receive(&self, mut playing: Box<Playing>, feed: &mut Feed) -> Failure {
        let Playing {
            connection,
            chosen,
            ways,
            starts,
            early,
        } = &mut *playing;
        feed.begin(ways.remark());
        let limits = match ways.datagrams {
            Some(_) => Limits::DATAGRAMS,
            None => Limits::STREAM,
        };
        let mut reception = Reception::new(chosen, limits, starts, feed);
        let now = self.clock.monotonic().into_std();
        for Came { track, kind, data } in std::mem::take(early) {
            reception.packet(now, track, kind, &data);
        }
        ways.open_paths().await;
        let failure = loop {
            if let Err(failure) = self.turn(connection, ways, &mut reception, feed).await {
                break failure;
            }
        };
        feed.flush();
        failure
    }

    /// Takes what has come, or waits for something to come.
    async fn turn(
        &self,
        connection: &mut Connection,
        ways: &mut Ways,
        reception: &mut Reception,
        feed: &mut Feed,
    ) -> Result<(), Failure> {
        let now = self.clock.monotonic().into_std();
        while let Some(event) = connection.poll().await? {
            match event {
                Event::Packet { track, kind, data } => reception.packet(now, track, kind, &data),
                // A camera that moves is connected to anew, at its first address.
                Event::Redirect(_) | Event::Closed => return Err(Failure::Closed),
                _ => {}
            }
        }
        reception.deliver(now, feed)?;
        feed.check()?;
        while let Some((track, report)) = reception.report(now) {
            ways.report(connection, track, &report).await?;
        }
        // What has arrived already is taken first, so that it leaves together.
        let many = match self.wait(connection, ways, reception).now_or_never() {
            Some(came) => came?,
            None => {
                feed.flush();
                tokio::select! {
                    came = self.wait(connection, ways, reception) => came?,
                    () = sleep_until(feed.deadline()) => false,
                }
            }
        };
        if many {
            yield_now().await;
        }
        Ok(())
    }

    /// Takes packets once they are there. True if there may be many more. Losing the future loses
    /// nothing.
    async fn wait(
        &self,
        connection: &mut Connection,
        ways: &mut Ways,
        reception: &mut Reception,
    ) -> Result<bool, Failure> {
        let due = reception.deadline().map(Instant::from_std);
        let due = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let datagrams = async {
            match &mut ways.datagrams {
                Some(datagrams) => datagrams.receive().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            came = connection.read() => came,
            came = datagrams => {
                let now = self.clock.monotonic().into_std();
                let many = came.len() >= datagrams::AT_ONCE;
                for Came { track, kind, data } in came {
                    reception.packet(now, track, kind, &data);
                }
                Ok(many)
            }
            () = due => Ok(false),
        }
    }
}

impl Ways {
    /// Asks for all chosen tracks over one transport.
    async fn plan(
        &mut self,
        connection: &mut Connection,
        chosen: &Chosen,
        transport: Transport,
    ) -> Result<(), Failure> {
        self.channels.clear();
        self.datagrams = None;
        let plan: Vec<_> = match transport {
            Transport::Tcp => chosen.indices().map(|index| (index, Via::Tcp)).collect(),
            Transport::Udp => {
                let tracks: Vec<_> = chosen.indices().collect();
                let local = connection.local();
                let datagrams = Datagrams::bind(local, &tracks).await?;
                let plan = datagrams
                    .ports()
                    .map(|(index, client)| (index, Via::Udp { client }));
                let plan = plan.collect();
                self.datagrams = Some(datagrams);
                plan
            }
        };
        connection.setup(&plan)
    }

    fn set_up(&mut self, track: usize, path: Path, peer: IpAddr) {
        match path {
            Path::Tcp { channels } => self.channels.push((track, channels.1)),
            Path::Udp { server, source, .. } => {
                if let Some(datagrams) = &mut self.datagrams {
                    datagrams.set_peer(track, source.unwrap_or(peer), server);
                }
            }
        }
    }

    /// Lets packets through firewalls on our side.
    async fn open_paths(&self) {
        if let Some(datagrams) = &self.datagrams {
            datagrams.open_paths().await;
        }
    }

    async fn report(
        &self,
        connection: &mut Connection,
        track: usize,
        report: &Bytes,
    ) -> Result<(), Failure> {
        if let Some(datagrams) = &self.datagrams {
            datagrams.report(track, report).await;
            return Ok(());
        }
        let channel = self.channels.iter().find(|(of, _)| *of == track);
        match channel.and_then(|(_, channel)| frame_header(*channel, report.len())) {
            Some(header) => connection.write(&[&header, &report[..]].concat()).await,
            None => Ok(()),
        }
    }

    /// For people, behind what the camera is made of.
    fn remark(&self) -> &'static str {
        match self.refused {
            None => "",
            Some(Transport::Udp) => "over TCP, since the camera refuses UDP",
            Some(Transport::Tcp) => "over UDP, since the camera refuses TCP",
        }
    }
}

impl From<Unusable> for Failure {
    fn from(unusable: Unusable) -> Self {
        match unusable {
            Unusable::NoVideo => Self::NoVideoTrack,
            Unusable::Codec(name) => Self::Codec(name),
        }
    }
}

fn other(transport: Transport) -> Transport {
    match transport {
        Transport::Tcp => Transport::Udp,
        Transport::Udp => Transport::Tcp,
    }
}

fn no_transport(tried: Transport, before: Option<Transport>) -> Failure {
    let what: &dyn fmt::Display = match (tried, before) {
        (_, Some(_)) => &"neither RTP over TCP nor over UDP",
        (Transport::Tcp, None) => &"no RTP over TCP",
        (Transport::Udp, None) => &"no RTP over UDP",
    };
    Failure::Status(461, format!("it takes {what}"))
}

/// The new address is the camera's word. What is allowed for the first one is for it too, but
/// from TLS it does not lead out into the open.
fn check_redirect(from: &Url, to: &Url) -> Result<(), Failure> {
    let scheme = to.scheme();
    let good = match from.scheme() {
        "rtsps" => scheme == "rtsps",
        _ => matches!(scheme, "rtsp" | "rtsps"),
    };
    if good && to.host_str().is_some_and(|host| !host.is_empty()) && to.port() != Some(0) {
        return Ok(());
    }
    Err(Failure::Protocol(format!(
        "a redirect from {} to {scheme}",
        from.scheme()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_only_where_cameras_are() {
        let may = |from: &str, to: &str| {
            let parse = |url: &str| url.parse().expect("a URL");
            check_redirect(&parse(from), &parse(to)).is_ok()
        };
        assert!(may("rtsp://a/1", "rtsp://b:8554/2"));
        assert!(may("rtsp://a/1", "rtsps://b/2"));
        assert!(!may("rtsps://a/1", "rtsp://a/1"));
        assert!(!may("rtsp://a/1", "http://a/1"));
        assert!(!may("rtsp://a/1", "rtsp://b:0/1"));
    }
}
