//! Cameras that misbehave, and what their status says.

use std::{net::TcpListener, thread, time::Duration};

use headworks_testkit::{
    Audio, Camera, CameraOptions, Launch, Login, Player, Scheme, Seen, Video, judge,
};
use headworks_types::{CameraState, CameraUpdate, Codec, Credentials, Secret, StartMode};
use url::Url;

use crate::scene::{SOON, Scene, camera, camera_with, pulled};

#[test]
fn what_a_camera_sends_is_what_foreign_players_get() {
    let up = Scene::up();
    let plain = CameraOptions::default();
    let gate = camera_with(CameraOptions {
        audio: Audio::Aac,
        ..plain.clone()
    });
    let yard = camera_with(CameraOptions {
        video: Video::H265,
        audio: Audio::G711a,
        ..plain
    });
    let (gate_id, yard_id) = (up.api.add_live(&gate), up.api.add_live(&yard));
    let tracks = |id| -> Vec<Codec> {
        let tracks = up.api.view(id).status.tracks;
        tracks.into_iter().map(|track| track.codec).collect()
    };
    assert_eq!(tracks(gate_id), [Codec::H264, Codec::Aac]);
    assert_eq!(tracks(yard_id), [Codec::H265, Codec::G711a]);

    let (gate_urls, yard_urls) = (up.api.urls(gate_id), up.api.urls(yard_id));
    type Judge = fn(&str, u32) -> anyhow::Result<Seen>;
    let gate_rtmp = gate_urls.rtmp.as_ref().expect("is spoken");
    let yard_rtsp = yard_urls.rtsp.as_ref().expect("is spoken");
    // G.711 stays where it can be played, and is AAC elsewhere.
    let cases: [(Judge, &Url, &[&str]); 6] = [
        (judge::decode, &gate_urls.flv, &["h264", "aac"]),
        (judge::decode, &gate_urls.hls, &["h264", "aac"]),
        (judge::decode, gate_rtmp, &["h264", "aac"]),
        (judge::decode_modern, &yard_urls.flv, &["hevc", "aac"]),
        (judge::decode, &yard_urls.hls, &["hevc", "aac"]),
        (judge::decode, yard_rtsp, &["hevc", "pcm_alaw"]),
    ];
    thread::scope(|scope| {
        for (judge, url, codecs) in cases {
            scope.spawn(move || {
                let seen = judge(url.as_str(), 3).expect("decodes");
                assert_eq!(seen.codecs(), codecs);
                assert!(seen.errors.is_empty(), "{seen:?}");
                assert!(seen.pictures() >= 30, "{seen:?}");
            });
        }
    });
    assert_eq!((gate.plays(), yard.plays()), (1, 1), "one connection each");
}

#[test]
fn b_frames_come_out_in_order() {
    let up = Scene::up();
    let cameras = [Video::H264, Video::H265].map(|video| {
        camera_with(CameraOptions {
            video,
            b_frames: 2,
            ..CameraOptions::default()
        })
    });
    thread::scope(|scope| {
        for camera in &cameras {
            let urls = up.api.urls(up.api.add_live(camera));
            scope.spawn(move || {
                for seen in [
                    judge::decode(urls.hls.as_str(), 2),
                    judge::decode_modern(urls.flv.as_str(), 2),
                ] {
                    let seen = seen.expect("decodes");
                    assert!(seen.errors.is_empty(), "{seen:?}");
                    assert!(seen.pictures() >= 20, "{seen:?}");
                }
            });
        }
    });
}

#[test]
fn a_wrong_password_is_named_and_can_be_corrected() {
    let up = Scene::up();
    let credentials = |password: &str| Credentials {
        username: "admin".to_owned(),
        password: Secret::new(password),
    };
    let cameras = [Scheme::Digest, Scheme::Basic].map(|scheme| {
        let camera = Camera::start(CameraOptions {
            login: Some(Login {
                scheme,
                username: "admin".to_owned(),
                password: "p@ss:w/rd".to_owned(),
            }),
            ..CameraOptions::default()
        })
        .expect("starts");
        let mut create = pulled(&camera.url());
        create.credentials = Some(credentials("wrong"));
        (up.api.call(up.api.client.camera_create(&create)).id, camera)
    });
    for (id, _) in &cameras {
        up.api.wait_for(*id, "the camera refuses", |camera| {
            camera.status.state == CameraState::Failed
                && camera.status.message.contains("401 from camera")
        });
        let change = CameraUpdate {
            credentials: Some(Some(credentials("p@ss:w/rd"))),
            ..CameraUpdate::default()
        };
        up.api.call(up.api.client.camera_update(*id, &change));
    }
    for (id, _) in &cameras {
        up.api.wait_for_state(*id, CameraState::Live);
    }
}

#[test]
fn what_is_wrong_is_said_in_words() {
    let up = Scene::launch(Launch::default().env("HEADWORKS__EDGE__PULL__CONNECT_TIMEOUT", "2s"));
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        listener.local_addr().expect("has one")
    };
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let silent = silent.local_addr().map(|address| (address, silent));
    let (silent, _keeps_it_open) = silent.expect("has one");
    let motion_jpeg = camera_with(CameraOptions {
        video: Video::Mjpeg,
        ..CameraOptions::default()
    });
    let ids = [
        (
            pulled(&format!("rtsp://{closed}/live")),
            "connection refused",
        ),
        (pulled(&format!("rtsp://{silent}/live")), "does not answer"),
        (pulled("rtsp://camera.invalid/live"), "does not resolve"),
        (pulled(&motion_jpeg.url().replace("/live", "/other")), "404"),
    ]
    .map(|(create, words)| (up.api.call(up.api.client.camera_create(&create)).id, words));
    for (id, words) in ids {
        up.api.wait_for(id, words, |camera| {
            camera.status.state == CameraState::Failed
                && camera.status.message.to_lowercase().contains(words)
        });
    }
    let id = up.api.add(&motion_jpeg, StartMode::Always);
    up.api.wait_for(id, "unsupported codec", |camera| {
        camera.status.state == CameraState::Failed
            && camera.status.message.contains("unsupported codec mjpeg")
    });
}

#[test]
fn viewers_stay_while_a_killed_camera_comes_back() {
    let mut camera = camera();
    let up = Scene::up();
    let id = up.api.add_live(&camera);
    let urls = up.api.urls(id);
    let mut flv = Player::start(urls.flv.as_str()).expect("starts");
    let mut hls = Player::start(urls.hls.as_str()).expect("starts");
    flv.wait_for_pictures(10, SOON).expect("plays");
    hls.wait_for_pictures(10, SOON).expect("plays");

    camera.kill();
    up.api.wait_for_state(id, CameraState::Failed);
    camera.restart().expect("starts again");
    flv.wait_for_pictures(30, Duration::from_secs(10))
        .expect("FLV plays on");
    hls.wait_for_pictures(60, SOON).expect("HLS plays on");
    up.api.wait_for_state(id, CameraState::Live);
}

#[test]
fn a_camera_that_hangs_is_noticed_and_comes_back() {
    let mut camera = camera();
    let up = Scene::launch(Launch::default().env("HEADWORKS__EDGE__PULL__VIDEO_TIMEOUT", "2s"));
    let id = up.api.add_live(&camera);
    let mut viewer = Player::start(up.api.urls(id).flv.as_str()).expect("starts");
    viewer.wait_for_pictures(10, SOON).expect("plays");
    // Its connections stay open; only the frames stop.
    camera.freeze();
    up.api.wait_for(id, "no video", |camera| {
        camera.status.state == CameraState::Failed && camera.status.message.contains("no video")
    });
    camera.thaw();
    viewer.wait_for_pictures(30, SOON).expect("plays on");
    up.api.wait_for_state(id, CameraState::Live);
}

#[test]
fn an_on_demand_camera_is_pulled_once_for_all_its_viewers() {
    let camera = camera();
    let launch = Launch::default()
        .env("HEADWORKS__EDGE__PULL__IDLE", "1s")
        .env("HEADWORKS__EDGE__HUB__HLS__IDLE", "5s");
    let up = Scene::launch(launch);
    let id = up.api.add(&camera, StartMode::OnDemand);
    up.api.wait_for_state(id, CameraState::Idle);
    assert_eq!(camera.plays(), 0);

    let urls = up.api.urls(id);
    let mut first = Player::start(urls.flv.as_str()).expect("starts");
    let mut second = Player::start(urls.hls.as_str()).expect("starts");
    first.wait_for_pictures(10, SOON).expect("plays");
    second.wait_for_pictures(10, SOON).expect("plays");
    up.api.wait_for(id, "live with viewers", |camera| {
        camera.status.state == CameraState::Live && camera.status.viewers >= 1
    });
    assert_eq!(camera.plays(), 1, "one connection to the camera");

    drop((first, second));
    camera.wait_for_playing(0, SOON).expect("it is let go");
    up.api.wait_for_state(id, CameraState::Idle);
    let mut third = Player::start(urls.flv.as_str()).expect("starts");
    third.wait_for_pictures(10, SOON).expect("plays");
    assert_eq!(camera.plays(), 2);
}

#[test]
fn a_disabled_camera_shows_nothing() {
    let camera = camera();
    let up = Scene::up();
    let id = up.api.add_live(&camera);
    let urls = up.api.urls(id);
    let set = |enabled| CameraUpdate {
        enabled: Some(enabled),
        ..CameraUpdate::default()
    };
    up.api.call(up.api.client.camera_update(id, &set(false)));
    up.api.wait_for_state(id, CameraState::Disabled);
    camera.wait_for_playing(0, SOON).expect("it is let go");
    headworks_testkit::wait_until("the edge refuses", SOON, || {
        let answer = headworks_testkit::http::get(urls.hls.as_str()).ok()?;
        (answer.status >= 400).then_some(())
    })
    .expect("it does");

    up.api.call(up.api.client.camera_update(id, &set(true)));
    up.api.wait_for_state(id, CameraState::Live);
}
