//! An edge of one published camera in this process, and the programs that speak RTSP with it.

use std::{path::Path, process::Command, time::Duration};

use headworks_bootstrap::{Clock, Tasks, TrustedProxies};
use headworks_testkit::{Process, Signal, wait_until};
use headworks_types::{
    CameraSource, OnConflict, StartMode,
    edge::{IngestWork, SlotReport, SlotState, StreamKeyDigest},
};
use tokio::{net::TcpListener, runtime::Runtime};

pub(super) use crate::testing::{AAC, H264, KEY, LIMIT, all, camera, last_words};
use crate::{
    access::sign::{self, Issuer},
    audit::Audit,
    directory::Directory,
    hub::{self, Hub},
    ingest::{self, Ingests, Job},
    outbound,
    rtsp::{Datagrams, Rtsp},
    testing::{self, acceptor, slot_key, stream_key},
    viewing::Viewing,
    visitors::Visitors,
};

pub(super) const H265: &[&str] = &[
    "-c:v",
    "libx265",
    "-preset",
    "ultrafast",
    "-x265-params",
    "log-level=error:bframes=2:pools=1:frame-threads=1",
];
pub(super) const OPUS: &[&str] = &["-c:a", "libopus", "-ar", "48000"];
pub(super) const TCP: &[&str] = &["-rtsp_transport", "tcp"];
pub(super) const UDP: &[&str] = &["-rtsp_transport", "udp"];

pub(super) struct World {
    runtime: Runtime,
    ingests: Ingests,
    pub(super) directory: Directory,
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
            outbound: outbound::testing(),
            ..ingest::Config::default()
        };
        let ingests = Ingests::new(
            config,
            hub.clone(),
            Audit::new(clock.clone()).0,
            clock.clone(),
            tasks.clone(),
        );
        let issuer = Issuer::new("k");
        let access = issuer.access(clock.clone());
        let any = ([127, 0, 0, 1], 0).into();
        let datagrams = runtime.block_on(Datagrams::bind(any, &tasks));
        let viewing = Viewing::testing(hub, access);
        let directory = viewing.streams.directory().clone();
        let rtsp = Rtsp::new(
            viewing,
            ingests.clone(),
            Visitors::new(2000, TrustedProxies::default(), clock.clone()),
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
            directory,
            tasks,
            plain,
            encrypted,
            issuer,
            _certificate: certificate,
        };
        world.desire(vec![stream_key(KEY, OnConflict::Reject)]);
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
                exclusive: false,
                stream_keys,
                outbound_allow: Vec::new(),
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

    /// As [`Self::play_url`], for pictures without sound.
    pub(super) fn silent_url(&self, transport: &str) -> String {
        let token = self.issuer.silent_token(camera(), Clock::system().now());
        self.url("rtsp", &format!("?token={token}&{transport}"))
    }

    /// As [`Self::play_url`], for no more than so many seconds.
    pub(super) fn brief_url(&self, seconds: i64) -> String {
        let now = Clock::system().now();
        let mut claims = sign::claims(camera(), now);
        claims.exp = now.timestamp() + seconds;
        claims.sxp = Some(claims.exp);
        let token = self.issuer.sign(&self.issuer.header(), &claims);
        self.url("rtsp", &format!("?token={token}"))
    }

    pub(super) fn stop(self) {
        self.runtime
            .block_on(self.tasks.shutdown(Duration::from_secs(5)));
    }
}

/// An FFmpeg that publishes until it is killed.
pub(super) fn publish(ffmpeg: impl AsRef<Path>, options: &[&[&str]], url: &str) -> Process {
    testing::publish(ffmpeg, options, "rtsp", url)
}

/// A GStreamer pipeline that runs until it is killed.
pub(super) fn gstreamer(pipeline: &str) -> Process {
    let mut command = Command::new("gst-launch-1.0");
    command.arg("-q").args(pipeline.split_whitespace());
    Process::spawn(command, Signal::Kill, |_, _| {}).expect("starts")
}
