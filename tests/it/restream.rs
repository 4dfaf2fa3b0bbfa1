//! Pushes to other people's servers.

use std::{fs, net::TcpListener, thread};

use headworks_testkit::{
    Audio, Camera, CameraOptions, RtmpServer, RtspRecorder, Video, judge, wait_until,
};
use headworks_types::{
    CameraId, Restream, RestreamCreate, RestreamId, RestreamImport, RestreamImportOutcome,
    RestreamState, RestreamUpdate, RestreamVideo, Transport,
};
use serde_json::json;

use crate::scene::{Api, SOON, Scene, camera, camera_with};

impl Api {
    pub(crate) fn push(&self, camera: CameraId, restream: &RestreamCreate) -> RestreamId {
        let create = self.client.restream_create(camera, restream);
        self.call(create).id
    }

    /// Pushes the camera, encoded anew as H.264; returns when it goes.
    fn push_encoded(&self, camera: CameraId, url: &str, width: Option<u16>) -> RestreamId {
        let mut restream = to(url);
        restream.video = RestreamVideo::H264 {
            preset: headworks_types::X264Preset::Ultrafast,
            bitrate_kbit: 300,
            gop: 15,
            width,
            height: None,
        };
        let push = self.push(camera, &restream);
        self.wait_for_push(push, RestreamState::Live);
        push
    }

    /// Waits until the restream's record is as wanted, and returns it.
    pub(crate) fn wait_for_restream(
        &self,
        id: RestreamId,
        what: &str,
        wanted: impl Fn(&Restream) -> bool,
    ) -> Restream {
        let mut last = None;
        let found = wait_until(what, SOON, || {
            last = self.attempt(self.client.restream_view(id)).ok();
            last.clone().filter(&wanted)
        });
        found.unwrap_or_else(|error| panic!("{error}; it was {last:#?}"))
    }

    pub(crate) fn wait_for_push(&self, id: RestreamId, state: RestreamState) -> Restream {
        self.wait_for_restream(id, &format!("the restream is {state:?}"), |restream| {
            restream.status.state == state
        })
    }
}

pub(crate) fn to(url: &str) -> RestreamCreate {
    let url = json!({"name": "target", "url": url});
    serde_json::from_value(url).expect("is a restream")
}

/// What is at the URL is without fault.
fn judge_pictures(url: &str, codecs: &[&str]) {
    let seen = judge::decode(url, 3).expect("decodes");
    // The order is that of what came first.
    let mut found = seen.codecs();
    found.sort_unstable();
    assert_eq!(found, codecs);
    assert!(seen.errors.is_empty(), "{seen:?}");
    assert!(seen.pictures() >= 30, "{seen:?}");
}

pub(crate) fn camera_with_sound() -> Camera {
    camera_with(CameraOptions {
        audio: Audio::Aac,
        ..CameraOptions::default()
    })
}

#[test]
fn a_camera_is_pushed_stopped_started_and_restarted() {
    let camera = camera_with_sound();
    let target = RtmpServer::start().expect("starts");
    let up = Scene::up();
    let id = up.api.add_live(&camera);
    let push = up.api.push(id, &to(&target.url("live", "gate")));
    let live = up.api.wait_for_push(push, RestreamState::Live).status;
    assert_eq!((live.attempts, live.last_error), (1, None));
    assert!(live.connected_at.is_some());
    judge_pictures(&target.url("live", "gate"), &["aac", "h264"]);
    up.api
        .wait_for_restream(push, "bytes are counted", |restream| {
            restream.status.bytes_sent > 10_000
        });

    up.api.call(up.api.client.restream_stop(push));
    up.api.wait_for_push(push, RestreamState::Disabled);
    wait_until("nginx has the whole recording", SOON, || {
        let file = target.recording("gate").display().to_string();
        let seen = judge::decode(&file, 60).ok()?;
        (seen.errors.is_empty() && seen.pictures() >= 30).then_some(())
    })
    .expect("it has");

    up.api.call(up.api.client.restream_start(push));
    up.api.wait_for_push(push, RestreamState::Live);
    judge_pictures(&target.url("live", "gate"), &["aac", "h264"]);

    up.api.call(up.api.client.restream_restart(push));
    let again = up
        .api
        .wait_for_restream(push, "it is connected anew", |restream| {
            restream.status.state == RestreamState::Live && restream.status.attempts == 2
        });
    assert_eq!(again.status.last_error, None);
    judge_pictures(&target.url("live", "gate"), &["aac", "h264"]);
    assert_eq!(camera.plays(), 1, "one connection to the camera");
}

#[test]
fn a_target_that_was_killed_gets_the_camera_again() {
    let camera = camera();
    let mut target = RtmpServer::start().expect("starts");
    let up = Scene::up();
    let id = up.api.add_live(&camera);
    let push = up.api.push(id, &to(&target.url("live", "gate")));
    up.api.wait_for_push(push, RestreamState::Live);
    target.kill();
    let failed = up.api.wait_for_push(push, RestreamState::Failed).status;
    assert!(failed.last_error.is_some(), "{failed:?}");
    target.restart().expect("starts again");
    let live = up.api.wait_for_push(push, RestreamState::Live).status;
    assert!(live.attempts >= 2, "{live:?}");
    judge_pictures(&target.url("live", "gate"), &["h264"]);
}

#[test]
fn what_is_wrong_with_a_target_is_said_without_secrets() {
    let camera = camera();
    let target = RtmpServer::start().expect("starts");
    let up = Scene::up();
    let id = up.api.add_live(&camera);
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        listener.local_addr().expect("has one")
    };
    let cases = [
        (format!("rtmp://{closed}/live/a"), "connection refused"),
        (
            "rtmp://target.invalid/live/b".to_owned(),
            "does not resolve",
        ),
        (target.url("nothing", "c"), "refuses the stream"),
        (format!("rtsp://{closed}/into"), "connection refused"),
    ];
    let pushes: Vec<_> = cases
        .iter()
        .enumerate()
        .map(|(index, (url, words))| {
            let mut restream = to(url);
            restream.name = format!("target {index}");
            restream.stream_key = Some("top-secret?token=hidden".to_owned().into());
            (up.api.push(id, &restream), *words)
        })
        .collect();
    for (push, words) in pushes {
        let failed = up.api.wait_for_restream(push, words, |restream| {
            let status = &restream.status;
            status.state == RestreamState::Failed && status.message.contains(words)
        });
        let shown = serde_json::to_string(&failed).expect("is JSON");
        assert!(
            !shown.contains("top-secret") && !shown.contains("hidden"),
            "{shown}"
        );
    }
}

#[test]
fn six_cameras_are_imported_and_pushed_with_signed_urls() {
    let camera = camera();
    let target = RtmpServer::start().expect("starts");
    let up = Scene::up();
    let login = camera.login().expect("has one");
    let cameras = (1..=6).map(|number| {
        json!({
            "name": format!("cam{number}"),
            "url": camera.url(),
            "credentials": {"username": login.username, "password": login.password},
        })
    });
    let import = RestreamImport {
        cameras: cameras.collect(),
        target: serde_json::from_value(json!({
            "name": "cdn",
            "url": target.url("live", "{name}"),
            "signing": {"type": "alibaba", "primary_key": "aliyuncdnexp1234"},
        }))
        .expect("is a template"),
        dry_run: false,
    };
    let result = up.api.call(up.api.client.restream_import(&import));
    let ids: Vec<_> = result
        .results
        .into_iter()
        .map(|outcome| match outcome {
            RestreamImportOutcome::Created { restream, .. } => restream.id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids.len(), 6);
    for id in ids {
        let live = up.api.wait_for_push(id, RestreamState::Live);
        assert!(live.status.url_expires_at.is_some());
        let shown = serde_json::to_string(&live).expect("is JSON");
        assert!(!shown.contains("auth_key"), "{shown}");
    }
    thread::scope(|scope| {
        for name in ["cam1", "cam6"] {
            let url = target.url("live", name);
            scope.spawn(move || judge_pictures(&url, &["h264"]));
        }
    });
}

#[test]
fn h265_is_encoded_anew_for_a_target_that_takes_h264() {
    let camera = camera_with(CameraOptions {
        video: Video::H265,
        audio: Audio::G711a,
        ..CameraOptions::default()
    });
    let target = RtmpServer::start().expect("starts");
    let up = Scene::up();
    let id = up.api.add_live(&camera);
    up.api
        .push_encoded(id, &target.url("live", "gate"), Some(160));
    judge_pictures(&target.url("live", "gate"), &["aac", "h264"]);
}

#[test]
fn an_encoder_that_was_killed_is_started_again() {
    let camera = camera();
    let target = RtmpServer::start().expect("starts");
    let up = Scene::up();
    let id = up.api.add_live(&camera);
    let push = up.api.push_encoded(id, &target.url("live", "gate"), None);
    judge_pictures(&target.url("live", "gate"), &["h264"]);
    let killed = up.headworks.kill_child("libx264").expect("it encodes");
    let again = up.api.wait_for_restream(push, "it goes on", |restream| {
        let status = &restream.status;
        status.state == RestreamState::Live && status.attempts == 2
    });
    let why = again.status.last_error.as_deref();
    assert_eq!(why, Some("the encoder ended: FFmpeg was killed"));
    judge_pictures(&target.url("live", "gate"), &["h264"]);
    let other = up
        .headworks
        .kill_child("libx264")
        .expect("it encodes again");
    assert_ne!(killed, other);
    assert_eq!(camera.plays(), 1, "the camera's connection is untouched");
}

/// A push to who shows a certificate that nobody vouches for is refused, until that is allowed.
fn push_past_the_certificate(up: &Scene, camera: CameraId, url: &str) -> RestreamId {
    let push = up.api.push(camera, &to(url));
    let refused = up.api.wait_for_push(push, RestreamState::Failed).status;
    for words in ["certificate is not good", "tls_verify = false takes any"] {
        assert!(refused.message.contains(words), "{refused:?}");
        let last_error = refused.last_error.as_deref().unwrap_or_default();
        assert!(last_error.contains(words), "{refused:?}");
    }
    assert_eq!(refused.bytes_sent, 0, "nothing of the stream");
    let any = RestreamUpdate {
        tls_verify: Some(false),
        ..RestreamUpdate::default()
    };
    up.api.call(up.api.client.restream_update(push, &any));
    up.api.wait_for_push(push, RestreamState::Live);
    push
}

#[test]
fn a_camera_is_pushed_over_rtmps() {
    let camera = camera_with_sound();
    let target = RtmpServer::start().expect("starts");
    let up = Scene::up();
    let id = up.api.add_live(&camera);
    let push = push_past_the_certificate(&up, id, &target.tls_url("live", "gate"));
    judge_pictures(&target.url("live", "gate"), &["aac", "h264"]);
    up.api.call(up.api.client.restream_stop(push));
    up.api.wait_for_push(push, RestreamState::Disabled);
}

#[test]
fn a_camera_is_pushed_over_rtsps() {
    let camera = camera();
    let target = RtspRecorder::start_tls().expect("starts");
    let up = Scene::up();
    let id = up.api.add_live(&camera);
    let push = push_past_the_certificate(&up, id, &target.url());
    judge_recording(&up, push, &target);
}

#[test]
fn a_camera_is_pushed_over_rtsp_in_both_transports() {
    let camera = camera();
    let up = Scene::up();
    let id = up.api.add_live(&camera);
    for transport in [Transport::Tcp, Transport::Udp] {
        let target = RtspRecorder::start().expect("starts");
        let mut restream = to(&target.url());
        restream.name = format!("over {transport:?}");
        restream.transport = transport;
        let push = up.api.push(id, &restream);
        up.api.wait_for_push(push, RestreamState::Live);
        judge_recording(&up, push, &target);
    }
}

/// What has come so far is without fault when the push is stopped.
fn judge_recording(up: &Scene, push: RestreamId, target: &RtspRecorder) {
    wait_until("a few seconds are there", SOON, || {
        let file = fs::metadata(target.recording()).ok()?;
        (file.len() > 40_000).then_some(())
    })
    .expect("they come");
    up.api.call(up.api.client.restream_stop(push));
    up.api.wait_for_push(push, RestreamState::Disabled);
    let file = target.recording().display().to_string();
    let seen = judge::decode(&file, 60).expect("decodes");
    assert_eq!(seen.codecs(), ["h264"]);
    assert!(seen.errors.is_empty(), "{seen:?}");
    assert!(seen.pictures() >= 15, "{seen:?}");
}
