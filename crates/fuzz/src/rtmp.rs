//! Both ends of RTMP as a whole, from the first byte after the handshake.
//!
//! The first byte of the input says how it is cut, how fast time goes and what the embedder
//! decides; the handshake has a target of its own.

use bytes::Bytes;
use headworks_media::flv;
use headworks_rtmp::{
    Client, ClientConfig, ClientEvent, Event, MediaKind, Output, Refusal, Server, ServerConfig,
    Url, code,
};

use crate::{
    embedder::Clock,
    input::{Budget, Input, start},
    sample,
};

/// Bits of the first byte.
const REFUSES: u8 = 0x20;
const OTHER: u8 = 0x40;

/// Version and twice the block of the other side.
const HANDSHAKE: usize = 1 + 2 * 1536;

fn shaken() -> Bytes {
    let mut bytes = vec![0; HANDSHAKE];
    bytes[0] = 3;
    bytes.into()
}

pub(crate) fn server(bytes: &[u8]) {
    let mut input = Input(bytes);
    let how = input.byte();
    let mut clock = Clock::new(how);
    let config = ServerConfig {
        ask_connect: how & OTHER != 0,
        ..ServerConfig::default()
    };
    let mut server = Server::new(clock.now, config, 1);
    let mut budget = Budget::new();
    server.handle_input(clock.now, shaken());
    drain_server(&mut server, clock, &mut budget, how);
    for piece in input.pieces(how) {
        clock.tick();
        budget.fed(piece.len());
        server.handle_input(clock.now, Bytes::copy_from_slice(piece));
        drain_server(&mut server, clock, &mut budget, how);
        server.handle_timeout(clock.now);
        drain_server(&mut server, clock, &mut budget, how);
    }
    server.finish_play(clock.now);
    drain_server(&mut server, clock, &mut budget, how);
    server.handle_close(clock.now);
    drain_server(&mut server, clock, &mut budget, how);
    assert_eq!(server.poll_output(), Output::Close, "closed for good");
}

fn drain_server(server: &mut Server, clock: Clock, budget: &mut Budget, how: u8) {
    loop {
        match server.poll_output() {
            Output::Send(_) => {}
            Output::Event(event) => answer(server, clock, &event, how),
            Output::Wait(_) | Output::Close => return,
        }
        budget.spend();
    }
}

fn answer(server: &mut Server, clock: Clock, event: &Event, how: u8) {
    let refuses = how & REFUSES != 0;
    match event {
        Event::Connect(_) => server.accept_connect(clock.now),
        Event::Publish(_) | Event::Play(_) if refuses => {
            server.refuse(clock.now, &Refusal::new(code::PUBLISH_DENIED, "no"));
        }
        Event::Publish(publish) => {
            let _ = publish.target.query.parameter("key");
            server.accept_publish(clock.now);
        }
        Event::Play(_) => server.accept_play(clock.now),
        Event::Media(_) | Event::Stopped | Event::Closed(_) => {}
    }
}

pub(crate) fn client(bytes: &[u8]) {
    let mut input = Input(bytes);
    let how = input.byte();
    let mut clock = Clock::new(how);
    let mut client = new_client(how & OTHER != 0);
    let mut budget = Budget::new();
    client.handle_input(clock.now, shaken());
    drain_client(&mut client, &mut budget);
    for piece in input.pieces(how) {
        clock.tick();
        budget.fed(piece.len());
        client.handle_input(clock.now, Bytes::copy_from_slice(piece));
        drain_client(&mut client, &mut budget);
        client.handle_timeout(clock.now);
        drain_client(&mut client, &mut budget);
        let _ = client.media(MediaKind::Video, 1, &[&[0x17, 0]]);
    }
    client.finish(clock.now);
    drain_client(&mut client, &mut budget);
    clock.end();
    client.handle_timeout(clock.now);
    client.handle_close(clock.now);
    drain_client(&mut client, &mut budget);
    assert_eq!(client.poll_output(), Output::Close, "closed for good");
}

fn new_client(plays: bool) -> Client {
    let url = Url::parse("rtmp://edge/live/cam?key=1").expect("a URL");
    let new = if plays { Client::play } else { Client::publish };
    new(start(), url, ClientConfig::default(), 2)
}

fn drain_client(client: &mut Client, budget: &mut Budget) -> Vec<ClientEvent> {
    let mut events = Vec::new();
    loop {
        match client.poll_output() {
            Output::Send(_) => {}
            Output::Event(event) => events.push(event),
            Output::Wait(_) | Output::Close => return events,
        }
        budget.spend();
    }
}

/// What both ends say to each other, without their handshakes.
fn conversation(plays: bool) -> [Vec<u8>; 2] {
    let now = start();
    let mut client = new_client(plays);
    let mut server = Server::new(now, ServerConfig::default(), 1);
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    let (mut heard, mut said) = (0, 0);
    for _ in 0..20 {
        while let Output::Send(_) | Output::Event(_) = step_client(&mut client, &mut to_server) {}
        let part = Bytes::copy_from_slice(&to_server[heard..]);
        heard = to_server.len();
        server.handle_input(now, part);
        while let Output::Send(_) | Output::Event(_) = step_server(&mut server, &mut to_client) {}
        let part = Bytes::copy_from_slice(&to_client[said..]);
        said = to_client.len();
        client.handle_input(now, part);
    }
    let media = media();
    if plays {
        to_client.extend(media);
    } else {
        to_server.extend(media);
    }
    client.finish(now);
    while let Output::Send(_) | Output::Event(_) = step_client(&mut client, &mut to_server) {}
    [
        to_server.split_off(HANDSHAKE),
        to_client.split_off(HANDSHAKE),
    ]
}

fn step_client(client: &mut Client, sent: &mut Vec<u8>) -> Output<ClientEvent> {
    let output = client.poll_output();
    if let Output::Send(bytes) = &output {
        sent.extend_from_slice(bytes);
    }
    output
}

fn step_server(server: &mut Server, sent: &mut Vec<u8>) -> Output<Event> {
    let output = server.poll_output();
    match &output {
        Output::Send(bytes) => sent.extend_from_slice(bytes),
        Output::Event(event) => {
            let clock = Clock::new(0);
            answer(server, clock, event, 0);
        }
        Output::Wait(_) | Output::Close => {}
    }
    output
}

fn media() -> Vec<u8> {
    let mut out = Vec::new();
    let tracks = &sample::streams()[0];
    for (_, body) in flv::sequence_bodies(tracks) {
        out.extend_from_slice(&headworks_rtmp::wire::message(MediaKind::Video, 0, &body));
    }
    // An aggregate of a picture and a sound.
    let tags = b"\x09\0\0\x01\0\0\x05\0\0\0\0v\0\0\0\x0c\x08\0\0\x02\0\0\x08\0\0\0\0ab\0\0\0\x0d";
    out.extend([5, 0, 0, 100, 0, 0, tags.len() as u8, 22, 1, 0, 0, 0]);
    out.extend_from_slice(tags);
    out
}

fn seeds(of: usize) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (plays, other) in [(false, 0), (true, OTHER)] {
        let said = &conversation(plays)[of];
        for how in [0, 1, 4, REFUSES] {
            seeds.push([&[how | other], &said[..]].concat());
        }
    }
    seeds
}

pub(crate) fn server_seeds() -> Vec<Vec<u8>> {
    seeds(0)
}

pub(crate) fn client_seeds() -> Vec<Vec<u8>> {
    seeds(1)
}
