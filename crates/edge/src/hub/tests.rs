//! The hub over real sockets.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use headworks_bootstrap::{Clock, Tasks};
use headworks_testkit::Deadline;
use headworks_types::{CameraId, ViewProtocol, edge::SlotState};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
    time::timeout,
};
use uuid::Uuid;

use super::{testing::tracks, *};
use crate::session::testing::{session, silent_session};

mod control;
mod formats;
mod packs;
mod successors;

const LIMIT: Duration = Duration::from_secs(20);

struct World {
    hub: Hub,
    publisher: Publisher,
    tasks: Tasks,
    clock: Clock,
    pts: i64,
}

impl World {
    fn new(config: Config) -> Self {
        Self::at(Clock::system(), config)
    }

    fn at(clock: Clock, config: Config) -> Self {
        let tasks = Tasks::new();
        let hub = Hub::new(config, clock.clone(), tasks.clone());
        let mut publisher = hub.publish(CameraId::from(Uuid::from_u128(1)));
        publisher.start_session(tracks());
        Self {
            hub,
            publisher,
            tasks,
            clock,
            pts: 0,
        }
    }

    fn stream(&self) -> Arc<Stream> {
        Arc::clone(self.publisher.stream())
    }

    /// Publishes pictures of `size` bytes, 25 a second, the first of which is a key frame.
    fn gop(&mut self, count: usize, size: usize) {
        for index in 0..count {
            let payload = Bytes::from(vec![index as u8; size]);
            self.publisher.video(self.pts, index == 0, payload);
            self.pts += 3600;
            self.publisher.wake();
        }
        self.stream().set_status(SlotState::Live, "test");
    }

    async fn watch(&self, watch: Duration) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let client = TcpStream::connect(listener.local_addr().expect("bound"));
        let (client, server) = tokio::join!(client, listener.accept());
        let stream = self.stream();
        self.hub
            .add_viewer(NewViewer {
                sink: server.expect("accepts").0.into(),
                format: Format::Flv,
                selection: Selection::All,
                start: None,
                control: None,
                head: Bytes::from_static(b"HEAD"),
                guard: stream.add_viewer(),
                stream,
                watch_until: self.clock.monotonic() + watch,
                connection: None,
                session: None,
            })
            .await;
        client.expect("connects")
    }
}

/// Reads FLV as a player does.
struct Player {
    socket: TcpStream,
    /// The last video tag's time.
    time: Option<u32>,
}

#[derive(Debug, PartialEq, Eq)]
enum Tag {
    Script,
    Headers,
    Picture { key: bool, time: u32, size: usize },
}

impl Player {
    async fn start(mut socket: TcpStream) -> Self {
        let mut start = [0; 4 + 13];
        socket.read_exact(&mut start).await.expect("the start");
        assert_eq!(start[..8], *b"HEADFLV\x01");
        Self { socket, time: None }
    }

    /// The next tag; `None` at the end of the stream.
    async fn tag(&mut self) -> Option<Tag> {
        timeout(LIMIT, self.read()).await.expect("in time")
    }

    async fn read(&mut self) -> Option<Tag> {
        let mut header = [0; 11];
        self.socket.read_exact(&mut header).await.ok()?;
        let size = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
        let time = u32::from_be_bytes([header[7], header[4], header[5], header[6]]);
        let mut body = vec![0; size + 4];
        self.socket.read_exact(&mut body).await.ok()?;
        let tail = u32::from_be_bytes(*body.last_chunk().expect("four bytes"));
        assert_eq!(tail as usize, size + 11, "tags are whole");
        Some(match (header[0], body[1]) {
            (18, _) => Tag::Script,
            (9, 0) => Tag::Headers,
            (9, _) => {
                assert!(
                    self.time.is_none_or(|last| last < time),
                    "time goes forward"
                );
                self.time = Some(time);
                let key = body[0] >> 4 == 1;
                Tag::Picture {
                    key,
                    time,
                    size: size - 5,
                }
            }
            other => panic!("an unknown tag: {other:?}"),
        })
    }

    async fn picture(&mut self) -> (bool, u32, usize) {
        loop {
            match self.tag().await {
                Some(Tag::Picture { key, time, size }) => return (key, time, size),
                Some(_) => {}
                None => panic!("the stream goes on"),
            }
        }
    }
}

/// Waits for what the shards do.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Deadline::after(LIMIT);
    while !done() {
        assert!(!deadline.has_passed(), "{what} in time");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_starts_at_once_with_the_buffered_gop_and_goes_on() {
    let mut world = World::new(Config::default());
    world.gop(10, 100);
    world.gop(5, 100);
    let mut player = Player::start(world.watch(LIMIT).await).await;
    assert_eq!(player.tag().await, Some(Tag::Script));
    assert_eq!(player.tag().await, Some(Tag::Headers));
    let (key, start, _) = player.picture().await;
    assert!(key);
    for index in 1..5 {
        assert_eq!(player.picture().await, (false, start + index * 40, 100));
    }
    world.gop(3, 200);
    assert_eq!(player.picture().await, (true, start + 200, 200));
    assert_eq!(world.stream().viewers(), 1);
    drop(player);
    until("the viewer is forgotten", || world.stream().viewers() == 0).await;
    world.tasks.shutdown(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_stay_through_a_new_session_of_the_source() {
    let mut world = World::new(Config::default());
    world.gop(5, 100);
    let mut player = Player::start(world.watch(LIMIT).await).await;
    let mut last = 0;
    for _ in 0..5 {
        last = player.picture().await.1;
    }
    // Its clock starts anew, and its first pictures cannot be decoded.
    world.publisher.start_session(tracks());
    world
        .publisher
        .video(9_000_000, false, Bytes::from_static(&[1]));
    world.pts = 9_003_600;
    world.gop(2, 300);
    assert_eq!(player.picture().await, (true, last + 40, 300));
    assert_eq!(player.picture().await, (false, last + 80, 300));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_viewer_jumps_to_a_key_frame_and_holds_up_nobody() {
    let mut world = World::new(Config {
        buffer_bytes: 4 << 20,
        ..Config::default()
    });
    world.gop(5, 100_000);
    let mut slow = Player::start(world.watch(LIMIT).await).await;
    let mut quick = Player::start(world.watch(LIMIT).await).await;
    // More than any socket buffer takes.
    for _ in 0..60 {
        world.gop(5, 100_000);
        for _ in 0..5 {
            quick.picture().await;
        }
    }
    let mut missed = false;
    let mut last = None;
    while !missed {
        let (key, time, size) = slow.picture().await;
        assert_eq!(size, 100_000);
        if last.is_some_and(|last| time > last + 40) {
            assert!(key, "it goes on at a key frame");
            missed = true;
        }
        last = Some(time);
    }
    assert!(world.hub.counters().jumps.get() >= 1);
    assert_eq!(world.stream().viewers(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_jumps_too_often_is_closed() {
    let mut world = World::new(Config {
        buffer_bytes: 1 << 20,
        viewer_jumps: 0,
        ..Config::default()
    });
    world.gop(5, 100_000);
    let mut slow = Player::start(world.watch(LIMIT).await).await;
    for _ in 0..60 {
        world.gop(5, 100_000);
        tokio::task::yield_now().await;
    }
    while slow.tag().await.is_some() {}
    until("it is counted", || world.hub.counters().slow.get() == 1).await;
    assert_eq!(world.stream().viewers(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_takes_nothing_is_closed() {
    let mut world = World::new(Config {
        viewer_stall: Duration::from_millis(100),
        ..Config::default()
    });
    world.gop(100, 100_000);
    let _stuck = world.watch(LIMIT).await;
    world.gop(100, 100_000);
    until("it is closed", || world.hub.counters().slow.get() == 1).await;
    assert_eq!(world.stream().viewers(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_at_their_time_and_with_their_stream() {
    let mut world = World::new(Config::default());
    world.gop(5, 100);
    let mut over = Player::start(world.watch(Duration::ZERO).await).await;
    while over.tag().await.is_some() {}
    let mut player = Player::start(world.watch(LIMIT).await).await;
    player.picture().await;
    let stream = world.stream();
    world.stream().set_final(true);
    drop(world.publisher);
    while player.tag().await.is_some() {}
    assert!(world.hub.stream(stream.camera()).is_none());
    assert_eq!(stream.wait_for_picture(LIMIT).await, Err(NoPicture::Ended));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_interval_delays_but_loses_nothing() {
    let mut world = World::new(Config {
        flush: config::Flush {
            flv: Duration::from_millis(30),
            ..config::Flush::default()
        },
        ..Config::default()
    });
    world.gop(1, 100);
    let mut player = Player::start(world.watch(LIMIT).await).await;
    let start = player.picture().await.1;
    for round in 0..20 {
        world.gop(5, 100);
        for index in 1..=5 {
            assert_eq!(player.picture().await.1, start + (round * 5 + index) * 40);
        }
    }
}

fn plain(request: Option<HlsRequest>) -> String {
    let request = request.expect("lets in");
    let window = request.live().window();
    window.playlist(headworks_hls::Flavor::Plain)
}

#[tokio::test(flavor = "multi_thread")]
async fn hls_has_a_whole_segment_at_once_and_goes_on_after_a_pause() {
    let clock = Clock::manual(Clock::system().now());
    let mut world = World::at(clock.clone(), Config::default());
    world.gop(50, 100);
    world.gop(50, 100);
    world.gop(1, 100);
    let session = session(7, Uuid::from_u128(1).into(), ViewProtocol::Hls);
    let stream = world.stream();
    let playlist = plain(stream.hls(&session, LIMIT).await);
    assert!(playlist.contains("#EXT-X-MEDIA-SEQUENCE:0\n"), "{playlist}");
    assert!(playlist.contains("seg-1.m4s"), "{playlist}");
    assert_eq!(stream.viewers(), 1);
    clock.advance(Duration::from_secs(600));
    until("cutting stops when nobody asks", || stream.viewers() == 0).await;
    let playlist = plain(stream.hls(&session, LIMIT).await);
    assert!(
        playlist.contains("#EXT-X-MEDIA-SEQUENCE:2\n#EXT-X-DISCONTINUITY\n"),
        "{playlist}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hls_without_sound_is_an_output_of_its_own() {
    let mut world = World::new(Config::default());
    world.publisher.start_session(testing::tracks_with_aac());
    for index in 0..100 {
        let frame = testing::picture(0, index % 50 == 0, 100);
        world
            .publisher
            .video(index * 3600, frame.key, frame.payload);
        world
            .publisher
            .audio(index * 1920, 1920, Bytes::from_static(b"aac"));
        world.publisher.wake();
    }
    let (stream, camera) = (world.stream(), Uuid::from_u128(1).into());
    let loud = session(7, camera, ViewProtocol::Hls);
    let silent = silent_session(8, camera, ViewProtocol::Hls);
    for (session, tracks) in [(silent, 1), (loud, 2)] {
        let request = stream.hls(&session, LIMIT).await.expect("lets in");
        let window = request.live().window();
        let playlist = headworks_hls::multivariant(window, "child");
        assert_eq!(playlist.contains("mp4a"), tracks == 2, "{playlist}");
        let init = window.init(0).expect("is there");
        let boxes = init.bytes.windows(4).filter(|name| *name == b"trak");
        assert_eq!(boxes.count(), tracks);
        let segment = window.segment(0).expect("is there");
        let bytes = segment.chunks().flatten().copied().collect::<Vec<_>>();
        let heard = bytes.windows(3).any(|payload| payload == b"aac");
        assert_eq!(heard, tracks == 2);
    }
    assert_eq!(stream.viewers(), 2);
    assert_eq!(*stream.aac_demand().borrow(), 1);
}

#[tokio::test]
async fn who_waits_for_a_picture_hears_why_there_is_none() {
    let mut world = World::new(Config::default());
    let stream = world.stream();
    let waiting = stream.wait_for_picture(Duration::from_millis(10));
    assert_eq!(
        waiting.await,
        Err(NoPicture::Because("just placed here".to_owned()))
    );
    stream.set_status(SlotState::Failed, "connection refused");
    let waiting = stream.wait_for_picture(LIMIT);
    assert_eq!(
        waiting.await,
        Err(NoPicture::Because("connection refused".to_owned()))
    );
    world.gop(1, 10);
    assert_eq!(stream.wait_for_picture(LIMIT).await, Ok(()));
}

#[tokio::test]
async fn sound_leaves_with_the_next_picture_or_when_it_has_waited_long_enough() {
    let clock = Clock::manual(Clock::system().now());
    let hub = Hub::new(Config::default(), clock.clone(), Tasks::new());
    let mut publisher = hub.publish(CameraId::from(Uuid::from_u128(1)));
    publisher.start_session(testing::tracks_with_sound());
    let progress = publisher.stream().progress();
    let told = || progress.borrow().next;
    let byte = || Bytes::from_static(&[1]);
    publisher.video(0, true, byte());
    publisher.wake();
    assert_eq!(told(), 1);
    publisher.audio(160, 160, byte());
    publisher.wake();
    assert_eq!(told(), 1, "sound waits");
    publisher.video(3600, false, byte());
    publisher.wake();
    assert_eq!(told(), 3, "and leaves with the picture");
    publisher.audio(320, 160, byte());
    publisher.wake();
    clock.advance(Duration::from_millis(41));
    publisher.audio(480, 160, byte());
    publisher.wake();
    assert_eq!(told(), 5, "no picture came");
}
