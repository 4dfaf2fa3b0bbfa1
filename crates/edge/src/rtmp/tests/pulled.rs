//! Cameras that are pulled from RTMP servers and as FLV over HTTP.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::Command,
};

use headworks_testkit::{Player, Process, Signal, judge, tool, wait_until};
use headworks_types::{CameraSource, PullFormat, Transport, edge::SlotState};
use tempfile::TempDir;

use super::{
    clean,
    world::{AAC, H264, LIMIT, World, all, publish},
};

/// nginx with its RTMP module. It ends when this is dropped.
struct Nginx {
    directory: TempDir,
    port: u16,
    process: Process,
}

impl Nginx {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        // nginx cannot choose a port by itself.
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let path = directory.path().display();
        let configuration = format!(
            "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
            daemon off; master_process off; worker_processes 1; user root;
            pid {path}/nginx.pid; error_log stderr info;
            events {{ worker_connections 64; }}
            rtmp {{ server {{ listen 127.0.0.1:{port}; application live {{ live on; }} }} }}"
        );
        fs::write(directory.path().join("nginx.conf"), configuration).expect("writes");
        let process = Self::run(&directory, port);
        Self {
            directory,
            port,
            process,
        }
    }

    fn run(directory: &TempDir, port: u16) -> Process {
        let mut command = Command::new("nginx");
        let path = directory.path();
        command
            .arg("-p")
            .arg(path)
            .arg("-c")
            .arg(path.join("nginx.conf"));
        let process = Process::spawn(command, Signal::Kill, |_, _| {}).expect("starts");
        let up = || TcpStream::connect(("127.0.0.1", port)).ok();
        wait_until("nginx", LIMIT, up).unwrap_or_else(|e| panic!("{e:#}: {}", process.tail()));
        process
    }

    fn restart(&mut self) {
        self.process = Self::run(&self.directory, self.port);
    }

    fn url(&self) -> String {
        format!("rtmp://127.0.0.1:{}/live/cam", self.port)
    }
}

fn pull(url: &str) -> CameraSource {
    CameraSource::pull(url.parse().expect("a URL"))
}

#[test]
fn nginx_is_pulled_and_pulled_again_when_it_comes_back() {
    let mut nginx = Nginx::start();
    let mut publisher = publish(tool::FFMPEG, &[H264, AAC], &nginx.url());
    let world = World::with(2000);
    world.start(pull(&nginx.url()), Vec::new());
    let report = world.wait_for_live(&mut publisher);
    assert_eq!(report.message, "H.264 320x240, AAC");
    let mut player = Player::start(&world.flv_url()).expect("starts");
    player.wait_for_pictures(10, LIMIT).expect("plays");
    nginx.process.kill();
    let report = world.wait_for("its end", |report| report.state == SlotState::Failed);
    assert!(
        ["camera closed the connection", "connection refused"].contains(&&*report.message),
        "{}",
        report.message
    );
    nginx.restart();
    let mut publisher = publish(tool::FFMPEG, &[H264, AAC], &nginx.url());
    world.wait_for_live(&mut publisher);
    let seen = player.wait_for_pictures(30, LIMIT).expect("goes on");
    assert_eq!(seen.errors, Vec::<String>::new());
    clean(
        &judge::decode(&world.flv_url(), 2).expect("decodes"),
        &["h264", "aac"],
    );
    world.stop();
}

#[test]
fn a_server_that_gives_nothing_is_noticed() {
    let nginx = Nginx::start();
    let world = World::impatient();
    // nginx says yes to a player, and waits for a publisher.
    world.start(pull(&nginx.url()), Vec::new());
    world.wait_for("a failure", |report| report.message == "no video for 1 s");
    let origin = World::new();
    let mut publisher = publish(tool::FFMPEG, &[H264, AAC], &origin.publish_url("rtmp"));
    origin.wait_for_live(&mut publisher);
    world.start(pull(&origin.flv_url()), Vec::new());
    world.wait_for("pictures", |report| report.state == SlotState::Live);
    publisher.signal(Signal::Stop);
    world.wait_for("a failure", |report| report.message == "no video for 1 s");
    world.stop();
    origin.stop();
}

#[test]
fn an_edge_pulls_from_an_edge() {
    let origin = World::new();
    let mut publisher = publish(tool::FFMPEG, &[H264, AAC], &origin.publish_url("rtmp"));
    origin.wait_for_live(&mut publisher);
    let any_certificate = CameraSource::Pull {
        url: origin.play_url("rtmps").parse().expect("a URL"),
        transport: Transport::default(),
        format: None,
        tls_verify: false,
    };
    let relays = [
        pull(&origin.flv_url()),
        pull(&origin.play_url("rtmp")),
        any_certificate,
    ]
    .map(|source| {
        let world = World::with(2000);
        world.start(source, Vec::new());
        world
    });
    for relay in &relays {
        let report = relay.wait_for("pictures", |report| report.state == SlotState::Live);
        assert_eq!(report.message, "H.264 320x240, AAC");
    }
    let decode = |relay: &World| {
        let seen = judge::decode(&relay.flv_url(), 2).expect("decodes");
        clean(&seen, &["h264", "aac"]);
    };
    let [first, second, third] = &relays;
    all(&[&|| decode(first), &|| decode(second), &|| decode(third)]);
    relays.into_iter().for_each(World::stop);
    origin.stop();
}

#[test]
fn what_is_wrong_is_said_in_words() {
    let origin = World::new();
    let mut publisher = publish(tool::FFMPEG, &[H264, AAC], &origin.publish_url("rtmp"));
    origin.wait_for_live(&mut publisher);
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        listener.local_addr().expect("bound").port()
    };
    let page = origin.flv_url().replace("stream.flv", "watch");
    let page = CameraSource::Pull {
        url: page.parse().expect("a URL"),
        transport: Transport::default(),
        format: Some(PullFormat::Flv),
        tls_verify: true,
    };
    let elsewhere = |url: String| pull(&url.replace("0001", "0002"));
    let no_token = |url: String| pull(url.split('?').next().expect("has a path"));
    let refused = "camera refuses: add a playback token: ?token=…";
    let cases = [
        (
            pull(&format!("rtmp://127.0.0.1:{nobody}/live/cam")),
            "connection refused",
        ),
        (
            pull(&format!("http://127.0.0.1:{nobody}/cam.flv")),
            "connection refused",
        ),
        (
            pull("rtmp://camera.invalid/live/cam"),
            "host name does not resolve",
        ),
        (
            pull("http://camera.invalid/cam.flv"),
            "host name does not resolve",
        ),
        (no_token(origin.play_url("rtmp")), refused),
        (
            pull(&origin.play_url("rtmp").replace("/live/", "/other/")),
            "camera has no such stream",
        ),
        (
            pull(&origin.play_url("rtmps")),
            "camera's certificate is not trusted: UnknownIssuer",
        ),
        (
            no_token(origin.flv_url()),
            "401 from camera: it asks for a user name and password",
        ),
        (
            elsewhere(origin.flv_url()),
            "403 from camera: this user may not watch",
        ),
        (
            pull(&origin.flv_url().replace("stream.flv", "none.flv")),
            "404 from camera: no such path",
        ),
        (page, "answer is not FLV"),
    ];
    let world = World::with(2000);
    for (source, words) in cases {
        world.start(source, Vec::new());
        world.wait_for(words, |report| {
            report.state == SlotState::Failed && report.message == words
        });
    }
    world.stop();
    origin.stop();
}
