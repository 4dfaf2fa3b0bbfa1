//! The cameras against the judge, without Headworks between them: what fails here is the tools.

use std::time::Duration;

use headworks_testkit::{Audio, Camera, CameraOptions, Login, Player, Scheme, Video, judge};

const SOON: Duration = Duration::from_secs(20);

fn decode(options: CameraOptions) -> headworks_testkit::Seen {
    let camera = Camera::start(options).expect("starts");
    judge::decode(&camera.url(), 2).expect("decodes")
}

#[test]
fn h264_with_aac() {
    let seen = decode(CameraOptions {
        audio: Audio::Aac,
        ..CameraOptions::default()
    });
    assert_eq!(seen.codecs(), ["h264", "aac"]);
    assert!(seen.pictures() >= 25, "{seen:?}");
    assert!(seen.tracks[1].frames >= 25, "{seen:?}");
    assert!(seen.errors.is_empty(), "{seen:?}");
}

#[test]
fn h265_with_g711() {
    for (audio, codec) in [(Audio::G711a, "pcm_alaw"), (Audio::G711u, "pcm_mulaw")] {
        let seen = decode(CameraOptions {
            video: Video::H265,
            audio,
            ..CameraOptions::default()
        });
        assert_eq!(seen.codecs(), ["hevc", codec]);
        assert!(seen.pictures() >= 25, "{seen:?}");
    }
}

#[test]
fn b_frames_and_motion_jpeg() {
    for (video, b_frames, codec) in [
        (Video::H264, 2, "h264"),
        (Video::H265, 2, "hevc"),
        (Video::Mjpeg, 0, "mjpeg"),
    ] {
        let seen = decode(CameraOptions {
            video,
            b_frames,
            ..CameraOptions::default()
        });
        assert_eq!(seen.codecs(), [codec]);
        assert!(seen.pictures() >= 20, "{seen:?}");
    }
}

#[test]
fn odd_passwords_are_asked_for() {
    for scheme in [Scheme::Digest, Scheme::Basic] {
        let camera = Camera::start(CameraOptions {
            login: Some(Login {
                scheme,
                username: "admin".to_owned(),
                password: "p@ss:w/rd%41".to_owned(),
            }),
            ..CameraOptions::default()
        })
        .expect("starts");
        let without = judge::decode(&camera.url(), 1).expect("ends");
        assert!(without.errors[0].contains("401"), "{without:?}");
        let url = camera
            .url()
            .replace("rtsp://", "rtsp://admin:p%40ss%3Aw%2Frd%2541@");
        let with = judge::decode(&url, 1).expect("decodes");
        assert!(with.pictures() >= 10, "{with:?}");
    }
}

#[test]
fn clients_are_counted_and_a_camera_comes_back_on_its_port() {
    let mut camera = Camera::start(CameraOptions::default()).expect("starts");
    let url = camera.url();
    let mut first = Player::start(&url).expect("starts");
    let mut second = Player::start(&url).expect("starts");
    first.wait_for_pictures(5, SOON).expect("plays");
    second.wait_for_pictures(5, SOON).expect("plays");
    assert_eq!((camera.playing(), camera.plays()), (2, 2));
    drop(second);
    camera.wait_for_playing(1, SOON).expect("one has gone");

    camera.freeze();
    camera.thaw();
    first.wait_for_pictures(5, SOON).expect("plays on");

    camera.restart().expect("starts again");
    assert_eq!(camera.url(), url);
    assert_eq!(camera.plays(), 0);
    let mut third = Player::start(&url).expect("starts");
    third.wait_for_pictures(5, SOON).expect("plays");
}
