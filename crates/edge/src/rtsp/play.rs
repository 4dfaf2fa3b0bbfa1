//! Players: a token opens, then the hub writes to them.

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use headworks_media::TrackKind;
use headworks_rtp::rtcp;
use headworks_rtsp::{
    Start,
    message::frame_header,
    server::{Asked, Grant, Offer, Setup},
};
use headworks_types::{Action, CameraId, ProblemCode, ViewProtocol};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    End, GOES_ON, Refusal, Role, Rtsp,
    connection::Connection,
    datagrams::{Came, Datagrams, Registration, WAITING},
    describe, ends,
};
use crate::{
    access::Denied,
    elsewhere::{self, Advice},
    hub::{
        self, Description, Format, Leave, NewViewer, NoPicture, Selection, Sink, Sound, Stream,
        UdpPeer, ViewerGuard,
    },
    session::{Client, Session},
};

/// A player that may play.
pub(super) struct Watch {
    /// Its place on the list of viewers.
    session: Session,
    /// When its time is over, whether it plays or not.
    until: Instant,
    stream: Arc<Stream>,
    /// What it was told.
    description: Arc<Description>,
    /// Counts it until the hub's viewer does.
    guard: Option<ViewerGuard>,
    tracks: Vec<Track>,
    is_paused: bool,
    /// Nothing follows, which the client may not know.
    is_cut_off: bool,
    /// Its reports in datagrams, which are signs of life.
    reports: (mpsc::Sender<Came>, mpsc::Receiver<Came>),
}

/// A track that is set up.
struct Track {
    index: usize,
    kind: TrackKind,
    ssrc: u32,
    /// Where its datagrams go; `None`: into the connection.
    peer: Option<UdpPeer>,
    /// Absent also if another player behind the same NAT has the same ports: then requests have to
    /// be the signs of life.
    _registration: Option<Registration>,
}

/// Checks the token, waits for a picture and says what there is.
pub(super) async fn describe(
    rtsp: &Rtsp,
    connection: &mut Connection,
    asked: &Asked,
    role: &mut Role,
) -> End {
    // What was only looked at before is forgotten: it would count as another viewer.
    if !connection.has_session() && matches!(role, Role::Viewer(_)) {
        *role = Role::Nobody;
    }
    let described = match admit(rtsp, connection, asked).await {
        Ok(watch) => describe::describe(&watch.description.tracks)
            .map(|description| (watch, description))
            .map_err(|error| Refusal::Status(415, error.to_string())),
        Err(refusal) => Err(refusal),
    };
    match described {
        Ok((watch, description)) => {
            // A look at something else does not change what a session plays.
            if !connection.has_session() {
                *role = Role::Viewer(Box::new(watch));
            }
            connection.act(|server, now| server.accept_describe(now, &description));
        }
        Err(refusal) => connection.refuse(&refusal),
    }
    GOES_ON
}

async fn admit(rtsp: &Rtsp, connection: &Connection, asked: &Asked) -> Result<Watch, Refusal> {
    let not_found = || Refusal::Status(404, "there is no such camera here".to_owned());
    let camera = super::camera(asked).ok_or_else(not_found)?;
    let token = asked.secret("token");
    let client = Client {
        protocol: if connection.is_secure() {
            ViewProtocol::Rtsps
        } else {
            ViewProtocol::Rtsp
        },
        address: connection.address().ip(),
        origin: None,
    };
    direct(rtsp, connection, asked, camera, &client)?;
    let session = rtsp
        .0
        .viewing
        .access
        .open(token.as_deref(), camera, Action::CameraViewLive, &client)
        .map_err(|denied| refusal(denied, asked))?;
    let stream = rtsp.0.viewing.streams.find(camera).ok_or_else(not_found)?;
    let selection = Selection::of(&session);
    let guard = stream.add_viewer_for(selection.sound(Sound::Original));
    let start = start(rtsp, &stream).await?;
    Ok(Watch {
        until: session.watch_until(),
        session,
        stream,
        description: Arc::clone(start.description.seen_with(selection)),
        guard: Some(guard),
        tracks: Vec::new(),
        is_paused: false,
        is_cut_off: false,
        reports: mpsc::channel(WAITING),
    })
}

/// Fails if another edge should serve this viewer.
fn direct(
    rtsp: &Rtsp,
    connection: &Connection,
    asked: &Asked,
    camera: CameraId,
    client: &Client,
) -> Result<(), Refusal> {
    let token = asked.secret("token");
    let viewer = elsewhere::Asked {
        token: token.as_deref(),
        camera,
        client,
        base: super::base(connection),
        is_marked: super::is_marked(asked),
    };
    let advice = rtsp.0.viewing.direct(&viewer);
    match advice.map_err(|denied| refusal(denied, asked))? {
        Advice::Stay => Ok(()),
        Advice::Go(base) => {
            let secret = token.as_deref().map(|token| ("token", token));
            Err(Refusal::go_to(&base, asked, secret))
        }
        Advice::Full(words) => Err(Refusal::Status(503, words.to_owned())),
    }
}

/// Where a viewer starts that comes now.
async fn start(rtsp: &Rtsp, stream: &Arc<Stream>) -> Result<hub::Start, Refusal> {
    let limit = rtsp.0.viewing.streams.hub().config().picture_wait;
    match stream.wait_for_picture(limit).await {
        Ok(()) => stream
            .start()
            .ok_or_else(|| Refusal::Status(503, "the camera gives no picture now".to_owned())),
        Err(NoPicture::Ended) => Err(Refusal::Status(404, "the camera is gone".to_owned())),
        Err(NoPicture::Because(words)) => Err(Refusal::Status(503, words)),
    }
}

/// Who has shown nothing, or a bad password, may try another one.
fn refusal(denied: Denied, asked: &Asked) -> Refusal {
    let words = denied.to_string();
    match denied.code() {
        _ if denied == Denied::Missing => Refusal::Challenge,
        ProblemCode::Forbidden => Refusal::Status(403, words),
        // "Not Enough Bandwidth" is what RTSP has for it (RFC 2326 §11.3.7).
        ProblemCode::SessionLimit => Refusal::Status(453, words),
        ProblemCode::Unavailable => Refusal::Status(503, words),
        _ if asked.query("token").is_none() => Refusal::Challenge,
        _ => Refusal::Status(401, words),
    }
}

impl Watch {
    pub(super) fn set_up(
        &mut self,
        rtsp: &Rtsp,
        connection: &mut Connection,
        setup: &Setup,
    ) -> End {
        match self.grant(rtsp, connection, setup) {
            Ok(grant) => connection.act(|server, now| server.accept_setup(now, grant)),
            Err(refusal) => connection.refuse(&refusal),
        }
        GOES_ON
    }

    /// The first of the client's offers that we can take.
    fn grant(
        &mut self,
        rtsp: &Rtsp,
        connection: &Connection,
        setup: &Setup,
    ) -> Result<Grant, Refusal> {
        if connection.viewer().is_some() {
            let words = "a track cannot be added while others play".to_owned();
            return Err(Refusal::Status(455, words));
        }
        let kind = describe::kinds(&self.description.tracks).nth(setup.track);
        let kind = kind.ok_or_else(|| Refusal::Status(404, "there is no such track".to_owned()))?;
        self.tracks.retain(|track| track.index != setup.track);
        let udp = rtsp.datagrams_for(connection);
        let found = setup
            .offers
            .iter()
            .find_map(|offer| self.take(*offer, setup, kind, udp));
        found.ok_or_else(|| {
            let words = match udp {
                Some(_) => "RTP has to go over TCP or UDP, all tracks the same way",
                None => "RTP has to go over TCP here",
            };
            Refusal::Status(461, words.to_owned())
        })
    }

    fn take(
        &mut self,
        offer: Offer,
        setup: &Setup,
        kind: TrackKind,
        udp: Option<(&Datagrams, IpAddr)>,
    ) -> Option<Grant> {
        let is_udp = matches!(offer, Offer::Udp { .. });
        // One writer serves both tracks.
        if self
            .tracks
            .iter()
            .any(|track| track.peer.is_some() != is_udp)
        {
            return None;
        }
        let ssrc = self.stream.start()?.rtp(kind).ssrc;
        let (grant, peer, registration) = match offer {
            Offer::Tcp { .. } => {
                let grant = Grant::Tcp {
                    channels: describe::channels(kind),
                    ssrc: Some(ssrc),
                };
                (grant, None, None)
            }
            Offer::Udp { client } => {
                let (datagrams, address) = udp?;
                let grant = Grant::Udp {
                    client,
                    server: datagrams.ports(),
                    source: None,
                    ssrc: Some(ssrc),
                };
                let peer = datagrams.peer(address, client);
                let of = datagrams.register(address, client, setup.track, &self.reports.0);
                (grant, Some(peer), of)
            }
        };
        self.tracks.push(Track {
            index: setup.track,
            kind,
            ssrc,
            peer,
            _registration: registration,
        });
        Some(grant)
    }

    /// Starts, or goes on after a pause.
    pub(super) async fn play(
        &mut self,
        rtsp: &Rtsp,
        connection: &mut Connection,
        tracks: &[usize],
    ) -> End {
        // Some use PLAY as a sign of life.
        if connection.viewer().is_some() && !self.is_paused {
            connection.act(|server, now| server.accept_play(now, &[]));
            return GOES_ON;
        }
        let start = match start(rtsp, &self.stream).await {
            Ok(start) if start.description.series == self.description.series => start,
            Ok(_) => {
                let words = "the camera's codecs have changed: ask what there is again";
                connection.refuse(&Refusal::Status(410, words.to_owned()));
                return GOES_ON;
            }
            Err(refusal) => {
                connection.refuse(&refusal);
                return GOES_ON;
            }
        };
        let of = |track: &Track| {
            let rtp = start.rtp(track.kind);
            Start {
                track: track.index,
                seq: Some(rtp.sequence),
                rtptime: Some(rtp.timestamp),
            }
        };
        let playing = self
            .tracks
            .iter()
            .filter(|track| tracks.contains(&track.index));
        let starts: Vec<_> = playing.map(of).collect();
        connection.act(|server, now| server.accept_play(now, &starts));
        connection.write_answer().await;
        self.is_paused = false;
        match connection.viewer() {
            Some(handle) => handle.resume(start),
            None => self.give_to_hub(rtsp, connection, start).await,
        }
        GOES_ON
    }

    async fn give_to_hub(&mut self, rtsp: &Rtsp, connection: &mut Connection, start: hub::Start) {
        let peer = |kind| {
            let mut of = self.tracks.iter().filter(|track| track.kind == kind);
            of.next().and_then(|track| track.peer)
        };
        let (video, audio) = (peer(TrackKind::Video), peer(TrackKind::Audio));
        let datagrams = rtsp.0.datagrams.as_ref();
        let is_udp = video.is_some() || audio.is_some();
        let (sink, format) = match datagrams.filter(|_| is_udp) {
            Some(datagrams) => {
                let sink = datagrams.sink(video, audio);
                (Sink::Udp(Box::new(sink)), Format::RtpUdp)
            }
            None => (connection.sink(), Format::RtpInterleaved),
        };
        let selection = match &self.tracks[..] {
            [only] => Selection::Only(only.kind),
            _ => Selection::of(&self.session),
        };
        let guard = self.guard.take();
        let sound = selection.sound(Sound::Original);
        let guard = guard.unwrap_or_else(|| self.stream.add_viewer_for(sound));
        let (handle, control) = hub::control();
        let viewer = NewViewer {
            sink,
            format,
            selection,
            head: Bytes::new(),
            stream: Arc::clone(&self.stream),
            start: Some(start),
            control: Some(control),
            guard,
            watch_until: self.until,
            connection: None,
            session: Some(self.session.clone()),
        };
        rtsp.0.viewing.streams.hub().add_viewer(viewer).await;
        connection.set_viewer(handle, !is_udp);
    }

    pub(super) fn pause(&mut self, connection: &Connection) {
        if let Some(handle) = connection.viewer() {
            handle.pause();
            self.is_paused = true;
        }
    }

    /// Waits for the client, its reports, or the hub. Who does not play has no viewer whose time
    /// the hub would look at.
    pub(super) async fn wait(&mut self, connection: &mut Connection) -> End {
        let is_idle = connection.viewer().is_none();
        let heard = tokio::select! {
            () = sleep_until(self.until), if is_idle => return ends(Leave::WatchOver.as_str()),
            leave = connection.viewer_left() => Err(leave),
            over = self.session.over(), if is_idle => return ends(over.to_string()),
            _ = self.reports.1.recv() => Ok(true),
            () = connection.ready() => Ok(false),
        };
        match heard {
            Ok(true) => connection.note_activity(),
            Ok(false) => {
                connection.take_in().await;
            }
            Err(leave) => {
                connection.forget_viewer().await;
                self.is_cut_off = leave != Leave::Gone;
                return ends(leave.as_str());
            }
        }
        GOES_ON
    }

    /// True if the hub has ended it, not the client.
    pub(super) fn is_cut_off(&self) -> bool {
        self.is_cut_off
    }

    /// Says in RTCP that nothing follows (RFC 3550 §6.6).
    pub(super) async fn say_goodbye(&self, rtsp: &Rtsp, connection: &mut Connection) {
        for track in &self.tracks {
            let bye = rtcp::bye(track.ssrc, "headworks");
            if let (Some(peer), Some(datagrams)) = (&track.peer, &rtsp.0.datagrams) {
                datagrams.report(peer, &bye);
            } else if let Some(header) = frame_header(describe::channels(track.kind).1, bye.len()) {
                connection.write([&header, &bye[..]].concat().into()).await;
            }
        }
    }
}
