//! Real encoders and players, judged by FFmpeg at the end of the whole media path.

mod elsewhere;
mod talk;
mod world;

use headworks_testkit::{Player, Seen, judge, tool};
use headworks_types::{CameraSource, OnConflict, edge::SlotState};

use crate::testing::stream_key;
use world::{AAC, H264, H265, KEY, LIMIT, OPUS, TCP, UDP, World, all, gstreamer, publish};

fn clean(seen: &Seen, codecs: &[&str]) {
    assert_eq!(seen.codecs(), codecs, "{seen:?}");
    assert_eq!(seen.errors, Vec::<String>::new());
    assert!(seen.pictures() >= 20, "{seen:?}");
}

fn ffmpeg(url: &str, codecs: &[&str]) {
    clean(&judge::decode(url, 2).expect("decodes"), codecs);
}

/// What GStreamer gets, decoded by FFmpeg.
fn rtspsrc(world: &World, protocols: &str, codec: &str) {
    let location = world.play_url("rtsp", "x");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("seen.mkv").display().to_string();
    let parse = codec.replace("hevc", "h265");
    // By itself it waits a tenth of a second for the answers to PAUSE and TEARDOWN, then closes the
    // connection under its own request and fails of that. This is no time on a busy machine. It may
    // do so all the same, so that what it has got counts, and not how it ends.
    let patience = LIMIT.as_nanos();
    let mut process = gstreamer(&format!(
        "rtspsrc location={location} protocols={protocols} teardown-timeout={patience} name=s \
         s. ! queue ! rtp{parse}depay ! {parse}parse ! identity eos-after=80 \
         ! matroskamux ! filesink location={file}"
    ));
    process.wait(LIMIT).expect("sees enough");
    clean(&judge::decode(&file, 20).expect("decodes"), &[codec]);
}

#[test]
fn what_ffmpeg_publishes_over_tcp_plays_everywhere() {
    let world = World::new();
    let _publisher = publish(tool::FFMPEG, &[H264, AAC, TCP], &world.publish_url("rtsp"));
    let report = world.wait_for_live();
    assert_eq!(report.message, "H.264 320x240, AAC; RTSP from 127.0.0.1");
    let codecs = ["h264", "aac"];
    all(&[
        &|| ffmpeg(&world.play_url("rtsp", "tcp"), &codecs),
        &|| ffmpeg(&world.play_url("rtsp", "udp"), &codecs),
        &|| ffmpeg(&world.play_url("rtsps", "tcp"), &codecs),
        &|| {
            let (port, token) = (world.port(), world.token());
            let camera = world::camera();
            ffmpeg(
                &format!("rtsp://127.0.0.1:{port}/{camera}?tcp&token={token}"),
                &codecs,
            );
        },
        &|| rtspsrc(&world, "tcp", "h264"),
        &|| rtspsrc(&world, "udp", "h264"),
    ]);
    world.stop();
}

#[test]
fn who_may_not_hear_gets_pictures_only() {
    let world = World::new();
    let _publisher = publish(tool::FFMPEG, &[H264, AAC, TCP], &world.publish_url("rtsp"));
    world.wait_for_live();
    all(&[
        &|| ffmpeg(&world.silent_url("tcp"), &["h264"]),
        &|| ffmpeg(&world.silent_url("udp"), &["h264"]),
        &|| ffmpeg(&world.play_url("rtsp", "tcp"), &["h264", "aac"]),
    ]);
    world.stop();
}

#[test]
fn h265_and_opus_over_udp_and_back() {
    let world = World::new();
    let _publisher = publish(tool::FFMPEG, &[H265, OPUS, UDP], &world.publish_url("rtsp"));
    let report = world.wait_for_live();
    assert_eq!(report.message, "H.265 320x240, Opus; RTSP from 127.0.0.1");
    let codecs = ["hevc", "opus"];
    all(&[
        &|| ffmpeg(&world.play_url("rtsp", "tcp"), &codecs),
        &|| ffmpeg(&world.play_url("rtsp", "udp"), &codecs),
        &|| rtspsrc(&world, "udp", "hevc"),
    ]);
    world.stop();
}

#[test]
fn what_gstreamer_publishes_plays() {
    for protocols in ["tcp", "udp"] {
        let world = World::new();
        let location = world.publish_url("rtsp");
        let _publisher = gstreamer(&format!(
            "rtspclientsink location={location} protocols={protocols} name=s \
             videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=25/1 \
             ! x264enc tune=zerolatency key-int-max=25 speed-preset=ultrafast ! s. \
             audiotestsrc is-live=true ! audio/x-raw,rate=8000,channels=1 ! alawenc ! s."
        ));
        let report = world.wait_for_live();
        assert_eq!(
            report.message,
            "H.264 320x240, G.711 A-law; RTSP from 127.0.0.1"
        );
        ffmpeg(&world.play_url("rtsp", protocols), &["h264", "pcm_alaw"]);
        world.stop();
    }
}

#[test]
fn a_publisher_over_tls_is_pulled_over_tls_by_another_edge() {
    let (first, second) = (World::new(), World::new());
    let _publisher = publish(tool::FFMPEG, &[H264, AAC, TCP], &first.publish_url("rtsps"));
    first.wait_for_live();
    let url = first.play_url("rtsps", "x").parse().expect("a URL");
    let pull = |verify| {
        let mut source = CameraSource::pull(url);
        if let CameraSource::Pull { tls_verify, .. } = &mut source {
            *tls_verify = verify;
        }
        source
    };
    second.start(pull(false), Vec::new());
    assert_eq!(second.wait_for_live().message, "H.264 320x240, AAC");
    ffmpeg(&second.play_url("rtsp", "udp"), &["h264", "aac"]);
    let url = first.play_url("rtsps", "x").parse().expect("a URL");
    second.start(CameraSource::pull(url), Vec::new());
    let report = second.wait_for("a refusal", |report| report.state == SlotState::Failed);
    assert!(report.message.contains("certificate"), "{}", report.message);
    first.stop();
    second.stop();
}

#[test]
fn a_publisher_that_drops_and_returns_costs_viewers_nothing() {
    let world = World::new();
    let url = world.publish_url("rtsp");
    let mut publisher = publish(tool::FFMPEG, &[H264, AAC, TCP], &url);
    world.wait_for_live();
    let mut players =
        ["tcp", "udp"].map(|way| Player::start(&world.play_url("rtsp", way)).expect("starts"));
    for player in &mut players {
        player.wait_for_pictures(10, LIMIT).expect("plays");
    }
    publisher.kill();
    let report = world.wait_for("its end", |report| report.state == SlotState::Idle);
    let words = "waits for its publisher; the last one left: it closed the connection";
    assert_eq!(report.message, words);
    let _publisher = publish(tool::FFMPEG, &[H264, AAC, TCP], &url);
    world.wait_for_live();
    for player in &mut players {
        let seen = player.wait_for_pictures(40, LIMIT).expect("goes on");
        assert_eq!(seen.errors, Vec::<String>::new());
    }
    world.desire(vec![]);
    let report = world.wait_for("its end", |report| report.state == SlotState::Idle);
    assert!(
        report.message.ends_with("the stream key was revoked"),
        "{}",
        report.message
    );
    world.stop();
}

#[test]
fn who_may_not_publish_is_told_why() {
    let world = World::new();
    let refused =
        |options: &[&[&str]], url: &str| world::last_words(publish(tool::FFMPEG, options, url));
    let wrong = KEY.replace("ABC", "CBA");
    let said = refused(
        &[H264, AAC, TCP],
        &world.url("rtsp", &format!("?key={wrong}")),
    );
    assert!(said.contains("403"), "{said}");
    let said = refused(&[H264, AAC, TCP], &world.url("rtsp", ""));
    assert!(said.contains("401"), "{said}");
    let mpeg2: &[&str] = &["-c:v", "mpeg2video"];
    let said = refused(&[mpeg2, AAC, TCP], &world.publish_url("rtsp"));
    assert!(said.contains("415") || said.contains("4XX"), "{said}");
    // With the key as password.
    let address = format!("publisher:{KEY}@127.0.0.1");
    let url = world.url("rtsp", "").replace("127.0.0.1", &address);
    let _publisher = publish(tool::FFMPEG, &[H264, AAC, TCP], &url);
    world.wait_for_live();
    let said = refused(&[H264, AAC, TCP], &world.publish_url("rtsp"));
    assert!(said.contains("409") || said.contains("4XX"), "{said}");
    world.stop();
}

#[test]
fn an_encoder_that_sends_more_than_its_key_allows_has_to_go() {
    for way in [TCP, UDP] {
        let world = World::new();
        let mut key = stream_key(KEY, OnConflict::Reject);
        key.bounds.max_bitrate_kbit = Some(64);
        world.desire(vec![key]);
        let url = world.publish_url("rtsp");
        let _publisher = publish(tool::FFMPEG, &[H264, AAC, way], &url);
        let report = world.wait_for("its end", |report| report.refused.is_some());
        let reason = "it sent more than 64 kbit/s, the most that the stream key allows";
        assert_eq!(report.refused.expect("was looked for").reason, reason);
        let report = world.wait_for("its end", |report| report.state == SlotState::Idle);
        assert!(report.message.ends_with(reason), "{}", report.message);
        let said = world::last_words(publish(tool::FFMPEG, &[H264, AAC, way], &url));
        assert!(said.contains("453") || said.contains("4XX"), "{said}");
        world.stop();
    }
}
