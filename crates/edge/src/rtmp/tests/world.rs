//! An edge of one published camera in this process, and the programs that speak to it.

use std::{path::Path, process::Command, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use headworks_bootstrap::{Clock, Tasks};
use headworks_testkit::{Process, Signal, wait_until};
use headworks_types::{
    CameraId, CameraSource, OnConflict, StartMode, StreamKeyId,
    edge::{IngestWork, Role, SlotKey, SlotReport, SlotState, StreamKeyDigest},
};
use tokio::{net::TcpListener, runtime::Runtime};
use uuid::Uuid;

use crate::{
    access::sign::Issuer,
    http::{self, PlaybackState},
    hub::{self, Hub},
    ingest::{self, Ingests, Job},
    rtmp::Rtmp,
    tls::{self, Acceptor},
    visitors::Visitors,
};

pub(super) const LIMIT: Duration = Duration::from_secs(30);

pub(super) const KEY: &str = "hwsk_aaaaaaaaaaaa_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

/// Pictures with B-frames, a key frame each second.
pub(super) const H264: &[&str] = &["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2"];
pub(super) const AAC: &[&str] = &["-c:a", "aac"];

pub(super) struct World {
    pub(super) runtime: Runtime,
    pub(super) ingests: Ingests,
    pub(super) tasks: Tasks,
    http: u16,
    pub(super) rtmp: u16,
    pub(super) rtmps: u16,
    issuer: Issuer,
    _certificate: tempfile::TempDir,
}

impl World {
    /// Its camera takes [`KEY`], and the second one with it does not take over.
    pub(super) fn new() -> Self {
        let world = Self::with(2000);
        world.desire(vec![stream_key(KEY, OnConflict::Reject)]);
        world
    }

    pub(super) fn with(connections_per_address: usize) -> Self {
        Self::build(
            connections_per_address,
            ingest::Config::default().video_timeout,
        )
    }

    /// Waits for pictures for a second only.
    pub(super) fn impatient() -> Self {
        Self::build(2000, Duration::from_secs(1))
    }

    fn build(connections_per_address: usize, video_timeout: Duration) -> Self {
        let runtime = Runtime::new().expect("starts");
        let (clock, tasks) = (Clock::system(), Tasks::new());
        let entered = runtime.enter();
        let hub = Hub::new(hub::Config::default(), clock.clone(), tasks.clone());
        let config = ingest::Config {
            retry_min: Duration::from_millis(50),
            retry_max: Duration::from_millis(200),
            video_timeout,
            ..ingest::Config::default()
        };
        let ingests = Ingests::new(config, hub.clone(), clock.clone(), tasks.clone());
        let issuer = Issuer::new("k");
        let access = issuer.access(clock.clone());
        let listen = || {
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
            let listener = listener.expect("binds");
            let port = listener.local_addr().expect("bound").port();
            (listener, port)
        };
        let (listener, http) = listen();
        let state = PlaybackState::new(hub.clone(), access.clone(), clock.clone());
        http::serve(listener, http::router(state), &tasks);
        let served = Rtmp::new(
            hub,
            ingests.clone(),
            access,
            Visitors::new(connections_per_address),
            clock,
            tasks.clone(),
        );
        let (listener, rtmp) = listen();
        served.serve(listener, None);
        let (listener, rtmps) = listen();
        let (certificate, acceptor) = acceptor(&tasks);
        served.serve(listener, Some(acceptor));
        drop(entered);
        Self {
            runtime,
            ingests,
            tasks,
            http,
            rtmp,
            rtmps,
            issuer,
            _certificate: certificate,
        }
    }

    /// Makes the camera a published one with these keys.
    pub(super) fn desire(&self, stream_keys: Vec<StreamKeyDigest>) {
        self.start(CameraSource::Publish, stream_keys);
    }

    pub(super) fn start(&self, source: CameraSource, stream_keys: Vec<StreamKeyDigest>) {
        let _entered = self.runtime.enter();
        self.ingests.start(Job {
            key: slot_key(),
            epoch: 1,
            camera_name: "gate".to_owned(),
            work: IngestWork {
                source,
                credentials: None,
                start: StartMode::Always,
                stream_keys,
            },
        });
    }

    pub(super) fn report(&self) -> SlotReport {
        self.ingests.reports().pop().expect("one slot")
    }

    pub(super) fn wait_for(&self, what: &str, done: impl Fn(&SlotReport) -> bool) -> SlotReport {
        let found = wait_until(what, LIMIT, || {
            let report = self.report();
            done(&report).then_some(report)
        });
        found.unwrap_or_else(|error| panic!("{error:#}: {:?}", self.report()))
    }

    /// Waits for the pictures of a program that publishes.
    pub(super) fn wait_for_live(&self, publisher: &mut Process) -> SlotReport {
        let found = wait_until("pictures", LIMIT, || {
            let report = self.report();
            let is_over = report.state == SlotState::Live || publisher.try_wait().is_some();
            is_over.then_some(report)
        });
        match found {
            Ok(report) if report.state == SlotState::Live => report,
            _ => panic!("no pictures: {:?}\n{}", self.report(), publisher.tail()),
        }
    }

    /// `rtmp://…/live/<camera>?key=…`
    pub(super) fn publish_url(&self, scheme: &str) -> String {
        self.url(scheme, &format!("?key={KEY}"))
    }

    /// `rtmp://…/live/<camera>?token=…`
    pub(super) fn play_url(&self, scheme: &str) -> String {
        self.url(scheme, &format!("?token={}", self.token()))
    }

    pub(super) fn url(&self, scheme: &str, rest: &str) -> String {
        let port = if scheme.ends_with('s') {
            self.rtmps
        } else {
            self.rtmp
        };
        format!("{scheme}://127.0.0.1:{port}/live/{}{rest}", camera())
    }

    pub(super) fn flv_url(&self) -> String {
        let (port, token) = (self.http, self.token());
        format!(
            "http://127.0.0.1:{port}/live/{}/stream.flv?token={token}",
            camera()
        )
    }

    pub(super) fn token(&self) -> String {
        self.issuer.token(camera(), Clock::system().now())
    }

    pub(super) fn stop(self) {
        self.runtime
            .block_on(self.tasks.shutdown(Duration::from_secs(5)));
    }
}

fn acceptor(tasks: &Tasks) -> (tempfile::TempDir, Acceptor) {
    let directory = tempfile::tempdir().expect("a directory");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("is made");
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("tls.crt"), made.cert.pem()).expect("writes");
    std::fs::write(path("tls.key"), made.signing_key.serialize_pem()).expect("writes");
    let config = tls::Config {
        certificate: Some(path("tls.crt")),
        key: Some(path("tls.key")),
    };
    let acceptor = Acceptor::load(&config, tasks.clone()).expect("loads");
    (directory, acceptor.expect("is configured"))
}

pub(super) fn camera() -> CameraId {
    Uuid::from_u128(1).into()
}

pub(super) fn slot_key() -> SlotKey {
    SlotKey {
        camera_id: camera(),
        role: Role::Ingest,
        ordinal: 0,
    }
}

pub(super) fn stream_key(key: &str, on_conflict: OnConflict) -> StreamKeyDigest {
    let lookup = key.split('_').nth(1).expect("has three parts");
    StreamKeyDigest {
        id: StreamKeyId::from(Uuid::from_u128(u128::from(lookup.as_bytes()[0]))),
        lookup: lookup.to_owned(),
        digest: URL_SAFE_NO_PAD.encode(digest(&SHA256, key.as_bytes())),
        expires_at: None,
        on_conflict,
    }
}

/// An FFmpeg that publishes until it is killed.
pub(super) fn publish(ffmpeg: impl AsRef<Path>, codecs: &[&[&str]], url: &str) -> Process {
    let mut command = Command::new(ffmpeg.as_ref());
    command
        .args(["-nostdin", "-hide_banner", "-nostats"])
        .args(["-loglevel", "level+info", "-re", "-f", "lavfi"])
        .args(["-i", "testsrc2=size=320x240:rate=25", "-re", "-f", "lavfi"])
        .args(["-i", "sine=frequency=440:sample_rate=44100"])
        .args(["-g", "25", "-pix_fmt", "yuv420p"])
        .args(codecs.concat())
        .args(["-f", "flv", url]);
    Process::spawn(command, Signal::Kill, |_, _| {}).expect("ffmpeg starts")
}

/// Waits for the end of a program, and gives what it complained about.
pub(super) fn last_words(mut process: Process) -> String {
    let ended = process.wait(LIMIT);
    assert!(ended.is_some(), "it does not end: {}", process.tail());
    process.tail()
}

/// Runs `tests` beside each other.
pub(super) fn all(tests: &[&(dyn Fn() + Sync)]) {
    std::thread::scope(|scope| {
        for test in tests {
            scope.spawn(test);
        }
    });
}
