//! Low-Latency HLS as players ask for it, in virtual time.

use std::future::Future;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode},
};
use futures::{FutureExt as _, future::join_all};
use headworks_bootstrap::{Clock, Tasks};
use headworks_media::Tracks;
use headworks_types::{CameraId, edge::SlotState};
use tower::ServiceExt as _;
use uuid::Uuid;

use super::*;
use crate::{
    access::sign::Issuer,
    http::{router, server::ClientAddress},
    hub::{
        self, Hub, Publisher,
        testing::{aac, tracks, tracks_with_sound},
    },
};

/// What 25 pictures a second make of parts of 250 ms: six each, eight and a bit in a segment of
/// two seconds.
const PICTURES: i64 = 6;

struct World {
    router: Router,
    clock: Clock,
    publisher: Publisher,
    camera: CameraId,
    token: String,
    base: String,
    /// How many pictures there were.
    pictures: i64,
    _tasks: Tasks,
}

impl World {
    /// One segment and two parts of the next can be fetched.
    async fn new() -> Self {
        Self::with(hub::Config::default(), 50 + 2 * PICTURES + 1).await
    }

    async fn with(config: hub::Config, pictures: i64) -> Self {
        Self::of(tracks(), config, pictures).await
    }

    async fn of(tracks: Arc<Tracks>, config: hub::Config, pictures: i64) -> Self {
        let (clock, tasks) = (Clock::system(), Tasks::new());
        let hub = Hub::new(config, clock.clone(), tasks.clone());
        let camera = CameraId::from(Uuid::from_u128(1));
        let mut publisher = hub.publish(camera);
        publisher.start_session(tracks);
        let issuer = Issuer::new("k");
        let state = Viewing::testing(hub, issuer.access(clock.clone()));
        let mut world = Self {
            router: router(state),
            publisher,
            camera,
            token: issuer.token(camera, clock.now()),
            clock,
            base: String::new(),
            pictures: 0,
            _tasks: tasks,
        };
        world.play(pictures);
        let index = world.index("").await.text;
        let child = index.lines().last().expect("a child");
        let base = child.strip_suffix("media.m3u8").expect("a media playlist");
        world.base = format!("/live/{camera}/{base}");
        world
    }

    /// 25 pictures a second, a key frame every two seconds.
    fn play(&mut self, count: i64) {
        for _ in 0..count {
            let payload = Bytes::copy_from_slice(&self.pictures.to_be_bytes());
            let key = self.pictures % 50 == 0;
            self.publisher.video(self.pictures * 3600, key, payload);
            self.pictures += 1;
        }
        let stream = self.publisher.stream();
        stream.set_status(SlotState::Live, "test");
        self.publisher.wake();
    }

    async fn index(&self, query: &str) -> Answer {
        let uri = format!(
            "/live/{}/index.m3u8?token={}{query}",
            self.camera, self.token
        );
        self.send(Method::GET, &uri, None).await
    }

    fn get(&self, file: &str) -> impl Future<Output = Answer> + use<> {
        self.send(Method::GET, &format!("{}{file}", self.base), None)
    }

    fn send(
        &self,
        method: Method,
        uri: &str,
        range: Option<&str>,
    ) -> impl Future<Output = Answer> + use<> {
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(range) = range {
            request = request.header(header::RANGE, range);
        }
        let peer = ClientAddress([127, 0, 0, 1].into());
        let request = request.extension(peer).body(Body::empty());
        let request = request.expect("a request");
        let answer = self.router.clone().oneshot(request);
        async move {
            let (head, body) = answer.await.expect("answers").into_parts();
            let body = to_bytes(body, usize::MAX).await.expect("a body");
            Answer {
                status: head.status,
                headers: head.headers,
                text: String::from_utf8_lossy(&body).into_owned(),
                body,
            }
        }
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Lets every task do what it can do now.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Starts a request that has to wait.
async fn waiting<F: Future<Output = Answer>>(request: F) -> std::pin::Pin<Box<F>> {
    let mut request = Box::pin(request);
    for _ in 0..5 {
        assert!((&mut request).now_or_never().is_none(), "it waits");
        settle().await;
    }
    request
}

#[tokio::test(start_paused = true)]
async fn a_playlist_waits_for_the_part_that_is_asked_for() {
    let mut world = World::new().await;
    let now = world.get("media.m3u8").await;
    assert_eq!(now.status, StatusCode::OK, "{}", now.text);
    assert!(now.text.ends_with("URI=\"part-1-2.m4s\"\n"), "{}", now.text);
    for there in [
        "_HLS_msn=0",
        "_HLS_msn=0&_HLS_part=3",
        "_HLS_msn=1&_HLS_part=1",
    ] {
        let answer = world.get(&format!("media.m3u8?{there}")).await;
        assert_eq!(answer.text, now.text, "{there}");
    }
    let start = world.clock.monotonic();
    let part = waiting(world.get("media.m3u8?_HLS_msn=1&_HLS_part=2")).await;
    let whole = waiting(world.get("media.m3u8?_HLS_msn=1")).await;
    world.play(PICTURES);
    settle().await;
    let answer = part.await;
    assert!(
        answer
            .text
            .contains("URI=\"part-1-2.m4s\"\n#EXT-X-PRELOAD-HINT"),
        "{}",
        answer.text
    );
    assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
    assert_eq!(answer.header(header::CONTENT_TYPE), Some(PLAYLIST));
    let whole = waiting(whole).await;
    world.play(50 - 3 * PICTURES);
    settle().await;
    assert!(whole.await.text.contains("seg-1.m4s\n"));
    assert_eq!(world.clock.monotonic(), start, "nothing is polled");
}

#[tokio::test(start_paused = true)]
async fn a_hinted_part_is_sent_when_it_is_whole() {
    let mut world = World::new().await;
    let part = waiting(world.get("part-1-2.m4s")).await;
    for missing in [
        "part-1-3.m4s",
        "part-2-0.m4s",
        "seg-1.m4s",
        "part-0-9.m4s",
        "part-1.m4s",
    ] {
        let answer = world.get(missing).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{missing}");
    }
    world.play(PICTURES);
    settle().await;
    let part = part.await;
    assert_eq!(part.status, StatusCode::OK);
    assert_eq!(part.body[4..8], *b"moof");
    let last = 50 + 3 * PICTURES - 1;
    assert!(part.body.ends_with(&last.to_be_bytes()));
    world.play(50);
    settle().await;
    let mut joined = Vec::new();
    for index in 0..9 {
        joined.extend(world.get(&format!("part-1-{index}.m4s")).await.body);
    }
    assert_eq!(joined, world.get("seg-1.m4s").await.body);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_too_much_or_nonsense_is_refused_at_once() {
    let world = World::new().await;
    for bad in [
        "_HLS_part=1",
        "_HLS_msn=3",
        "_HLS_msn=1&_HLS_part=14",
        "_HLS_msn=x",
        "_HLS_msn=18446744073709551615&_HLS_part=18446744073709551615",
    ] {
        let answer = world.get(&format!("media.m3u8?{bad}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
        assert!(
            answer.text.contains("\"code\":\"malformed\""),
            "{}",
            answer.text
        );
    }
    let forged = world.base.replace("/s/", "/s/A");
    let uri = format!("{forged}media.m3u8?_HLS_msn=1");
    let answer = world.send(Method::GET, &uri, None).await;
    assert_eq!(
        answer.status,
        StatusCode::UNAUTHORIZED,
        "before it could wait"
    );
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_after_three_target_durations() {
    let world = World::new().await;
    let start = world.clock.monotonic();
    for file in ["media.m3u8?_HLS_msn=1", "part-1-2.m4s"] {
        let answer = world.get(file).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{file}");
        assert_eq!(answer.header(header::RETRY_AFTER), Some("5"));
    }
    assert_eq!(world.clock.monotonic() - start, Duration::from_secs(2 * 6));
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_present_however_long_it_takes() {
    // Segments of ten seconds: requests may wait for thirty, and a session that asks for nothing
    // is forgotten after fifteen.
    let mut config = hub::Config {
        buffer_past: Duration::from_secs(20),
        ..hub::Config::default()
    };
    config.hls.segment = Duration::from_secs(10);
    let mut world = World::with(config, 251).await;
    let waits = waiting(world.get("media.m3u8?_HLS_msn=1")).await;
    tokio::time::advance(Duration::from_secs(25)).await;
    let waits = waiting(waits).await;
    assert_eq!(world.publisher.stream().viewers(), 1);
    world.play(250);
    settle().await;
    assert_eq!(waits.await.status, StatusCode::OK);
    tokio::time::advance(Duration::from_secs(10)).await;
    settle().await;
    assert_eq!(world.publisher.stream().viewers(), 1, "it may come again");
    tokio::time::advance(Duration::from_secs(6)).await;
    settle().await;
    assert_eq!(world.publisher.stream().viewers(), 0, "it has gone");
}

#[tokio::test(start_paused = true)]
async fn a_part_wakes_all_who_wait_and_they_share_one_playlist() {
    let mut world = World::new().await;
    let requests: Vec<_> = (0..1000)
        .map(|_| world.get("media.m3u8?_HLS_msn=1&_HLS_part=2&_HLS_skip=YES"))
        .collect();
    let mut all = Box::pin(join_all(requests));
    assert!((&mut all).now_or_never().is_none());
    world.play(PICTURES);
    settle().await;
    let answers = all.await;
    let first = &answers[0];
    assert!(
        first.text.contains("part-1-2.m4s\"\n#EXT-X-PRELOAD"),
        "{}",
        first.text
    );
    assert!(
        answers
            .iter()
            .all(|answer| answer.body.as_ptr() == first.body.as_ptr()),
        "written once"
    );
    assert_eq!(world.publisher.stream().viewers(), 1, "one session");
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_the_source_answers_with_what_follows_it() {
    let mut world = World::new().await;
    let waits = waiting(world.get("media.m3u8?_HLS_msn=1&_HLS_part=3")).await;
    world.publisher.start_session(tracks());
    world.pictures = 0;
    // The segment ends early: its last part, then the first one of the next segment.
    world.play(PICTURES + 1);
    settle().await;
    let answer = waits.await;
    assert_eq!(answer.status, StatusCode::OK);
    let (_, after) = answer.text.split_once("seg-1.m4s\n").expect("is closed");
    assert!(
        after.starts_with("#EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:"),
        "{after}"
    );
    assert!(after.contains("part-2-0.m4s"), "{after}");
}

/// Browsers cannot take a track that comes later.
#[tokio::test(start_paused = true)]
async fn sound_has_its_place_before_there_is_any() {
    let pictures = 50 + 2 * PICTURES + 1;
    let mut world = World::of(tracks_with_sound(), hub::Config::default(), pictures).await;
    let index = world.index("").await.text;
    assert!(index.contains("mp4a.40.2"), "{index}");
    let init = world.get("init-0.mp4").await.text;
    assert!(init.contains("mp4a"), "the initialization section has it");
    // Somebody else is told that there is none yet.
    let start = world.publisher.stream().start().expect("has a picture");
    assert_eq!(start.description.tracks_for(Sound::Aac).audio, None);

    world.publisher.set_aac(Some(aac()));
    for packet in 0..100 {
        let timestamp = 16_000 + packet * 160;
        let own = hub::testing::sound(0).payload;
        let stamp = world.publisher.audio(timestamp, 160, own);
        let stamp = stamp.expect("is on the time line") * 6;
        let aac = Bytes::from_static(b"not silent");
        world.publisher.aac(stamp, aac);
    }
    world.play(100);
    settle().await;
    let playlist = world.get("media.m3u8").await.text;
    assert!(!playlist.contains("DISCONTINUITY\n"), "{playlist}");
    assert_eq!(playlist.matches("EXT-X-MAP").count(), 1, "{playlist}");
    let heard = world.get("seg-1.m4s").await.text;
    assert!(heard.contains("not silent"), "the sound is in it");
    let before = world.get("seg-0.m4s").await.body;
    let silence = [0x01, 0x18, 0x20, 0x07];
    let has_silence = before.windows(4).any(|bytes| bytes == silence);
    assert!(has_silence, "silence stands where there was no sound");
}

#[tokio::test(start_paused = true)]
async fn who_waits_hears_that_the_stream_is_gone() {
    let mut world = World::new().await;
    let playlist = waiting(world.get("media.m3u8?_HLS_msn=1")).await;
    let part = waiting(world.get("part-1-2.m4s")).await;
    let hub = Hub::new(hub::Config::default(), world.clock.clone(), Tasks::new());
    drop(std::mem::replace(
        &mut world.publisher,
        hub.publish(world.camera),
    ));
    settle().await;
    assert_eq!(playlist.await.status, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(part.await.status, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test(start_paused = true)]
async fn old_players_get_plain_playlists() {
    let world = World::new().await;
    let index = world.index("&ll=0").await;
    assert!(index.text.ends_with("/media.m3u8?ll=0\n"), "{}", index.text);
    // It does not wait for what it does not know.
    let plain = world.get("media.m3u8?ll=0&_HLS_msn=1&_HLS_skip=YES").await;
    for tag in ["PART", "SERVER-CONTROL", "PRELOAD", "SKIP"] {
        assert!(!plain.text.contains(tag), "{}", plain.text);
    }
    assert!(plain.text.ends_with("seg-0.m4s\n"), "{}", plain.text);

    let mut config = hub::Config::default();
    config.hls.part = Duration::ZERO;
    let world = World::with(config, 51).await;
    let off = world.get("media.m3u8?_HLS_msn=0&_HLS_part=0").await;
    assert!(!off.text.contains("PART"), "{}", off.text);
    let answer = world.get("part-0-0.m4s").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn ranges_and_heads_are_answered() {
    let world = World::new().await;
    let uri = format!("{}seg-0.m4s", world.base);
    let whole = world.send(Method::GET, &uri, None).await;
    assert_eq!(whole.header(header::ACCEPT_RANGES), Some("bytes"));
    let length = whole.body.len();
    let part = world.send(Method::GET, &uri, Some("bytes=4-7")).await;
    assert_eq!(
        (part.status, &*part.text),
        (StatusCode::PARTIAL_CONTENT, "moof")
    );
    let place = format!("bytes 4-7/{length}");
    assert_eq!(part.header(header::CONTENT_RANGE), Some(&*place));
    assert_eq!(part.header(header::CONTENT_LENGTH), Some("4"));
    let tail = world.send(Method::GET, &uri, Some("bytes=-500")).await;
    assert_eq!(tail.body, whole.body[length - 500..]);
    let none = world.send(Method::GET, &uri, Some("bytes=99999-")).await;
    assert_eq!(none.status, StatusCode::RANGE_NOT_SATISFIABLE);
    let place = format!("bytes */{length}");
    assert_eq!(none.header(header::CONTENT_RANGE), Some(&*place));
    let head = world.send(Method::HEAD, &uri, None).await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    assert_eq!(
        head.header(header::CONTENT_LENGTH),
        Some(&*length.to_string())
    );
}
