//! An edge of one published camera in this process, and the programs that speak RTSP with it.

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
    hub::{self, Hub},
    ingest::{self, Ingests, Job},
    rtsp::{Datagrams, Rtsp},
    tls::{self, Acceptor},
    visitors::Visitors,
};

pub(super) const LIMIT: Duration = Duration::from_secs(30);

pub(super) const KEY: &str = "hwsk_aaaaaaaaaaaa_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

/// Pictures with B-frames, a key frame each second.
pub(super) const H264: &[&str] = &["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2"];
pub(super) const H265: &[&str] = &[
    "-c:v",
    "libx265",
    "-preset",
    "ultrafast",
    "-x265-params",
    "log-level=error:bframes=2:pools=1:frame-threads=1",
];
pub(super) const AAC: &[&str] = &["-c:a", "aac"];
pub(super) const OPUS: &[&str] = &["-c:a", "libopus", "-ar", "48000"];
pub(super) const TCP: &[&str] = &["-rtsp_transport", "tcp"];
pub(super) const UDP: &[&str] = &["-rtsp_transport", "udp"];

pub(super) struct World {
    runtime: Runtime,
    ingests: Ingests,
    tasks: Tasks,
    plain: u16,
    encrypted: u16,
    issuer: Issuer,
    _certificate: tempfile::TempDir,
}

impl World {
    /// Its camera takes [`KEY`], and the second one with it does not take over.
    pub(super) fn new() -> Self {
        let runtime = Runtime::new().expect("starts");
        let (clock, tasks) = (Clock::system(), Tasks::new());
        let entered = runtime.enter();
        let hub = Hub::new(hub::Config::default(), clock.clone(), tasks.clone());
        let config = ingest::Config {
            retry_min: Duration::from_millis(50),
            retry_max: Duration::from_millis(200),
            ..ingest::Config::default()
        };
        let ingests = Ingests::new(config, hub.clone(), clock.clone(), tasks.clone());
        let issuer = Issuer::new("k");
        let access = issuer.access(clock.clone());
        let any = ([127, 0, 0, 1], 0).into();
        let datagrams = runtime.block_on(Datagrams::bind(any, &tasks));
        let rtsp = Rtsp::new(
            hub,
            ingests.clone(),
            access,
            Visitors::new(2000),
            Some(datagrams.expect("binds")),
            clock,
            tasks.clone(),
        );
        let listen = || {
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
            let listener = listener.expect("binds");
            let port = listener.local_addr().expect("bound").port();
            (listener, port)
        };
        let (listener, plain) = listen();
        rtsp.serve(listener, None);
        let (listener, encrypted) = listen();
        let (certificate, acceptor) = acceptor(&tasks);
        rtsp.serve(listener, Some(acceptor));
        drop(entered);
        let world = Self {
            runtime,
            ingests,
            tasks,
            plain,
            encrypted,
            issuer,
            _certificate: certificate,
        };
        world.desire(vec![stream_key(KEY)]);
        world
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

    /// The edge has nothing to do with the camera any more.
    pub(super) fn stop_camera(&self) {
        self.ingests.stop(slot_key());
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

    pub(super) fn wait_for_live(&self) -> SlotReport {
        self.wait_for("pictures", |report| report.state == SlotState::Live)
    }

    pub(super) fn port(&self) -> u16 {
        self.plain
    }

    /// `rtsp://…/live/<camera>?key=…`
    pub(super) fn publish_url(&self, scheme: &str) -> String {
        self.url(scheme, &format!("?key={KEY}"))
    }

    /// `rtsp://…/live/<camera>?token=…`; FFmpeg takes the transport out of the query.
    pub(super) fn play_url(&self, scheme: &str, transport: &str) -> String {
        self.url(scheme, &format!("?token={}&{transport}", self.token()))
    }

    pub(super) fn url(&self, scheme: &str, rest: &str) -> String {
        let port = if scheme.ends_with('s') {
            self.encrypted
        } else {
            self.plain
        };
        format!("{scheme}://127.0.0.1:{port}/live/{}{rest}", camera())
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

fn slot_key() -> SlotKey {
    SlotKey {
        camera_id: camera(),
        role: Role::Ingest,
        ordinal: 0,
    }
}

pub(super) fn stream_key(key: &str) -> StreamKeyDigest {
    let lookup = key.split('_').nth(1).expect("has three parts");
    StreamKeyDigest {
        id: StreamKeyId::from(Uuid::from_u128(u128::from(lookup.as_bytes()[0]))),
        lookup: lookup.to_owned(),
        digest: URL_SAFE_NO_PAD.encode(digest(&SHA256, key.as_bytes())),
        expires_at: None,
        on_conflict: OnConflict::Reject,
    }
}

/// An FFmpeg that publishes until it is killed.
pub(super) fn publish(ffmpeg: impl AsRef<Path>, options: &[&[&str]], url: &str) -> Process {
    let mut command = Command::new(ffmpeg.as_ref());
    command
        .args(["-nostdin", "-hide_banner", "-nostats"])
        .args(["-loglevel", "level+info", "-re", "-f", "lavfi"])
        .args(["-i", "testsrc2=size=320x240:rate=25", "-re", "-f", "lavfi"])
        .args(["-i", "sine=frequency=440:sample_rate=44100"])
        .args(["-g", "25", "-pix_fmt", "yuv420p"])
        .args(options.concat())
        .args(["-f", "rtsp", url]);
    Process::spawn(command, Signal::Kill, |_, _| {}).expect("starts")
}

/// A GStreamer pipeline that runs until it is killed.
pub(super) fn gstreamer(pipeline: &str) -> Process {
    let mut command = Command::new("gst-launch-1.0");
    command.arg("-q").args(pipeline.split_whitespace());
    Process::spawn(command, Signal::Kill, |_, _| {}).expect("starts")
}

/// Waits for a program's end, and gives what it said.
pub(super) fn last_words(mut process: Process) -> String {
    process.wait(LIMIT).expect("ends");
    process.tail()
}

/// At the same time: most of what they do is waiting.
pub(super) fn all(works: &[&(dyn Fn() + Sync)]) {
    std::thread::scope(|scope| {
        for work in works {
            scope.spawn(work);
        }
    });
}
