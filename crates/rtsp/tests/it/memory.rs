//! A client and a server in memory, under virtual time, with pieces of any size between them.

use std::time::{Duration, Instant};

use headworks_rtsp::{
    Client, Output, Server, Start,
    auth::{self, Credentials, Login, Realm, Verdict},
    client, message,
    sdp::{Description, Format, Kind, Media},
    server::{self, Asked, Grant, Offer},
};
use url::Url;

/// What the server's side does with what is asked.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// `None`: everybody may.
    pub(crate) password: Option<&'static str>,
    pub(crate) schemes: auth::Schemes,
    pub(crate) tcp: bool,
    pub(crate) udp: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            password: None,
            schemes: auth::Schemes::DigestOrBasic,
            tcp: true,
            udp: true,
        }
    }
}

/// A sequence of piece sizes, repeated for ever.
#[derive(Debug, Clone)]
pub(crate) struct Pieces {
    sizes: Vec<usize>,
    next: usize,
}

impl Pieces {
    pub(crate) fn new(sizes: Vec<usize>) -> Self {
        Self { sizes, next: 0 }
    }

    fn of<'a>(&mut self, mut bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let size = self.sizes[self.next % self.sizes.len()].clamp(1, bytes.len());
            self.next += 1;
            let (piece, rest) = bytes.split_at(size);
            pieces.push(piece);
            bytes = rest;
        }
        pieces
    }
}

pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) client: Client,
    pub(crate) server: Server,
    pub(crate) rules: Rules,
    pub(crate) pieces: Pieces,
    pub(crate) client_events: Vec<client::Event>,
    pub(crate) server_events: Vec<server::Event>,
    pub(crate) via: Via,
}

/// What the client's side asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    Tcp,
    Udp,
}

#[expect(clippy::disallowed_methods, reason = "the beginning of virtual time")]
pub(crate) fn start() -> Instant {
    Instant::now()
}

pub(crate) fn realm(now: Instant) -> Realm {
    Realm::new("headworks", [7; 32], Duration::from_secs(60), now)
}

pub(crate) fn server_config(now: Instant) -> server::Config {
    server::Config {
        realm: realm(now),
        name: "headworks".to_owned(),
        session_timeout: Duration::from_secs(60),
        idle_timeout: Duration::from_secs(20),
        setup_timeout: Duration::from_secs(60),
        login_attempts: 3,
        limits: message::Limits::default(),
        seed: 42,
    }
}

pub(crate) fn client_config(url: &str, login: Option<(&str, &str)>) -> client::Config {
    client::Config {
        url: Url::parse(url).expect("a URL"),
        login: login.map(|(username, password)| Login {
            username: username.to_owned(),
            password: password.to_owned(),
        }),
        user_agent: "headworks".to_owned(),
        patience: Duration::from_secs(10),
        limits: message::Limits::default(),
        seed: 1,
    }
}

/// A picture and a sound.
pub(crate) fn description() -> Description {
    let mut description = Description::new("a camera");
    description.control = Some("*".to_owned());
    let video = Format::new(96, "H264", 90_000).with_fmtp("packetization-mode=1");
    let audio = Format::new(97, "MPEG4-GENERIC", 48_000).with_channels(2);
    description.media = vec![
        Media::new(Kind::Video, video).with_control("trackID=0"),
        Media::new(Kind::Audio, audio).with_control("trackID=1"),
    ];
    description
}

impl Pair {
    pub(crate) fn new(client: impl FnOnce(Instant) -> Client, rules: Rules) -> Self {
        let now = start();
        Self {
            now,
            client: client(now),
            server: Server::new(server_config(now), now),
            rules,
            pieces: Pieces::new(vec![usize::MAX]),
            client_events: Vec::new(),
            server_events: Vec::new(),
            via: Via::Tcp,
        }
    }

    /// Runs until both wait. Returns the next deadline.
    pub(crate) fn settle(&mut self) -> Result<Option<Instant>, client::Error> {
        loop {
            let (from_client, client_deadline) = self.drain_client()?;
            for piece in self.pieces.of(&from_client) {
                self.server.handle_input(self.now, piece).expect("goes on");
            }
            let (from_server, server_deadline) = self.drain_server();
            for piece in self.pieces.of(&from_server) {
                self.client.handle_input(self.now, piece)?;
            }
            if from_client.is_empty() && from_server.is_empty() {
                return Ok([client_deadline, server_deadline]
                    .into_iter()
                    .flatten()
                    .min());
            }
        }
    }

    /// One exchange only.
    pub(crate) fn settle_one_way(&mut self) {
        let (from_client, _) = self.drain_client().expect("goes on");
        self.server
            .handle_input(self.now, &from_client)
            .expect("goes on");
        let (from_server, _) = self.drain_server();
        self.client
            .handle_input(self.now, &from_server)
            .expect("goes on");
    }

    /// Lets `time` pass.
    pub(crate) fn run_for(&mut self, time: Duration) -> Result<(), client::Error> {
        let end = self.now + time;
        while let Some(deadline) = self.settle()?
            && deadline <= end
        {
            self.now = deadline;
            self.client.handle_timeout(self.now)?;
            self.server.handle_timeout(self.now);
        }
        self.now = end;
        Ok(())
    }

    fn drain_client(&mut self) -> Result<(Vec<u8>, Option<Instant>), client::Error> {
        let mut sent = Vec::new();
        loop {
            match self.client.poll_output() {
                Output::Send(bytes) => sent.extend_from_slice(&bytes),
                Output::Wait(deadline) => return Ok((sent, deadline)),
                Output::Event(event) => {
                    let count = match &event {
                        client::Event::Described(description) => description.media.len(),
                        client::Event::Announced => 2,
                        _ => 0,
                    };
                    if count > 0 {
                        let plan: Vec<_> =
                            (0..count).map(|track| (track, self.via(track))).collect();
                        self.client.setup(self.now, &plan)?;
                    }
                    self.client_events.push(event);
                }
            }
        }
    }

    pub(crate) fn via(&self, track: usize) -> client::Via {
        let port = 5000 + 2 * u16::try_from(track).expect("few tracks");
        match self.via {
            Via::Tcp => client::Via::Tcp,
            Via::Udp => client::Via::Udp {
                client: (port, port + 1),
            },
        }
    }

    fn drain_server(&mut self) -> (Vec<u8>, Option<Instant>) {
        let mut sent = Vec::new();
        loop {
            match self.server.poll_output() {
                Output::Send(bytes) => sent.extend_from_slice(&bytes),
                Output::Wait(deadline) => return (sent, deadline),
                Output::Event(event) => {
                    self.decide(&event).expect("it was asked");
                    self.server_events.push(event);
                }
            }
        }
    }

    fn decide(&mut self, event: &server::Event) -> Result<(), server::Error> {
        let now = self.now;
        match event {
            server::Event::Describe(asked) => match self.judge(asked) {
                Ok(()) => self.server.accept_describe(now, &description()),
                Err(stale) => self.server.challenge(now, self.rules.schemes, stale),
            },
            server::Event::Announce(asked, _) => match self.judge(asked) {
                Ok(()) => self.server.accept_announce(now),
                Err(stale) => self.server.challenge(now, self.rules.schemes, stale),
            },
            server::Event::Setup(setup) => match self.grant(setup) {
                Some(grant) => self.server.accept_setup(now, grant),
                None => self.server.refuse(now, 461, None),
            },
            server::Event::Play { tracks, .. } => {
                let starts: Vec<_> = tracks
                    .iter()
                    .map(|track| Start {
                        track: *track,
                        seq: Some(100),
                        rtptime: Some(9000),
                    })
                    .collect();
                self.server.accept_play(now, &starts)
            }
            server::Event::Record { .. } => self.server.accept_record(now),
            _ => Ok(()),
        }
    }

    fn judge(&self, asked: &Asked) -> Result<(), bool> {
        let Some(password) = self.rules.password else {
            return Ok(());
        };
        if asked.query("token").as_deref() == Some(password) {
            return Ok(());
        }
        match &asked.credentials {
            Some(Credentials::Basic(login)) if login.has_password(password) => Ok(()),
            Some(Credentials::Digest(digest)) => {
                match self.server.verify(self.now, digest, password) {
                    Verdict::Right => Ok(()),
                    Verdict::Stale => Err(true),
                    Verdict::Wrong => Err(false),
                }
            }
            _ => Err(false),
        }
    }

    fn grant(&self, setup: &server::Setup) -> Option<Grant> {
        let track = u8::try_from(setup.track).expect("few tracks");
        setup.offers.iter().find_map(|offer| match offer {
            // Not what the client has proposed.
            Offer::Tcp { .. } => self.rules.tcp.then_some(Grant::Tcp {
                channels: (10 + 2 * track, 11 + 2 * track),
                ssrc: Some(0xabc),
            }),
            Offer::Udp { client } => self.rules.udp.then_some(Grant::Udp {
                client: *client,
                server: (6000, 6001),
                source: None,
                ssrc: Some(0xabc),
            }),
        })
    }
}
