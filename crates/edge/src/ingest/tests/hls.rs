//! HLS as a camera, written by FFmpeg and by ourselves.

use std::{path::PathBuf, process::Command};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use headworks_testkit::{Process, Signal, tool};

use super::*;

/// Gives the files of a directory to who knows the password, if there is one.
#[derive(Clone)]
struct Files {
    directory: PathBuf,
    password: Option<&'static str>,
}

impl Files {
    /// Serves them from the world's runtime.
    fn serve(self, world: &World) -> String {
        let _entered = world.runtime.enter();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        listener.set_nonblocking(true).expect("can be set");
        let listener = tokio::net::TcpListener::from_std(listener).expect("is one");
        let address = listener.local_addr().expect("bound");
        let router = Router::new().fallback(give).with_state(self);
        let stop = world.tasks.token();
        world.tasks.spawn("files", async move {
            let server = axum::serve(listener, router).into_future();
            stop.run_until_cancelled(server).await;
        });
        format!("http://{address}")
    }
}

async fn give(State(files): State<Files>, uri: Uri, headers: HeaderMap) -> Response {
    let said = headers.get(header::AUTHORIZATION);
    let said = said.and_then(|value| value.to_str().ok());
    if said != files.password {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let path = files.directory.join(uri.path().trim_start_matches('/'));
    match std::fs::read(path) {
        Ok(bytes) => match range(&headers, bytes.len()) {
            Some(range) => (StatusCode::PARTIAL_CONTENT, bytes[range].to_vec()).into_response(),
            None => bytes.into_response(),
        },
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The range that is asked for: `bytes=4-7`.
fn range(headers: &HeaderMap, length: usize) -> Option<std::ops::Range<usize>> {
    let asked = headers.get(header::RANGE)?.to_str().ok()?;
    let (from, last) = asked.strip_prefix("bytes=")?.split_once('-')?;
    let end = last.parse::<usize>().ok()? + 1;
    Some(from.parse().ok()?..end.min(length))
}

/// A live stream of an FFmpeg that writes HLS.
struct Live {
    directory: tempfile::TempDir,
    _encoder: Process,
}

impl Live {
    fn start(arguments: &str) -> Self {
        let directory = tempfile::tempdir().expect("makes one");
        let mut command = Command::new(tool::FFMPEG);
        command
            .args("-v error -re -f lavfi -i testsrc=s=320x240:r=15".split(' '))
            .args("-f lavfi -i sine -c:v libx264 -preset ultrafast -g 15 -bf 2".split(' '))
            .args("-c:a aac -f hls -hls_time 1 -hls_list_size 6".split(' '))
            .args(arguments.split(' '))
            .arg("index.m3u8")
            .current_dir(directory.path());
        let encoder = Process::spawn(command, Signal::Kill, |_, _| ()).expect("starts");
        let playlist = directory.path().join("index.m3u8");
        wait_until("the playlist", LIMIT, || playlist.exists().then_some(())).expect("is there");
        Self {
            directory,
            _encoder: encoder,
        }
    }

    fn serve(&self, world: &World, password: Option<&'static str>) -> String {
        let files = Files {
            directory: self.directory.path().to_owned(),
            password,
        };
        format!("{}/index.m3u8", files.serve(world))
    }
}

fn plays(world: &World) {
    let flv = judge::decode(&world.url("stream.flv"), 5).expect("decodes");
    clean(&flv, &["h264", "aac"]);
    assert!(flv.pictures() >= 60, "in real time: {flv:?}");
}

#[test]
fn live_mpeg_ts_plays() {
    let live = Live::start("-hls_flags delete_segments");
    let world = World::new();
    // viewer:secret
    let url = live.serve(&world, Some("Basic dmlld2VyOnNlY3JldA=="));
    let login = Login {
        scheme: Scheme::Basic,
        username: "viewer".to_owned(),
        password: "secret".to_owned(),
    };
    world.start(slot(&url, Some(&login)));
    let report = world.wait_for(SlotState::Live);
    assert_eq!(report.message, "H.264 320x240, AAC; HLS");
    plays(&world);
    world.stop();
}

#[test]
fn live_fragmented_mp4_in_byte_ranges_plays() {
    let live = Live::start("-hls_flags single_file -hls_segment_type fmp4");
    let world = World::new();
    let url = live.serve(&world, None);
    world.start(slot(&url, None));
    world.wait_for(SlotState::Live);
    plays(&world);
    world.stop();
}

#[test]
fn one_edge_pulls_what_another_serves() {
    let camera = Camera::start(CameraOptions {
        audio: Audio::G711a,
        ..CameraOptions::default()
    })
    .expect("starts");
    let near = World::new();
    near.start(slot(&camera.url(), None));
    near.wait_for(SlotState::Live);
    let far = World::new();
    far.start(slot(&near.url("index.m3u8"), None));
    far.wait_for(SlotState::Live);
    plays(&far);
    far.stop();
    near.stop();
}

#[test]
fn what_cannot_be_pulled_is_said_in_words() {
    let directory = tempfile::tempdir().expect("makes one");
    for (name, body) in [
        ("page.m3u8", "<html>"),
        (
            "secret.m3u8",
            "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:1,\na.ts\n",
        ),
        (
            "gone.m3u8",
            "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na.ts\n#EXTINF:1,\nb.ts\n#EXTINF:1,\nc.ts\n",
        ),
    ] {
        std::fs::write(directory.path().join(name), body).expect("writes");
    }
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        listener.local_addr().expect("bound").port()
    };
    let files = |password| Files {
        directory: directory.path().to_owned(),
        password,
    };
    for (password, path, words) in [
        (
            Some("other"),
            "page.m3u8",
            "401 from camera: it asks for a user name and password",
        ),
        (None, "none.m3u8", "404 from camera: no such path"),
        (None, "gone.m3u8", "404 from camera: no such path"),
        (None, "secret.m3u8", "encrypted HLS is not supported"),
        (
            None,
            "page.m3u8",
            "camera breaks the protocol: its playlist has an error: it does not begin with #EXTM3U",
        ),
    ] {
        let world = World::new();
        let base = files(password).serve(&world);
        world.start(slot(&format!("{base}/{path}"), None));
        assert_eq!(world.wait_for(SlotState::Failed).message, words, "{path}");
        world.stop();
    }
    let world = World::new();
    world.start(slot(&format!("http://127.0.0.1:{nobody}/a.m3u8"), None));
    assert_eq!(
        world.wait_for(SlotState::Failed).message,
        "connection refused"
    );
    world.stop();
}
