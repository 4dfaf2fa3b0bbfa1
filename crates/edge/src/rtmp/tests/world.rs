//! An edge of one published camera in this process, and the programs that speak to it.

use std::{path::Path, time::Duration};

use headworks_bootstrap::{Clock, Tasks, TrustedProxies};
use headworks_testkit::{Process, wait_until};
use headworks_types::{
    CameraSource, OnConflict, StartMode,
    edge::{IngestWork, SlotReport, SlotState, StreamKeyDigest},
};
use tokio::{net::TcpListener, runtime::Runtime};

pub(super) use crate::testing::{
    AAC, H264, KEY, LIMIT, all, camera, last_words, slot_key, stream_key,
};
use crate::{
    access::sign::Issuer,
    audit::Audit,
    directory::Directory,
    http,
    hub::{self, Hub},
    ingest::{self, Ingests, Job},
    outbound,
    rtmp::Rtmp,
    testing::{self, acceptor},
    viewing::Viewing,
    visitors::Visitors,
};

pub(super) struct World {
    pub(super) runtime: Runtime,
    pub(super) ingests: Ingests,
    pub(super) directory: Directory,
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
        let listen = || {
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
            let listener = listener.expect("binds");
            let port = listener.local_addr().expect("bound").port();
            (listener, port)
        };
        let (listener, http) = listen();
        let viewing = Viewing::testing(hub, access);
        let directory = viewing.streams.directory().clone();
        let proxies = TrustedProxies::default();
        let visitors = Visitors::new(connections_per_address, proxies, clock.clone());
        let server = http::Server::testing(http::router(viewing.clone()), visitors.clone());
        server.serve(listener, None, &tasks);
        let served = Rtmp::new(viewing, ingests.clone(), visitors, clock, tasks.clone());
        let (listener, rtmp) = listen();
        served.serve(listener, None);
        let (listener, rtmps) = listen();
        let (certificate, acceptor) = acceptor(&tasks);
        served.serve(listener, Some(acceptor));
        drop(entered);
        Self {
            runtime,
            ingests,
            directory,
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
                exclusive: false,
                stream_keys,
                outbound_allow: Vec::new(),
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
        self.http_url("stream.flv", &self.token())
    }

    /// `http://…/live/<camera>/<file>?token=…`
    pub(super) fn http_url(&self, file: &str, token: &str) -> String {
        let port = self.http;
        format!(
            "http://127.0.0.1:{port}/live/{}/{file}?token={token}",
            camera()
        )
    }

    pub(super) fn token(&self) -> String {
        self.issuer.token(camera(), Clock::system().now())
    }

    /// A token for pictures without sound.
    pub(super) fn silent_token(&self) -> String {
        self.issuer.silent_token(camera(), Clock::system().now())
    }

    pub(super) fn stop(self) {
        self.runtime
            .block_on(self.tasks.shutdown(Duration::from_secs(5)));
    }
}

/// An FFmpeg that publishes until it is killed.
pub(super) fn publish(ffmpeg: impl AsRef<Path>, codecs: &[&[&str]], url: &str) -> Process {
    testing::publish(ffmpeg, codecs, "flv", url)
}
