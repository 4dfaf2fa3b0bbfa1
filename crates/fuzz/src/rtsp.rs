//! Both ends of RTSP as a whole.
//!
//! The first byte of the input says how it is cut, how fast time goes and what the embedder
//! decides.

use std::time::Duration;

use headworks_media::{AudioParameters, VideoParameters};
use headworks_rtsp::{
    Client, Output, Server, Start,
    auth::{Credentials, Realm, Schemes},
    client::{self, Via},
    message::Limits,
    sdp::{Description, Format, Kind, Media},
    server::{self, Event, Grant, Offer},
};
use url::Url;

use crate::{
    embedder::Clock,
    input::{Budget, Input},
    rtsp_parts::login,
    sample,
};

/// Bits of the first byte.
const REFUSES: u8 = 0x20;
const ASKS_PASSWORD: u8 = 0x40;
const OTHER: u8 = 0x80;

/// Our own stream in SDP.
pub(crate) fn description() -> Description {
    let (video, audio): (VideoParameters, AudioParameters) = (sample::h264(), sample::aac());
    let fmtp = |format: headworks_rtp::Format| format.fmtp.unwrap_or_default();
    let video = Format::new(96, "H264", 90_000).with_fmtp(fmtp(
        headworks_rtp::Format::video(&video).expect("RTP carries it"),
    ));
    let audio = Format::new(97, "MPEG4-GENERIC", 48_000)
        .with_channels(2)
        .with_fmtp(fmtp(headworks_rtp::Format::audio(&audio)));
    let mut description = Description::new("a camera");
    description.control = Some("*".to_owned());
    description.media = vec![
        Media::new(Kind::Video, video).with_control("trackID=0"),
        Media::new(Kind::Audio, audio).with_control("trackID=1"),
    ];
    description
}

fn new_server(clock: Clock) -> Server {
    let config = server::Config {
        realm: Realm::new("fuzz", [7; 32], Duration::from_secs(60), clock.now),
        name: "fuzz".to_owned(),
        session_timeout: Duration::from_secs(60),
        idle_timeout: Duration::from_secs(20),
        setup_timeout: Duration::from_secs(40),
        login_attempts: 3,
        limits: Limits::default(),
        seed: 42,
    };
    Server::new(config, clock.now)
}

pub(crate) fn server(bytes: &[u8]) {
    let mut input = Input(bytes);
    let how = input.byte();
    let mut clock = Clock::new(how);
    let (mut server, mut budget) = (new_server(clock), Budget::new());
    for piece in input.pieces(how) {
        clock.tick();
        budget.fed(piece.len());
        let goes_on = server.handle_input(clock.now, piece).is_ok();
        drain_server(&mut server, clock, &mut budget, how);
        if !goes_on {
            return;
        }
        server.handle_timeout(clock.now);
        drain_server(&mut server, clock, &mut budget, how);
    }
    clock.end();
    server.handle_timeout(clock.now);
    drain_server(&mut server, clock, &mut budget, how);
}

fn drain_server(server: &mut Server, clock: Clock, budget: &mut Budget, how: u8) -> Vec<u8> {
    let mut sent = Vec::new();
    loop {
        match server.poll_output() {
            Output::Send(bytes) => sent.extend_from_slice(&bytes),
            Output::Event(event) => {
                // An error ends the connection; the next input tells so too.
                let _ = decide(server, clock, &event, how);
            }
            Output::Wait(_) => return sent,
        }
        budget.spend();
    }
}

fn decide(server: &mut Server, clock: Clock, event: &Event, how: u8) -> Result<(), server::Error> {
    let now = clock.now;
    match event {
        Event::Describe(asked) | Event::Announce(asked, _) => {
            let _ = (asked.secret("token"), format!("{asked:?}"));
            if let Some(Credentials::Digest(digest)) = &asked.credentials {
                let _ = server.verify(now, digest, "password");
            } else if how & ASKS_PASSWORD != 0 && asked.credentials.is_none() {
                return server.challenge(now, Schemes::DigestOrBasic, false);
            }
            match event {
                _ if how & REFUSES != 0 => server.refuse(now, 404, Some("no\r\nsuch camera")),
                Event::Announce(..) => server.accept_announce(now),
                _ => server.accept_describe(now, &description()),
            }
        }
        Event::Setup(setup) => {
            let grant = grant(*setup.offers.first().expect("never empty"), setup.track);
            server.accept_setup(now, grant)
        }
        Event::Play { tracks, .. } => {
            let start = |track: &usize| Start {
                track: *track,
                seq: Some(1),
                rtptime: Some(2),
            };
            server.accept_play(now, &tracks.iter().map(start).collect::<Vec<_>>())
        }
        Event::Record { .. } => server.accept_record(now),
        _ => Ok(()),
    }
}

fn grant(offer: Offer, track: usize) -> Grant {
    let channel = (2 * track) as u8 & 0x7e;
    match offer {
        Offer::Tcp { .. } => Grant::Tcp {
            channels: (channel, channel + 1),
            ssrc: Some(7),
        },
        Offer::Udp { client } => Grant::Udp {
            client,
            server: (6000, 6001),
            source: None,
            ssrc: None,
        },
    }
}

fn new_client(clock: Clock, how: u8) -> Client {
    let config = client::Config {
        url: Url::parse("rtsp://a/b?c=d").expect("a URL"),
        login: Some(login()),
        user_agent: "fuzz".to_owned(),
        patience: Duration::from_secs(10),
        limits: Limits::default(),
        seed: 1,
    };
    match how & OTHER {
        0 => Client::play(config, clock.now),
        _ => Client::record(config, clock.now, description()),
    }
}

pub(crate) fn client(bytes: &[u8]) {
    let mut input = Input(bytes);
    let how = input.byte();
    let mut clock = Clock::new(how);
    let (mut client, mut budget) = (new_client(clock, how), Budget::new());
    drain_client(&mut client, clock, &mut budget, how);
    for piece in input.pieces(how) {
        clock.tick();
        budget.fed(piece.len());
        let goes_on = client.handle_input(clock.now, piece).is_ok()
            && client.handle_timeout(clock.now).is_ok();
        drain_client(&mut client, clock, &mut budget, how);
        if !goes_on {
            return;
        }
    }
    client.teardown(clock.now);
    drain_client(&mut client, clock, &mut budget, how);
    let _ = client.handle_close(clock.now);
    drain_client(&mut client, clock, &mut budget, how);
}

fn drain_client(client: &mut Client, clock: Clock, budget: &mut Budget, how: u8) -> Vec<u8> {
    let mut sent = Vec::new();
    loop {
        let event = match client.poll_output() {
            Output::Send(bytes) => {
                sent.extend_from_slice(&bytes);
                None
            }
            Output::Event(event) => Some(event),
            Output::Wait(_) => return sent,
        };
        budget.spend();
        let tracks = match event {
            Some(client::Event::Described(description)) => description.media.len(),
            Some(client::Event::Announced) => 2,
            _ => continue,
        };
        let via = match how & REFUSES {
            0 => Via::Tcp,
            _ => Via::Udp {
                client: (5000, 5001),
            },
        };
        let plan: Vec<_> = (0..tracks).map(|track| (track, via)).collect();
        let _ = client.setup(clock.now, &plan);
    }
}

/// What both ends say to each other.
fn conversation(how: u8) -> [Vec<u8>; 2] {
    let clock = Clock::new(0);
    let (mut client, mut server) = (new_client(clock, how), new_server(clock));
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    let mut budget = Budget::new();
    for round in 0..12 {
        let asked = drain_client(&mut client, clock, &mut budget, how);
        server.handle_input(clock.now, &asked).expect("goes on");
        let answered = drain_server(&mut server, clock, &mut budget, how & !REFUSES);
        client.handle_input(clock.now, &answered).expect("goes on");
        to_server.extend(asked);
        to_client.extend(answered);
        if round == 8 {
            // A packet for the first track, and the end.
            to_server.extend(b"$\0\0\x04\x80\x60\0\0");
            to_client.extend(b"$\0\0\x04\x80\x60\0\0");
            client.teardown(clock.now);
        }
    }
    [to_server, to_client]
}

fn seeds(of: usize) -> Vec<Vec<u8>> {
    let ways = [0, 3, OTHER, REFUSES, ASKS_PASSWORD, OTHER | ASKS_PASSWORD];
    let seed = |how: u8| [&[how], &conversation(how)[of][..]].concat();
    ways.map(seed).into()
}

pub(crate) fn server_seeds() -> Vec<Vec<u8>> {
    seeds(0)
}

pub(crate) fn client_seeds() -> Vec<Vec<u8>> {
    seeds(1)
}
