//! Real encoders and players, judged by FFmpeg at the end of the whole media path.

mod elsewhere;
mod pulled;
mod refused;
mod silent;
mod slow;
mod world;
mod wrapped;

use std::{
    fs::Permissions,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    process::Command,
};

use headworks_testkit::{Player, Process, Seen, Signal, Stream, judge, tool, wait_until};
use headworks_types::{PublishProtocol, edge::SlotState};

use world::{AAC, H264, LIMIT, World, all, publish};

fn clean(seen: &Seen, codecs: &[&str]) {
    assert_eq!(seen.codecs(), codecs, "{seen:?}");
    assert_eq!(seen.errors, Vec::<String>::new());
    assert!(seen.pictures() >= 20, "{seen:?}");
}

#[test]
fn what_ffmpeg_publishes_plays_everywhere() {
    let world = World::new();
    let mut publisher = publish(tool::FFMPEG, &[H264, AAC], &world.publish_url("rtmp"));
    let report = world.wait_for_live(&mut publisher);
    assert_eq!(report.message, "H.264 320x240, AAC; RTMP from 127.0.0.1");
    let who = report.publisher.expect("somebody publishes");
    assert_eq!(who.protocol, PublishProtocol::Rtmp);
    let ffmpeg = |url: String| clean(&judge::decode(&url, 2).expect("decodes"), &["h264", "aac"]);
    all(&[
        &|| ffmpeg(world.play_url("rtmp")),
        &|| ffmpeg(world.flv_url()),
        &|| rtmpdump(&world),
        &|| gstreamer(&world),
        &|| vlc(&world),
    ]);
    world.stop();
}

/// It has the query of the URL where Flash clients put it.
fn rtmpdump(world: &World) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("dump.flv");
    let (port, token) = (world.rtmp, world.token());
    let url = format!("rtmp://127.0.0.1:{port}/live?token={token}");
    let mut command = Command::new("rtmpdump");
    command
        .args([
            "--live", "--quiet", "--rtmp", &url, "--app", "live", "--tcUrl", &url,
        ])
        .args(["--playpath", &world::camera().to_string(), "--flv"])
        .arg(&file);
    let process = Process::spawn(command, Signal::Kill, |_, _| {}).expect("starts");
    wait_until("a recording", LIMIT, || {
        let length = std::fs::metadata(&file).ok()?.len();
        (length > 200_000).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error:#}: {}", process.tail()));
    let seen = judge::decode(&file.display().to_string(), 1).expect("decodes");
    clean(&seen, &["h264", "aac"]);
}

/// Ends well when it has seen enough pictures.
fn gstreamer(world: &World) {
    let mut command = Command::new("gst-launch-1.0");
    let location = format!("location={}", world.play_url("rtmp"));
    let pipeline = "! flvdemux name=d d.video ! queue ! h264parse \
                    ! identity eos-after=25 ! fakesink";
    command
        .args(["-q", "rtmp2src", &location])
        .args(pipeline.split_whitespace());
    let mut process = Process::spawn(command, Signal::Kill, |_, _| {}).expect("starts");
    let ended = process.wait(LIMIT).expect("sees enough");
    assert!(ended.success(), "{}", process.tail());
}

/// Remuxes for some time; FFmpeg judges what it got.
fn vlc(world: &World) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("vlc.ts");
    // It does not run as root.
    let is_root = std::fs::metadata("/proc/self").expect("is there").uid() == 0;
    let mut command = if is_root {
        let everybody = Permissions::from_mode(0o777);
        std::fs::set_permissions(directory.path(), everybody).expect("is ours");
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "vlc"]);
        command
    } else {
        Command::new("vlc")
    };
    let output = format!("#std{{access=file,mux=ts,dst={}}}", file.display());
    command
        .env("HOME", directory.path())
        .args(["-I", "dummy", "--run-time", "3", "--play-and-exit"])
        .args(["--sout", &output, &world.play_url("rtmp"), "vlc://quit"]);
    let process = Process::spawn(command, Signal::Kill, |_, _| {}).expect("starts");
    let said = world::last_words(process);
    let seen = judge::decode(&file.display().to_string(), 3).expect("decodes");
    // Its file ends in the middle of a sound.
    assert_eq!(seen.codecs(), ["h264", "aac"], "{seen:?} {said}");
    assert!(seen.pictures() >= 20, "{seen:?}");
}

#[test]
fn what_gstreamer_publishes_plays() {
    let world = World::new();
    let mut command = Command::new("gst-launch-1.0");
    let location = format!("location={}", world.publish_url("rtmp"));
    let pipeline = "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=25/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! h264parse \
         ! flvmux name=mux streamable=true ! rtmp2sink LOCATION \
         audiotestsrc is-live=true ! audio/x-raw,rate=44100,channels=2 ! voaacenc ! aacparse ! mux.";
    let words = pipeline.split_whitespace();
    command
        .arg("-q")
        .args(words.map(|word| word.replace("LOCATION", &location)));
    let mut publisher = Process::spawn(command, Signal::Kill, |_, _| {}).expect("starts");
    world.wait_for_live(&mut publisher);
    let seen = judge::decode(&world.play_url("rtmp"), 2).expect("decodes");
    clean(&seen, &["h264", "aac"]);
    world.stop();
}

#[test]
fn a_publisher_that_drops_and_returns_costs_viewers_nothing() {
    let world = World::new();
    let url = world.publish_url("rtmp");
    let mut publisher = publish(tool::FFMPEG, &[H264, AAC], &url);
    world.wait_for_live(&mut publisher);
    let mut players =
        [world.play_url("rtmp"), world.flv_url()].map(|url| Player::start(&url).expect("starts"));
    for player in &mut players {
        player.wait_for_pictures(10, LIMIT).expect("plays");
    }
    publisher.kill();
    let report = world.wait_for("its end", |report| report.state == SlotState::Idle);
    let words = "waits for its publisher; the last one left: it closed the connection";
    assert_eq!((&*report.message, report.publisher), (words, None));
    let mut returned = publish(tool::FFMPEG, &[H264, AAC], &url);
    world.wait_for_live(&mut returned);
    for player in &mut players {
        let seen = player.wait_for_pictures(30, LIMIT).expect("goes on");
        assert_eq!(seen.errors, Vec::<String>::new());
    }
    world.stop();
}

#[test]
fn enhanced_rtmp_brings_h265_av1_and_opus_which_leaves_as_aac() {
    let modern = tool::modern_ffmpeg().expect("is installed");
    let h265: &[&str] = &[
        "-c:v",
        "libx265",
        "-preset",
        "ultrafast",
        "-x265-params",
        "log-level=error:bframes=2:pools=1:frame-threads=1",
    ];
    let av1: &[&str] = &[
        "-c:v",
        "libsvtav1",
        "-preset",
        "12",
        "-svtav1-params",
        "lp=1",
    ];
    let opus: &[&str] = &["-c:a", "libopus", "-ar", "48000"];
    let enhanced: &[&str] = &["-rtmp_enhanced_codecs", "av01,hvc1,Opus"];
    for (codecs, seen) in [
        (&[h265, AAC, enhanced], ["hevc", "aac"]),
        (&[av1, opus, enhanced], ["av1", "aac"]),
    ] {
        let world = World::new();
        let mut publisher = publish(&modern, codecs, &world.publish_url("rtmp"));
        world.wait_for_live(&mut publisher);
        all(&[
            &|| {
                let url = world.play_url("rtmp");
                clean(&judge::decode_modern(&url, 2).expect("decodes"), &seen);
            },
            &|| {
                let url = world.flv_url();
                clean(&judge::decode_modern(&url, 2).expect("decodes"), &seen);
            },
        ]);
        drop(publisher);
        world.stop();
    }
}

/// How much later than decoded each of the first packets of video is shown, in milliseconds.
fn composition(url: &str) -> Vec<i64> {
    let packets = std::sync::Arc::<std::sync::Mutex<Vec<String>>>::default();
    let writer = std::sync::Arc::clone(&packets);
    let mut command = Command::new(tool::FFPROBE);
    command
        .args(["-v", "error", "-select_streams", "v", "-of", "csv=p=0"])
        .args([
            "-show_entries",
            "packet=pts,dts",
            "-read_intervals",
            "%+3",
            url,
        ]);
    let mut process = Process::spawn(command, Signal::Kill, move |stream, line| {
        if stream == Stream::Output {
            writer.lock().expect("works").push(line.to_owned());
        }
    })
    .expect("starts");
    process.wait(LIMIT).expect("ends");
    let packets = packets.lock().expect("works");
    let later = |line: &String| {
        let mut times = line.split(',').map(str::parse::<i64>);
        let (Some(Ok(pts)), Some(Ok(dts))) = (times.next(), times.next()) else {
            panic!("{line}");
        };
        pts - dts
    };
    packets.iter().map(later).take(50).collect()
}

#[test]
fn b_frames_keep_their_composition_times() {
    let world = World::new();
    let fixed: &[&str] = &["-x264-params", "b-adapt=0:scenecut=0:keyint=25"];
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("same.flv").display().to_string();
    let mut recorder = publish(tool::FFMPEG, &[H264, fixed, AAC, &["-t", "2"]], &file);
    recorder.wait(LIMIT).expect("ends");
    let expected = composition(&file);
    assert!(expected.iter().any(|later| *later > 40), "{expected:?}");
    let mut publisher = publish(
        tool::FFMPEG,
        &[H264, fixed, AAC],
        &world.publish_url("rtmp"),
    );
    world.wait_for_live(&mut publisher);
    // Players start at a key frame, as the file does, and both have one each second.
    all(&[
        &|| assert_eq!(composition(&world.play_url("rtmp")), expected),
        &|| assert_eq!(composition(&world.flv_url()), expected),
    ]);
    world.stop();
}
