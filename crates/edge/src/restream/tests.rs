//! Pushes to a target in the same process.

mod lured;
mod target;

use std::time::Duration;

use headworks_rtmp::MediaKind;
use headworks_types::{
    CameraId, RestreamAudio, RestreamId, RestreamSigning, RestreamVideo, Secret, Transport,
    edge::{Role, STRICT_STOP, SlotState},
};
use tokio::time::timeout;
use url::Url;
use uuid::Uuid;

use super::*;
use crate::{
    hub::{self, Publisher, Reader, Sound, testing},
    outbound,
};
use failure::Failure;
use source::{Copied, Rebase};
use target::{Came, Target};

const SOON: Duration = Duration::from_secs(20);

fn camera() -> CameraId {
    CameraId::from(Uuid::from_u128(1))
}

fn key() -> SlotKey {
    SlotKey {
        camera_id: camera(),
        role: Role::Restream,
        ordinal: 0,
    }
}

fn job(url: Url) -> Job {
    Job {
        key: key(),
        epoch: 1,
        camera_name: "gate".to_owned(),
        work: Box::new(RestreamWork {
            id: RestreamId::from(Uuid::nil()),
            name: "target".to_owned(),
            generation: 1,
            url,
            transport: Transport::Tcp,
            tls_verify: true,
            credentials: None,
            stream_key: None,
            signing: RestreamSigning::None,
            video: RestreamVideo::Copy,
            audio: RestreamAudio::Copy,
            outbound_allow: Vec::new(),
        }),
    }
}

/// Pushes of one camera, whose pictures come when the test says so.
struct World {
    tasks: Tasks,
    /// The fence's time; everything else goes by the real one.
    clock: Clock,
    restreams: Restreams,
    camera: Publisher,
    pictures: i64,
}

impl World {
    fn new() -> Self {
        let clock = Clock::manual(chrono::DateTime::UNIX_EPOCH);
        Self::with(clock, hub::Config::default(), &Config::default())
    }

    fn with(clock: Clock, hub: hub::Config, config: &Config) -> Self {
        let config = Config {
            outbound: outbound::testing(),
            ..config.clone()
        };
        Self::just(clock, hub, config)
    }

    /// With other words about where it may connect to.
    fn through(outbound: outbound::Outbound) -> Self {
        let clock = Clock::manual(chrono::DateTime::UNIX_EPOCH);
        let config = Config {
            outbound,
            ..Config::default()
        };
        Self::just(clock, hub::Config::default(), config)
    }

    fn just(clock: Clock, hub: hub::Config, config: Config) -> Self {
        let tasks = Tasks::new();
        let hub = Hub::new(hub, clock.clone(), tasks.clone());
        let mut camera = hub.publish(camera());
        camera.start_session(testing::tracks());
        let config = Config {
            retry_min: Duration::from_millis(10),
            retry_max: Duration::from_millis(10),
            ..config
        };
        let ffmpeg = Ffmpeg::new(crate::ffmpeg::Config::default(), tasks.clone());
        Self {
            restreams: Restreams::new(config, hub, ffmpeg, clock.clone(), tasks.clone()),
            tasks,
            clock,
            camera,
            pictures: 0,
        }
    }

    /// One with the right to push, and a camera that gives pictures.
    fn open() -> Self {
        let mut world = Self::new();
        world.grant();
        world.picture();
        world
    }

    fn grant(&self) {
        let fence = self.restreams.fence();
        fence.applied(1);
        fence.renewed(self.clock.boottime(), 1);
    }

    /// The camera sends a picture; every fourth can be started with.
    fn picture(&mut self) {
        self.picture_of(500);
    }

    fn picture_of(&mut self, size: usize) {
        let key = self.pictures % 4 == 0;
        let payload = testing::picture(0, key, size).payload;
        self.camera.video(self.pictures * 3600, key, payload);
        self.camera.stream().set_status(SlotState::Live, "live");
        self.camera.wake();
        self.pictures += 1;
    }

    /// Lets time pass on the clock and on timers, which also go on by themselves. The right to push
    /// is confirmed meanwhile.
    async fn pass_5_seconds(&mut self) {
        let by = Duration::from_secs(5);
        self.clock.advance(by);
        self.grant();
        tokio::time::pause();
        tokio::time::advance(by).await;
        tokio::time::resume();
        self.picture();
    }

    /// The same, and a picture comes through.
    async fn pass_5_seconds_to(&mut self, connection: &mut target::Connection) {
        let before = connection.media.len();
        self.pass_5_seconds().await;
        connection.wait_for_media(before + 1).await;
    }

    fn report(&self) -> SlotReport {
        self.restreams.reports().pop().expect("there is one")
    }

    /// Waits until the report is as wanted.
    async fn wait_for(&self, wanted: impl Fn(&SlotReport) -> bool) -> SlotReport {
        let mut look = tokio::time::interval(Duration::from_millis(5));
        let wait = async {
            loop {
                look.tick().await;
                let report = self.report();
                if wanted(&report) {
                    return report;
                }
            }
        };
        let found = timeout(SOON, wait).await;
        found.unwrap_or_else(|_| panic!("{:?}", self.report()))
    }

    async fn wait_for_state(&self, state: SlotState) -> SlotReport {
        self.wait_for(|report| report.state == state).await
    }

    async fn stop(self) {
        self.tasks.shutdown(Duration::from_secs(10)).await;
    }
}

#[tokio::test]
async fn a_target_gets_the_stream_from_a_key_frame_on() {
    let mut world = World::open();
    world.picture();
    let target = Target::start().await;
    world.restreams.start(job(target.url()));
    let mut publisher = target.publisher().await;
    assert_eq!(publisher.name, "gate?");
    publisher.wait_for_media(4).await;
    // Metadata, parameters, and the buffered pictures.
    let [data, video] = [MediaKind::Data, MediaKind::Video];
    assert_eq!(publisher.media, [data, video, video, video]);
    assert_eq!(publisher.times, [0, 0, 0, 40]);
    world.picture();
    publisher.wait_for_media(5).await;
    let report = world.wait_for_state(SlotState::Live).await;
    let stream = world.camera.stream();
    assert!(stream.is_wanted() && stream.viewers() == 0, "nobody looks");
    let pushed = report.restream.expect("is a push");
    assert!(pushed.bytes_sent > 1000, "{pushed:?}");
    assert_eq!((pushed.attempts, pushed.last_error), (1, None));
    assert!(pushed.connected_at.is_some());

    world.restreams.stop(key());
    world.restreams.stopped().await;
    assert_eq!(publisher.end().await, Came::Closed, "in order");
    assert_eq!(world.restreams.reports(), vec![]);
    world.stop().await;
}

#[tokio::test]
async fn only_what_matters_connects_anew() {
    let world = World::open();
    let target = Target::start().await;
    let mut job = job(target.url());
    world.restreams.start(job.clone());
    let mut first = target.publisher().await;
    first.wait_for_media(3).await;
    world.wait_for_state(SlotState::Live).await;

    job.work.name = "other".to_owned();
    job.epoch = 2;
    world.restreams.start(job.clone());
    world.wait_for(|report| report.epoch == 2).await;
    let restream = world.report().restream.expect("is a push");
    assert_eq!(restream.attempts, 0, "of this assignment");
    assert!(restream.connected_at.is_some(), "the connection goes on");

    job.work.generation = 2;
    world.restreams.start(job);
    assert_eq!(first.end().await, Came::Closed);
    let mut second = target.publisher().await;
    second.wait_for_media(3).await;
    let report = world.wait_for_state(SlotState::Live).await;
    assert_eq!(report.restream.expect("is a push").attempts, 1);
    assert!(target.is_alone(), "once");
    world.stop().await;
}

#[tokio::test]
async fn it_waits_for_the_camera() {
    let mut world = World::new();
    world.grant();
    let message = "no video for 10 s";
    world.camera.stream().set_status(SlotState::Failed, message);
    let target = Target::start().await;
    world.restreams.start(job(target.url()));
    let report = world
        .wait_for(|report| report.message.contains(message))
        .await;
    assert_eq!(report.state, SlotState::Idle);
    assert!(report.message.starts_with("the camera gives no picture: "));
    assert!(target.is_alone());
    world.picture();
    target.publisher().await.wait_for_media(3).await;
    world.stop().await;
}

#[tokio::test]
async fn a_refusal_is_told_without_secrets() {
    for in_url in [false, true] {
        let world = World::open();
        let target = Target::start().await;
        let mut job = job(target.url().join("refused").expect("is a URL"));
        if in_url {
            job.work.url.set_query(Some("token=top-secret"));
        } else {
            job.work.signing = RestreamSigning::Query {
                query: Some(Secret::new("token=top-secret")),
            };
        }
        world.restreams.start(job);
        let publisher = target.publisher().await;
        assert_eq!(publisher.name, "refused?token=top-secret");
        let report = world.wait_for_state(SlotState::Failed).await;
        assert!(
            report
                .message
                .starts_with("target refuses the stream: no stream refused?"),
            "{}",
            report.message
        );
        let shown = serde_json::to_string(&report).expect("is JSON");
        assert!(!shown.contains("top-secret"), "{shown}");
        world.stop().await;
    }
}

/// The time that stands in the URL, in seconds since 1970, which is when the test begins.
fn expiry(name: &str) -> i64 {
    let (_, query) = name.split_once('?').expect("has a query");
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut times = pairs.filter_map(|(name, value)| match name {
        "auth_key" => value.split('-').next()?.parse().ok(),
        "txTime" => i64::from_str_radix(value, 16).ok(),
        _ => None,
    });
    times.next().expect("has a time")
}

fn signing(scheme: &str, renew: &str) -> RestreamSigning {
    let signing = serde_json::json!({
        "type": scheme, "primary_key": "aliyuncdnexp1234", "lifetime_seconds": 600, "renew": renew,
    });
    serde_json::from_value(signing).expect("is a signing")
}

#[tokio::test]
async fn a_signed_url_is_renewed_before_it_expires() {
    for scheme in ["alibaba", "tencent"] {
        let mut world = World::open();
        let target = Target::start().await;
        let mut job = job(target.url());
        job.work.signing = signing(scheme, "reconnect_before_expiry");
        world.restreams.start(job);
        let mut first = target.publisher().await;
        first.wait_for_media(3).await;
        assert_eq!(expiry(&first.name), 600);
        while world.clock.now().timestamp() < 500 {
            world.pass_5_seconds_to(&mut first).await;
        }
        assert!(target.is_alone(), "one connection so far");
        // The rest is the tenth that it begins early, and what the test itself has taken.
        while world.clock.now().timestamp() < 540 {
            world.pass_5_seconds().await;
        }
        assert_eq!(first.end().await, Came::Closed, "in order");
        let mut second = target.publisher().await;
        second.wait_for_media(3).await;
        let now = world.clock.now().timestamp();
        assert!(now < 600, "the first is still good");
        assert_eq!(expiry(&second.name), now + 600);
        let is_shown = |report: &SlotReport| {
            let pushed = report.restream.as_ref();
            pushed.is_some_and(|pushed| pushed.url_expires_at.is_some())
        };
        let report = world.wait_for(is_shown).await;
        let pushed = report.restream.expect("is a push");
        assert_eq!((pushed.attempts, pushed.last_error), (2, None));
        let shown = pushed.url_expires_at.map(|at| at.timestamp());
        assert_eq!(shown, Some(now + 600));
        world.stop().await;
    }
}

#[tokio::test]
async fn a_url_that_needs_no_renewal_outlives_its_time() {
    let mut world = World::open();
    let target = Target::start().await;
    let mut job = job(target.url());
    job.work.signing = signing("tencent", "never");
    world.restreams.start(job);
    let mut only = target.publisher().await;
    only.wait_for_media(3).await;
    while world.clock.now().timestamp() <= 600 {
        world.pass_5_seconds_to(&mut only).await;
    }
    assert!(target.is_alone());
    assert_eq!(world.report().restream.expect("is a push").attempts, 1);
    world.stop().await;
}

#[tokio::test]
async fn nothing_is_connected_to_without_the_right() {
    let mut world = World::new();
    world.picture();
    let target = Target::start().await;
    world.restreams.start(job(target.url()));
    let waits = |report: &SlotReport| report.message.contains("until a controller");
    world.wait_for(waits).await;
    assert!(target.is_alone());
    world.grant();
    target.publisher().await.wait_for_media(3).await;
    world.stop().await;
}

/// As after SIGSTOP: time has passed, and nothing in the process has noticed when a picture comes.
#[tokio::test]
async fn a_process_that_was_frozen_sends_nothing_more() {
    let mut world = World::open();
    let target = Target::start().await;
    world.restreams.start(job(target.url()));
    let mut publisher = target.publisher().await;
    publisher.wait_for_media(3).await;
    world.wait_for_state(SlotState::Live).await;
    world.clock.advance(STRICT_STOP);
    for _ in 0..8 {
        world.picture();
    }
    assert_eq!(publisher.end().await, Came::Reset, "cut off");
    assert_eq!(publisher.media.len(), 3, "not one message more");
    assert!(target.is_alone());

    world.grant();
    target.publisher().await.wait_for_media(3).await;
    world.stop().await;
}

#[tokio::test]
async fn a_renewal_that_comes_too_late_cuts_off_what_runs() {
    let world = World::open();
    let target = Target::start().await;
    world.restreams.start(job(target.url()));
    let mut publisher = target.publisher().await;
    publisher.wait_for_media(3).await;
    world.clock.advance(STRICT_STOP);
    // This grant names what is not applied here: somebody else may push by now.
    world.restreams.fence().renewed(world.clock.boottime(), 2);
    assert_eq!(publisher.end().await, Came::Reset);
    let report = world.wait_for_state(SlotState::Failed).await;
    assert!(
        report.message.starts_with("stopped: no controller"),
        "{}",
        report.message
    );
    // That stays, until it may push again.
    tokio::task::yield_now().await;
    assert_eq!(world.report(), report);
    assert!(target.is_alone());
    world.stop().await;
}

#[tokio::test]
async fn what_has_stopped_is_gone_before_it_is_said_to_have() {
    let world = World::open();
    // It accepts, and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let silent = silent.expect("a free port");
    let address = silent.local_addr().expect("is bound");
    let url = format!("rtmp://{address}/live/gate");
    world.restreams.start(job(url.parse().expect("parses")));
    let (stream, _) = timeout(SOON, silent.accept())
        .await
        .expect("it comes")
        .expect("accepts");
    world.restreams.stop(key());
    timeout(SOON, world.restreams.stopped())
        .await
        .expect("it stops");
    let mut buffer = vec![0; 64 << 10];
    let end = loop {
        match stream.try_read(&mut buffer) {
            Ok(count) if count > 0 => {}
            other => break other,
        }
    };
    let kind = end.as_ref().map_err(std::io::Error::kind);
    assert_ne!(kind, Err(std::io::ErrorKind::WouldBlock), "{end:?}");
    world.stop().await;
}

#[tokio::test]
async fn a_target_that_takes_nothing_is_given_up() {
    let config = Config {
        stall: Duration::from_secs(2),
        ..Config::default()
    };
    let mut world = World::with(Clock::system(), hub::Config::default(), &config);
    world.grant();
    world.picture();
    let target = Target::start().await;
    world.restreams.start(job(target.url()));
    let mut publisher = target.publisher().await;
    publisher.wait_for_media(3).await;
    // More than sockets hold.
    for _ in 0..24 {
        world.picture_of(1 << 20);
    }
    let report = world.wait_for_state(SlotState::Failed).await;
    assert_eq!(report.message, "target takes nothing for 2 s");
    world.stop().await;
}

#[tokio::test]
async fn a_push_that_falls_behind_too_often_is_given_up() {
    let hub = hub::Config {
        buffer_frames: 8,
        ..hub::Config::default()
    };
    let clock = Clock::system();
    let mut world = World::with(clock.clone(), hub, &Config::default());
    world.picture();
    let stream = Arc::clone(world.camera.stream());
    let start = stream.start().expect("has a key frame");
    let reader = Reader::new(stream, Sound::Original, &start);
    let mut copied = Copied::new(reader, Sound::Original, 1, clock);
    let mut time = Rebase::default();
    let first = copied.next().await.expect("is good").expect("is there");
    assert_eq!(time.frame(&first).map(|frame| frame.dts), Some(0));
    for outcome in [Ok(true), Err(Failure::TooSlow(2))] {
        (0..20).for_each(|_| world.picture());
        let next = copied.next().await;
        if let Ok(Some(picked)) = &next {
            let frame = time.frame(picked).expect("is later");
            assert!(frame.key && frame.dts > 0, "{frame:?}");
        }
        assert_eq!(next.map(|picked| picked.is_some()), outcome);
    }
    world.stop().await;
}
