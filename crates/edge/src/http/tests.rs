//! Playback over real connections.

mod elsewhere;
mod https;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use headworks_bootstrap::{Clock, Tasks, TrustedProxies};
use headworks_types::{CameraId, edge::SlotState};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use uuid::Uuid;

use super::*;
use crate::{
    access::sign::Issuer,
    directory::Directory,
    hub::{
        self, Hub, Publisher, Relayed, Stream,
        testing::{picture, tracks},
    },
    streams::Streams,
    visitors::Visitors,
};

const LIMIT: Duration = Duration::from_secs(20);

struct World {
    address: std::net::SocketAddr,
    server: Server,
    publisher: Publisher,
    hub: Hub,
    camera: CameraId,
    token: String,
    tasks: Tasks,
    issuer: Issuer,
    viewing: Viewing,
    relays: FakeRelays,
}

/// Gives a picture of each camera that is asked for.
#[derive(Clone, Default)]
struct FakeRelays(Arc<Mutex<Vec<Publisher>>>);

impl FakeRelays {
    fn open(&self, hub: &Hub, camera: CameraId) -> Arc<Stream> {
        let mut publisher = hub.publish(camera);
        publisher.start_relay(7, tracks());
        let written = publisher.write(Relayed {
            sequence: 0,
            starts_session: true,
            frame: picture(0, true, 100),
        });
        assert!(written.is_some());
        publisher.set_status(SlotState::Live, "relayed");
        let stream = Arc::clone(publisher.stream());
        self.0.lock().expect("is whole").push(publisher);
        stream
    }

    fn opened(&self) -> usize {
        self.0.lock().expect("is whole").len()
    }
}

impl World {
    async fn new() -> Self {
        let (clock, tasks) = (Clock::system(), Tasks::new());
        let config = hub::Config {
            picture_wait: Duration::from_millis(50),
            ..hub::Config::default()
        };
        let hub = Hub::new(config, clock.clone(), tasks.clone());
        let camera = CameraId::from(Uuid::from_u128(1));
        let mut publisher = hub.publish(camera);
        publisher.start_session(tracks());
        let issuer = Issuer::new("k");
        let relays = FakeRelays::default();
        let (fake, of) = (relays.clone(), hub.clone());
        let open = move |camera| Some(fake.open(&of, camera));
        let streams = Streams::new(hub.clone(), Directory::default(), Arc::new(open));
        let viewing = Viewing::new(streams, issuer.access(clock.clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("binds");
        let address = listener.local_addr().expect("bound");
        let visitors = Visitors::new(100, TrustedProxies::default(), Clock::system());
        let server = Server::testing(router(viewing.clone()), visitors);
        server.clone().serve(listener, None, &tasks);
        Self {
            address,
            server,
            publisher,
            hub,
            camera,
            token: issuer.token(camera, clock.now()),
            tasks,
            issuer,
            viewing,
            relays,
        }
    }

    fn play(&mut self, pictures: usize) {
        for index in 0..pictures {
            let payload = Bytes::from_static(&[0, 0, 0, 1, 9]);
            self.publisher
                .video(index as i64 * 3600, index % 50 == 0, payload);
        }
        self.publisher.stream().set_status(SlotState::Live, "test");
        self.publisher.wake();
    }

    async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.expect("connects"))
    }

    async fn get(&self, path: &str) -> Answer {
        let mut client = self.connect().await;
        client.send("GET", path, "").await;
        client.answer().await
    }

    fn path(&self, rest: &str) -> String {
        format!("/live/{}/{rest}?token={}", self.camera, self.token)
    }
}

struct Client(TcpStream);

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

impl Client {
    async fn send(&mut self, method: &str, path: &str, headers: &str) {
        let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        self.0.write_all(request.as_bytes()).await.expect("writes");
    }

    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = timeout(LIMIT, self.0.read_u8()).await.expect("in time");
            head.push(byte.expect("an answer"));
        }
        String::from_utf8(head).expect("text")
    }

    async fn answer(&mut self) -> Answer {
        let head = self.head().await;
        let header = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines
                .find(|(n, _)| n.eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
        };
        let length = header("content-length").map_or(0, |length| length.parse().expect("a number"));
        let mut body = vec![0; length];
        timeout(LIMIT, self.0.read_exact(&mut body))
            .await
            .expect("in time")
            .expect("a body");
        Answer {
            status: head[9..12].parse().expect("a status"),
            head,
            body,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flv_takes_the_socket_also_from_a_connection_that_was_used_before() {
    let mut world = World::new().await;
    world.play(60);
    let mut client = world.connect().await;
    client.send("GET", "/assets/watch.js", "").await;
    assert_eq!(client.answer().await.status, 200);
    // Two at once: the first answer has to be out before the socket goes.
    let first = "GET /assets/watch.css HTTP/1.1\r\nhost: x\r\n\r\n";
    client.0.write_all(first.as_bytes()).await.expect("writes");
    client.send("GET", &world.path("stream.flv"), "").await;
    assert_eq!(client.answer().await.status, 200);
    let head = client.head().await;
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\ncontent-type: video/x-flv\r\n"),
        "{head}"
    );
    let mut start = [0; 4];
    client.0.read_exact(&mut start).await.expect("media");
    assert_eq!(start, *b"FLV\x01");
    assert_eq!(world.publisher.stream().viewers(), 1);
}

/// The next message of a server, in a frame of its own.
async fn message(socket: &mut TcpStream) -> (u8, Vec<u8>) {
    let read = async {
        let opcode = socket.read_u8().await? & 0x0f;
        let length = match socket.read_u8().await? {
            126 => socket.read_u16().await?.into(),
            127 => socket.read_u64().await?,
            short => short.into(),
        };
        let mut payload = vec![0; length as usize];
        socket.read_exact(&mut payload).await?;
        std::io::Result::Ok((opcode, payload))
    };
    timeout(LIMIT, read).await.expect("in time").expect("reads")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_carries_flv_answers_pings_and_closes() {
    let mut world = World::new().await;
    world.play(60);
    let mut client = world.connect().await;
    let upgrade = "upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    client.send("GET", &world.path("stream.flv"), upgrade).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let (opcode, start) = message(&mut client.0).await;
    assert_eq!((opcode, &start[..4]), (2, &b"FLV\x01"[..]));
    // Pictures from the last key frame on.
    for _ in 50..60 {
        let (opcode, tag) = message(&mut client.0).await;
        assert_eq!((opcode, tag[0]), (2, 9));
    }
    let ping = [0x89, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2];
    client.0.write_all(&ping).await.expect("writes");
    assert_eq!(message(&mut client.0).await, (10, b"hi".to_vec()));
    let close = [0x88, 0x82, 0, 0, 0, 0, 3, 232];
    client.0.write_all(&close).await.expect("writes");
    assert_eq!(message(&mut client.0).await, (8, vec![3, 232]));
    let end = timeout(LIMIT, client.0.read(&mut [0])).await;
    assert_eq!(end.expect("in time").expect("is closed in order"), 0);
    let mut demand = world.publisher.stream().demand();
    let gone = demand.wait_for(|viewers| *viewers == 0);
    timeout(LIMIT, gone)
        .await
        .expect("in time")
        .expect("counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn hls_leads_from_the_token_to_the_segments() {
    let mut world = World::new().await;
    world.play(101);
    let variants = world.get(&world.path("index.m3u8")).await;
    assert_eq!(variants.status, 200, "{}", variants.text());
    assert!(
        !variants.text().contains(&world.token),
        "the token stays in one address"
    );
    let child = variants
        .text()
        .lines()
        .find(|line| !line.starts_with('#'))
        .expect("a child");
    let base = format!(
        "/live/{}/{}",
        world.camera,
        child.trim_end_matches("media.m3u8")
    );
    let playlist = world.get(&format!("{base}media.m3u8")).await;
    assert!(
        playlist.head.contains("cache-control: no-store"),
        "{}",
        playlist.head
    );
    assert!(
        playlist.text().contains("init-0.mp4"),
        "{}",
        playlist.text()
    );
    let init = world.get(&format!("{base}init-0.mp4")).await;
    assert_eq!(init.body[4..8], *b"ftyp");
    let segment = world.get(&format!("{base}seg-1.m4s")).await;
    assert_eq!(segment.body[4..8], *b"moof");
    assert!(segment.body.ends_with(&[0, 0, 0, 1, 9]));
    for missing in ["seg-9.m4s", "init-9.mp4", "seg--1.m4s", "x"] {
        assert_eq!(world.get(&format!("{base}{missing}")).await.status, 404);
    }
    let forged = base.replace("/s/", "/s/A");
    assert_eq!(world.get(&format!("{forged}media.m3u8")).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_problems() {
    let mut world = World::new().await;
    let other = CameraId::from(Uuid::from_u128(2));
    for file in ["index.m3u8", "stream.flv", "stream.ts", "watch"] {
        let bare = world.get(&format!("/live/{}/{file}", world.camera)).await;
        assert_eq!(bare.status, 401);
        assert!(
            bare.head.contains("www-authenticate: Bearer"),
            "{}",
            bare.head
        );
        assert!(bare.head.contains("content-type: application/problem+json"));
        assert!(bare.text().contains("\"code\":\"unauthenticated\""));
        let foreign = format!("/live/{other}/{file}?token={}", world.token);
        assert_eq!(world.get(&foreign).await.status, 403);
        assert_eq!(
            world.get(&format!("/live/nonsense/{file}")).await.status,
            404
        );
    }
    world
        .publisher
        .stream()
        .set_status(SlotState::Failed, "connection refused");
    for file in ["index.m3u8", "stream.flv", "stream.ts"] {
        let dark = world.get(&world.path(file)).await;
        assert_eq!(dark.status, 503);
        assert!(dark.head.contains("retry-after: 5"), "{}", dark.head);
        assert!(
            dark.text().contains("connection refused"),
            "{}",
            dark.text()
        );
    }
    assert_eq!(world.get("/live").await.status, 404);
    let mut client = world.connect().await;
    client.send("POST", &world.path("index.m3u8"), "").await;
    assert_eq!(client.answer().await.status, 405);
    world.play(1);
    let path = world.path("stream.flv");
    world.publisher.stream().set_final(true);
    drop(world.publisher);
    assert!(world.hub.stream(world.camera).is_none());
    let mut client = Client(TcpStream::connect(world.address).await.expect("connects"));
    client.send("GET", &path, "").await;
    assert_eq!(client.answer().await.status, 421);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bearer_token_and_a_browser_are_understood() {
    let mut world = World::new().await;
    world.play(101);
    let mut client = world.connect().await;
    let path = format!("/live/{}/index.m3u8", world.camera);
    let bearer = format!(
        "authorization: Bearer {}\r\norigin: http://x\r\n",
        world.token
    );
    client.send("GET", &path, &bearer).await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.head.contains("access-control-allow-origin: *"),
        "{}",
        answer.head
    );
    let page = format!("/live/{}/watch", world.camera);
    client.send("GET", &page, "accept: text/html\r\n").await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 401);
    assert!(answer.text().starts_with("<!doctype html>"));
    assert!(
        answer
            .head
            .contains("content-security-policy: default-src 'none'")
    );
}
