//! Publishers: a stream key opens, then what comes goes into the camera's feed.

use std::{net::IpAddr, time::Instant as StdInstant};

use bytes::Bytes;
use headworks_bootstrap::Clock;
use headworks_rtp::window::Limits;
use headworks_rtsp::{
    Packet, Server,
    message::frame_header,
    sdp::Description,
    server::{Asked, Grant, Offer, Setup},
};
use headworks_types::PublishProtocol;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    End, GOES_ON, Refusal, Role, Rtsp,
    connection::Connection,
    datagrams::{Came, Datagrams, Registration, WAITING},
    ends,
};
use crate::{
    hub::UdpPeer,
    ingest::{
        Candidate, Denied, Publication,
        rtp::{Chosen, Reception},
    },
};

/// So many datagrams are taken at once.
const AT_ONCE: usize = 128;

/// What is used of the 256 channels.
const MOST_TRACKS: usize = 120;

/// A publisher whose key is good.
pub(super) struct Publish {
    publication: Publication,
    chosen: Chosen,
    tracks: Vec<Track>,
    /// There once it records.
    reception: Option<Reception>,
    datagrams: (mpsc::Sender<Came>, mpsc::Receiver<Came>),
    came: Vec<Came>,
    udp: Option<Datagrams>,
}

/// A track that is set up.
struct Track {
    index: usize,
    way: Way,
}

/// How its packets come.
enum Way {
    /// In the connection; the channel of reports.
    Channel(u8),
    /// In datagrams.
    Datagrams {
        peer: UdpPeer,
        _registration: Registration,
    },
}

/// Takes a publisher if its key is good and we carry what it has.
pub(super) async fn announce(
    rtsp: &Rtsp,
    connection: &mut Connection,
    asked: &Asked,
    description: &Description,
    role: &mut Role,
) -> End {
    // Who announces anew gives up what was before.
    *role = Role::Nobody;
    match admit(rtsp, connection, asked, description).await {
        Ok(publish) => {
            *role = Role::Publisher(Box::new(publish));
            connection.act(Server::accept_announce);
        }
        Err(refusal) => connection.refuse(&refusal),
    }
    GOES_ON
}

async fn admit(
    rtsp: &Rtsp,
    connection: &Connection,
    asked: &Asked,
    description: &Description,
) -> Result<Publish, Refusal> {
    let key = asked.secret("key").ok_or(Refusal::Challenge)?;
    let protocol = match connection.is_secure() {
        true => PublishProtocol::Rtsps,
        false => PublishProtocol::Rtsp,
    };
    let candidate = Candidate {
        key: &key,
        protocol,
        address: connection.address(),
    };
    let ingests = &rtsp.0.ingests;
    if let Some(camera) = super::camera(asked).filter(|_| !super::is_marked(asked))
        && let Some(origin) = ingests.elsewhere(
            camera,
            &candidate,
            &rtsp.0.viewing.elsewhere,
            super::base(connection),
        )
    {
        return Err(Refusal::go_to(&origin, asked, Some(("key", &key))));
    }
    let admitted = rtsp
        .0
        .ingests
        .publish(super::camera(asked), &candidate)
        .await;
    let publication = admitted.map_err(refusal)?;
    let fits = description.media.len() <= MOST_TRACKS;
    let chosen = match Chosen::of(description, |media| fits && !media.formats.is_empty()) {
        Ok(chosen) => chosen,
        Err(unusable) => {
            let words = unusable.to_string();
            publication.refuse(&words);
            return Err(Refusal::Status(415, words));
        }
    };
    Ok(Publish {
        publication,
        chosen,
        tracks: Vec::new(),
        reception: None,
        datagrams: mpsc::channel(WAITING),
        came: Vec::new(),
        udp: rtsp.datagrams_for(connection).map(|(udp, _)| udp.clone()),
    })
}

fn refusal(denied: Denied) -> Refusal {
    let status = match denied {
        Denied::NoKey => return Refusal::Challenge,
        Denied::NotACamera => 404,
        Denied::WrongKey
        | Denied::UnknownCamera
        | Denied::Expired(_)
        | Denied::Network(_)
        | Denied::Protocol(_) => 403,
        Denied::Taken(_) => 409,
        // "Not Enough Bandwidth".
        Denied::TooFast(_) => 453,
    };
    Refusal::Status(status, denied.to_string())
}

impl Publish {
    /// Tracks that we have no use for are taken too, and passed over: encoders would give up
    /// else.
    pub(super) fn set_up(
        &mut self,
        rtsp: &Rtsp,
        connection: &mut Connection,
        setup: &Setup,
    ) -> End {
        self.tracks.retain(|track| track.index != setup.track);
        let udp = rtsp.datagrams_for(connection);
        let found = setup
            .offers
            .iter()
            .find_map(|offer| self.take(*offer, setup.track, udp));
        match found {
            Some((grant, way)) => {
                let index = setup.track;
                self.tracks.push(Track { index, way });
                connection.act(|server, now| server.accept_setup(now, grant));
            }
            None => {
                let words = "RTP has to go over TCP here".to_owned();
                connection.refuse(&Refusal::Status(461, words));
            }
        }
        GOES_ON
    }

    fn take(
        &self,
        offer: Offer,
        track: usize,
        udp: Option<(&Datagrams, IpAddr)>,
    ) -> Option<(Grant, Way)> {
        match offer {
            Offer::Tcp { .. } => {
                let rtp = u8::try_from(2 * track).ok()?;
                let channels = (rtp, rtp + 1);
                let grant = Grant::Tcp {
                    channels,
                    ssrc: None,
                };
                Some((grant, Way::Channel(channels.1)))
            }
            Offer::Udp { client } => {
                let (datagrams, address) = udp?;
                let registration = datagrams.register(address, client, track, &self.datagrams.0)?;
                let grant = Grant::Udp {
                    client,
                    server: datagrams.ports(),
                    source: None,
                    ssrc: None,
                };
                let way = Way::Datagrams {
                    peer: datagrams.peer(address, client),
                    _registration: registration,
                };
                Some((grant, way))
            }
        }
    }

    pub(super) fn record(&mut self, connection: &mut Connection) -> End {
        let is_udp = |track: &Track| matches!(track.way, Way::Datagrams { .. });
        let limits = if self.tracks.iter().any(is_udp) {
            Limits::DATAGRAMS
        } else {
            Limits::STREAM
        };
        let feed = self.publication.feed();
        self.reception = Some(Reception::new(&self.chosen, limits, &[], feed));
        connection.act(Server::accept_record);
        GOES_ON
    }

    /// Takes a packet that came in the connection.
    pub(super) fn packet(&mut self, now: StdInstant, track: usize, kind: Packet, data: &Bytes) {
        if let Some(reception) = &mut self.reception {
            reception.packet(now, track, kind, data);
        }
    }

    /// Gives on what has come, then waits for more, or for the publisher's end.
    pub(super) async fn wait(&mut self, connection: &mut Connection, clock: &Clock) -> End {
        if let Err(why) = self.deliver(connection, clock).await {
            return ends(why);
        }
        let due = self.reception.as_ref().and_then(Reception::deadline);
        let feed_due = self.publication.feed().deadline();
        let due = due.map_or(feed_due, |due| Instant::from_std(due).min(feed_due));
        let (came, room) = (&mut self.came, AT_ONCE);
        let is_ready = tokio::select! {
            ended = self.publication.ended() => return ends(ended.to_string()),
            _ = self.datagrams.1.recv_many(came, room) => false,
            () = connection.ready() => true,
            () = sleep_until(due) => false,
        };
        let mut bytes = self.came.iter().map(|came| came.data.len()).sum();
        if is_ready {
            bytes += connection.take_in().await;
        }
        if let Err(ended) = self.publication.count(bytes) {
            return ends(ended.to_string());
        }
        let now = clock.monotonic().into_std();
        if !self.came.is_empty() {
            connection.note_activity();
        }
        for Came { track, kind, data } in std::mem::take(&mut self.came) {
            self.packet(now, track, kind, &data);
        }
        GOES_ON
    }

    async fn deliver(&mut self, connection: &mut Connection, clock: &Clock) -> Result<(), String> {
        let feed = self.publication.feed();
        if let Some(reception) = &mut self.reception {
            let now = clock.monotonic().into_std();
            let delivered = reception.deliver(now, feed);
            feed.flush();
            delivered.map_err(|failure| failure.to_string())?;
            while let Some((track, report)) = reception.report(now) {
                report_to(&self.tracks, self.udp.as_ref(), connection, track, &report).await;
            }
        }
        self.publication
            .feed()
            .check()
            .map_err(|failure| failure.to_string())
    }

    /// Ends it, and says why in the camera's status.
    pub(super) fn leave(self, why: &str) {
        self.publication.leave(why);
    }
}

async fn report_to(
    tracks: &[Track],
    udp: Option<&Datagrams>,
    connection: &mut Connection,
    index: usize,
    report: &Bytes,
) {
    let track = tracks.iter().find(|track| track.index == index);
    match (track.map(|track| &track.way), udp) {
        (Some(Way::Channel(channel)), _) => {
            if let Some(header) = frame_header(*channel, report.len()) {
                connection
                    .write([&header, &report[..]].concat().into())
                    .await;
            }
        }
        (Some(Way::Datagrams { peer, .. }), Some(udp)) => udp.report(peer, report),
        _ => {}
    }
}
