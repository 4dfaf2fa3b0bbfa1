//! Clients that do not go on, in virtual time.

use std::time::Duration;

use headworks_bootstrap::{Clock, Tasks, TrustedProxies};
use headworks_types::PublishProtocol;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::Instant,
};
use tokio_util::either::Either;

use crate::{
    access::sign::Issuer,
    hub::{self, Hub},
    ingest::{self, Ingests},
    rtmp::Rtmp,
    socket::Incoming,
    viewing::Viewing,
    visitors::{Place, Visitors},
};

struct Edge {
    rtmp: Rtmp,
    clock: Clock,
    tasks: Tasks,
}

impl Edge {
    fn new() -> Self {
        Self::behind("")
    }

    /// One that believes these proxies.
    fn behind(proxies: &str) -> Self {
        let proxies: TrustedProxies = serde_json::from_value(proxies.into()).expect("parses");
        let (clock, tasks) = (Clock::system(), Tasks::new());
        let hub = Hub::new(hub::Config::default(), clock.clone(), tasks.clone());
        let ingests = Ingests::new(
            ingest::Config::default(),
            hub.clone(),
            crate::audit::Audit::new(clock.clone()).0,
            clock.clone(),
            tasks.clone(),
        );
        let rtmp = Rtmp::new(
            Viewing::testing(hub, Issuer::new("k").access(clock.clone())),
            ingests,
            Visitors::new(1, proxies, clock.clone()),
            clock.clone(),
            tasks.clone(),
        );
        Self { rtmp, clock, tasks }
    }

    /// A client of the edge.
    fn connect(&self) -> UnixStream {
        let (client, socket) = UnixStream::pair().expect("a pair");
        let incoming = Incoming {
            socket: Either::Right(socket),
            address: ([192, 0, 2, 1], 4000).into(),
            place: Place::of_another(),
        };
        let rtmp = self.rtmp.clone();
        self.tasks.spawn("client", async move {
            rtmp.drive(incoming, PublishProtocol::Rtmp).await;
        });
        client
    }

    /// How long it takes until the client is closed.
    async fn time_to_close(&self, mut client: UnixStream) -> Duration {
        let started = self.now();
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest).await;
        self.now() - started
    }

    fn now(&self) -> Instant {
        self.clock.monotonic()
    }
}

#[tokio::test(start_paused = true)]
async fn one_who_says_nothing_or_stops_in_the_handshake_is_closed() {
    let edge = Edge::new();
    let limits = Duration::from_secs(9)..Duration::from_secs(12);
    let silent = edge.connect();
    let after = edge.time_to_close(silent).await;
    assert!(limits.contains(&after), "{after:?}");
    let mut slow = edge.connect();
    slow.write_all(&[3, 0, 0]).await.expect("writes");
    let after = edge.time_to_close(slow).await;
    assert!(limits.contains(&after), "{after:?}");
    edge.tasks.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn sessions_count_for_the_client_that_a_trusted_proxy_names() {
    for (proxies, expected) in [
        // Who is connected is counted, whatever it writes.
        ("198.51.100.0/24", [200, 503, 503]),
        ("192.0.2.0/24", [200, 503, 200]),
    ] {
        let edge = Edge::behind(proxies);
        let mut web = edge.connect();
        let clients = ["203.0.113.9", "203.0.113.9", "203.0.113.8"];
        for (client, status) in clients.into_iter().zip(expected) {
            let request = format!(
                "POST /open/1 HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 192.0.2.77, {client}\r\n\
                 content-length: 1\r\n\r\n\0"
            );
            web.write_all(request.as_bytes()).await.expect("writes");
            let answer = read(&mut web).await;
            let expected = format!("HTTP/1.1 {status}");
            assert!(
                answer.starts_with(&expected),
                "{proxies}, {client}: {answer}"
            );
        }
        edge.tasks.shutdown(Duration::from_secs(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_nobody_asks_for_is_forgotten() {
    let edge = Edge::new();
    let mut web = edge.connect();
    let request = b"POST /open/1 HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n\0";
    web.write_all(request).await.expect("writes");
    let answer = read(&mut web).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // Its address may have one connection, and this is it.
    web.write_all(request).await.expect("writes");
    let answer = read(&mut web).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let id = edge.rtmp.tunnels.ids().pop().expect("one is open");
    // Whoever is no client of RTMP keeps the place until the session is forgotten.
    let garbage = format!("POST /send/{id}/0 HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n\x09");
    web.write_all(garbage.as_bytes()).await.expect("writes");
    read(&mut web).await;
    web.write_all(request).await.expect("writes");
    let answer = read(&mut web).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let started = edge.now();
    while !edge.rtmp.tunnels.ids().is_empty() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(edge.now() - started < Duration::from_mins(1));
    }
    let mut web = edge.connect();
    let request = format!("POST /idle/{id}/0 HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n");
    web.write_all(request.as_bytes()).await.expect("writes");
    let answer = read(&mut web).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    edge.tasks.shutdown(Duration::from_secs(5)).await;
}

async fn read(web: &mut UnixStream) -> String {
    let mut answer = vec![0; 4096];
    let length = web.read(&mut answer).await.expect("answers");
    String::from_utf8_lossy(&answer[..length]).into_owned()
}
