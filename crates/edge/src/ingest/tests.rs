//! Ingests of real cameras, judged by FFmpeg at the end of the whole media path.

mod cost;
mod file;
mod hls;
mod leave;
mod lured;

use std::time::Duration;

use headworks_bootstrap::{Clock, Tasks, TrustedProxies};
use headworks_testkit::{
    Audio, Camera, CameraOptions, Login, Player, Scheme, Seen, Video, judge, wait_until,
};
use headworks_types::{
    CameraId, CameraSource, Credentials, Secret, StartMode, Transport,
    edge::{IngestWork, Role, SlotKey, SlotReport, SlotState},
};
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::*;
use crate::{
    access::sign::Issuer, audit::Audit, ffmpeg, http, hub, outbound, viewing::Viewing,
    visitors::Visitors,
};

const LIMIT: Duration = Duration::from_secs(30);

struct World {
    runtime: Runtime,
    ingests: Ingests,
    base: String,
    issuer: Issuer,
    tasks: Tasks,
}

impl World {
    fn new() -> Self {
        Self::with(Self::config())
    }

    fn config() -> Config {
        Config {
            retry_min: Duration::from_millis(50),
            retry_max: Duration::from_millis(200),
            idle: Duration::from_millis(200),
            ..Config::default()
        }
    }

    /// With other words about where it may connect to.
    fn through(outbound: outbound::Outbound) -> Self {
        let config = Config {
            outbound,
            ..Self::config()
        };
        Self::just(Runtime::new().expect("starts"), config)
    }

    fn with(config: Config) -> Self {
        Self::on(Runtime::new().expect("starts"), config)
    }

    /// This machine is open to it.
    fn on(runtime: Runtime, config: Config) -> Self {
        let config = Config {
            outbound: outbound::testing(),
            ..config
        };
        Self::just(runtime, config)
    }

    fn just(runtime: Runtime, config: Config) -> Self {
        let (clock, tasks) = (Clock::system(), Tasks::new());
        let entered = runtime.enter();
        let hub = Hub::new(hub::Config::default(), clock.clone(), tasks.clone());
        let ingests = Ingests::new(
            config,
            hub.clone(),
            Audit::new(clock.clone()).0,
            clock.clone(),
            tasks.clone(),
        );
        let issuer = Issuer::new("k");
        let state = Viewing::testing(hub, issuer.access(clock.clone()));
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .expect("binds");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        let visitors = Visitors::new(100, TrustedProxies::default(), Clock::system());
        let server = http::Server::testing(http::router(state), visitors);
        server.serve(listener, None, &tasks);
        drop(entered);
        Self {
            runtime,
            ingests,
            base,
            issuer,
            tasks,
        }
    }

    fn start(&self, slot: Job) {
        let _entered = self.runtime.enter();
        self.ingests.start(slot);
    }

    fn report(&self) -> SlotReport {
        self.ingests.reports().pop().expect("one slot")
    }

    fn wait_for(&self, state: SlotState) -> SlotReport {
        let found = wait_until("the state", LIMIT, || {
            let report = self.report();
            (report.state == state).then_some(report)
        });
        found.unwrap_or_else(|error| panic!("{error:#}: {:?}", self.report()))
    }

    fn url(&self, file: &str) -> String {
        let token = self.issuer.token(camera_id(), Clock::system().now());
        format!("{}/live/{}/{file}?token={token}", self.base, camera_id())
    }

    fn stop(self) {
        self.runtime
            .block_on(self.tasks.shutdown(Duration::from_secs(5)));
    }
}

fn camera_id() -> CameraId {
    CameraId::from(Uuid::from_u128(1))
}

fn slot(url: &str, login: Option<&Login>) -> Job {
    Job {
        key: SlotKey {
            camera_id: camera_id(),
            role: Role::Ingest,
            ordinal: 0,
        },
        epoch: 1,
        camera_name: "gate".to_owned(),
        work: IngestWork {
            source: CameraSource::pull(url.parse().expect("a URL")),
            credentials: login.map(|login| Credentials {
                username: login.username.clone(),
                password: Secret::new(login.password.clone()),
            }),
            start: StartMode::Always,
            exclusive: false,
            stream_keys: Vec::new(),
            outbound_allow: Vec::new(),
        },
    }
}

fn over_udp(mut slot: Job) -> Job {
    if let CameraSource::Pull { transport, .. } = &mut slot.work.source {
        *transport = Transport::Udp;
    }
    slot
}

fn clean(seen: &Seen, codecs: &[&str]) {
    assert_eq!(seen.codecs(), codecs, "{seen:?}");
    assert_eq!(seen.errors, Vec::<String>::new());
    assert!(seen.pictures() >= 20, "{seen:?}");
}

#[test]
fn h264_and_aac_with_a_digest_password_play_as_flv_and_hls() {
    let camera = Camera::start(CameraOptions {
        audio: Audio::Aac,
        login: Login::digest("adm@in", "p@ss:w/rd%"),
        ..CameraOptions::default()
    })
    .expect("starts");
    let world = World::new();
    world.start(slot(&camera.url(), camera.login()));
    let report = world.wait_for(SlotState::Live);
    assert_eq!(report.message, "H.264 320x240, AAC");
    assert_eq!(report.tracks[0].width, Some(320));
    for file in ["stream.flv", "stream.ts", "index.m3u8"] {
        clean(
            &judge::decode(&world.url(file), 3).expect("decodes"),
            &["h264", "aac"],
        );
    }
    assert_eq!(camera.playing(), 1, "one connection serves all viewers");
    world.stop();
}

#[test]
fn h265_and_g711_play_as_enhanced_flv_ts_and_hls_with_aac() {
    let camera = Camera::start(CameraOptions {
        video: Video::H265,
        audio: Audio::G711a,
        login: Some(Login {
            scheme: Scheme::Basic,
            username: "root".to_owned(),
            password: "p@ss:w/rd".to_owned(),
        }),
        ..CameraOptions::default()
    })
    .expect("starts");
    let world = World::new();
    world.start(slot(&camera.url(), camera.login()));
    world.wait_for(SlotState::Live);
    let flv = judge::decode_modern(&world.url("stream.flv"), 3).expect("decodes");
    clean(&flv, &["hevc", "aac"]);
    let ts = judge::decode(&world.url("stream.ts"), 3).expect("decodes");
    clean(&ts, &["hevc", "aac"]);
    let hls = judge::decode(&world.url("index.m3u8"), 3).expect("decodes");
    clean(&hls, &["hevc", "aac"]);
    world.stop();
}

#[test]
fn b_frames_over_udp_come_out_clean() {
    let camera = Camera::start(CameraOptions {
        b_frames: 2,
        audio: Audio::G711u,
        key_frame_every: 30,
        ..CameraOptions::default()
    })
    .expect("starts");
    let world = World::new();
    world.start(over_udp(slot(&camera.url(), None)));
    world.wait_for(SlotState::Live);
    let flv = judge::decode(&world.url("stream.flv"), 4).expect("decodes");
    clean(&flv, &["h264", "aac"]);
    let ts = judge::decode(&world.url("stream.ts"), 4).expect("decodes");
    clean(&ts, &["h264", "aac"]);
    let hls = judge::decode(&world.url("index.m3u8"), 4).expect("decodes");
    clean(&hls, &["h264", "aac"]);
    world.stop();
}

#[test]
fn a_camera_that_refuses_one_transport_is_asked_for_the_other() {
    let camera = |only| {
        let transport = Some(only);
        let camera = Camera::start(CameraOptions {
            transport,
            ..CameraOptions::default()
        });
        camera.expect("starts")
    };
    let (tcp, udp) = (camera("TCP"), camera("UDP"));
    let cases = [
        (
            over_udp(slot(&tcp.url(), None)),
            "H.264 320x240; over TCP, since the camera refuses UDP",
        ),
        (
            slot(&udp.url(), None),
            "H.264 320x240; over UDP, since the camera refuses TCP",
        ),
    ];
    for (slot, words) in cases {
        let world = World::new();
        world.start(slot);
        assert_eq!(world.wait_for(SlotState::Live).message, words);
        world.stop();
    }
}

#[test]
fn a_viewer_stays_when_the_camera_is_killed_and_comes_back() {
    let mut camera = Camera::start(CameraOptions::default()).expect("starts");
    let world = World::new();
    world.start(slot(&camera.url(), None));
    world.wait_for(SlotState::Live);
    let mut player = Player::start(&world.url("stream.flv")).expect("starts");
    player.wait_for_pictures(10, LIMIT).expect("plays");
    camera.kill();
    let report = world.wait_for(SlotState::Failed);
    assert!(
        ["camera closed the connection", "connection refused"].contains(&&*report.message),
        "{}",
        report.message
    );
    camera.restart().expect("starts");
    world.wait_for(SlotState::Live);
    let seen = player.wait_for_pictures(30, LIMIT).expect("goes on");
    assert_eq!(seen.errors, Vec::<String>::new());
    world.stop();
}

#[test]
fn a_frozen_camera_is_noticed_by_its_pictures() {
    let mut camera = Camera::start(CameraOptions::default()).expect("starts");
    let world = World::with(Config {
        video_timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(1),
        retry_min: Duration::from_millis(50),
        retry_max: Duration::from_millis(100),
        ..Config::default()
    });
    world.start(slot(&camera.url(), None));
    world.wait_for(SlotState::Live);
    camera.freeze();
    assert_eq!(
        world.wait_for(SlotState::Failed).message,
        "no video for 1 s"
    );
    wait_until("the new attempt fails too", LIMIT, || {
        (world.report().message == "camera does not answer within 1 s").then_some(())
    })
    .expect("in time");
    camera.thaw();
    world.wait_for(SlotState::Live);
    world.stop();
}

#[test]
fn what_is_wrong_is_said_in_words() {
    let camera = Camera::start(CameraOptions {
        login: Login::digest("root", "secret"),
        ..CameraOptions::default()
    })
    .expect("starts");
    let mjpeg = Camera::start(CameraOptions {
        video: Video::Mjpeg,
        ..CameraOptions::default()
    })
    .expect("starts");
    let wrong = Login::digest("root", "guess");
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        listener.local_addr().expect("bound").port()
    };
    let cases = [
        (
            slot(&camera.url(), wrong.as_ref()),
            "401 from camera: wrong user name or password",
        ),
        (
            slot(&camera.url(), None),
            "401 from camera: it asks for a user name and password",
        ),
        (
            slot(&camera.url().replace("/live", "/dead"), camera.login()),
            "404 from camera: no such path",
        ),
        (slot(&mjpeg.url(), None), "unsupported codec mjpeg"),
        (
            slot(&format!("rtsp://127.0.0.1:{nobody}/"), None),
            "connection refused",
        ),
        (
            slot("rtsp://camera.invalid/live", None),
            "host name does not resolve",
        ),
    ];
    for (slot, words) in cases {
        let world = World::new();
        world.start(slot);
        assert_eq!(world.wait_for(SlotState::Failed).message, words);
        let answer = headworks_testkit::http::get(&world.url("stream.flv")).expect("answers");
        assert_eq!(answer.status, 503);
        let problem = answer.json().expect("a problem");
        assert_eq!(problem["detail"], words);
        world.stop();
    }
}

#[test]
fn an_on_demand_camera_is_pulled_while_somebody_watches() {
    let camera = Camera::start(CameraOptions::default()).expect("starts");
    let world = World::new();
    let mut job = slot(&camera.url(), None);
    job.work.start = StartMode::OnDemand;
    world.start(job);
    world.wait_for(SlotState::Idle);
    assert_eq!(camera.plays(), 0);
    let seen = judge::decode(&world.url("stream.flv"), 2).expect("decodes");
    clean(&seen, &["h264"]);
    world.wait_for(SlotState::Idle);
    camera.wait_for_playing(0, LIMIT).expect("it is left alone");
    world.stop();
}

#[test]
fn an_update_asks_the_camera_anew_only_if_that_matters() {
    let camera = Camera::start(CameraOptions::default()).expect("starts");
    let other = Camera::start(CameraOptions::default()).expect("starts");
    let world = World::new();
    let first = slot(&camera.url(), None);
    world.start(first.clone());
    world.wait_for(SlotState::Live);
    let mut player = Player::start(&world.url("stream.flv")).expect("starts");
    player.wait_for_pictures(5, LIMIT).expect("plays");
    world.ingests.start(Job {
        epoch: 2,
        camera_name: "door".to_owned(),
        ..first.clone()
    });
    player.wait_for_pictures(20, LIMIT).expect("plays on");
    assert_eq!((camera.plays(), world.report().epoch), (1, 2));
    world.ingests.start(slot(&other.url(), None));
    other.wait_for_playing(1, LIMIT).expect("it is asked");
    player.wait_for_pictures(20, LIMIT).expect("plays on");
    world.ingests.stop(first.key);
    player.wait_for(LIMIT, |seen| seen.ended).expect("ends");
    assert!(world.ingests.reports().is_empty());
    world.stop();
}

#[test]
fn aac_is_made_while_somebody_needs_it_and_by_another_ffmpeg_if_one_dies() {
    let camera = Camera::start(CameraOptions {
        audio: Audio::G711a,
        ..CameraOptions::default()
    })
    .expect("starts");
    let directory = tempfile::tempdir().expect("makes one");
    // By its own name it is found among the processes.
    let program = directory.path().join("encoder");
    std::os::unix::fs::symlink("/usr/bin/ffmpeg", &program).expect("links");
    let world = World::with(Config {
        ffmpeg: ffmpeg::Config {
            program: program.clone(),
            idle: Duration::from_millis(500),
        },
        ..Config::default()
    });
    world.start(slot(&camera.url(), None));
    world.wait_for(SlotState::Live);
    assert_eq!(processes(&program), Vec::<i32>::new());
    let mut player = Player::start(&world.url("stream.flv")).expect("starts");
    let sounds = |seen: &Seen| seen.tracks.get(1).map_or(0, |sound| sound.frames);
    let seen = player.wait_for(LIMIT, |seen| sounds(seen) > 40);
    assert_eq!(seen.expect("hears").codecs(), ["h264", "aac"]);
    let first = processes(&program);
    assert_eq!(first.len(), 1);
    let killed = std::process::Command::new("kill")
        .args(["-9", &first[0].to_string()])
        .status();
    assert!(killed.expect("runs").success());
    let before = sounds(&player.seen());
    let seen = player.wait_for(LIMIT, |seen| sounds(seen) > before + 100);
    assert_eq!(seen.expect("hears on").errors, Vec::<String>::new());
    assert_ne!(processes(&program), first);
    drop(player);
    wait_until("nobody encodes", LIMIT, || {
        processes(&program).is_empty().then_some(())
    })
    .expect("in time");
    world.stop();
}

#[test]
fn without_ffmpeg_there_are_pictures_and_words() {
    let camera = Camera::start(CameraOptions {
        audio: Audio::G711a,
        ..CameraOptions::default()
    })
    .expect("starts");
    let world = World::with(Config {
        ffmpeg: ffmpeg::Config {
            program: "/nowhere/ffmpeg".into(),
            ..ffmpeg::Config::default()
        },
        ..Config::default()
    });
    world.start(slot(&camera.url(), None));
    world.wait_for(SlotState::Live);
    // In HLS the place of the sound is kept, by silence: a track cannot come later.
    let played: [(_, &[_]); 2] = [("stream.flv", &["h264"]), ("index.m3u8", &["h264", "aac"])];
    for (file, codecs) in played {
        let seen = judge::decode(&world.url(file), 3).expect("decodes");
        clean(&seen, codecs);
    }
    let message = world.report().message;
    let words = "no sound but by RTSP: FFmpeg does not start: No such file or directory";
    assert!(message.contains(words), "{message}");
    world.stop();
}

/// The processes that run `program`.
fn processes(program: &std::path::Path) -> Vec<i32> {
    let all = std::fs::read_dir("/proc").expect("is there").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).next() == Some(program.as_os_str().as_encoded_bytes())
    })
    .collect()
}
