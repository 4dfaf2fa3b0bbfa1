//! FFmpeg (Debian's and a current one) and rtmpdump publish to our server and play from it.

use std::{net::TcpListener, path::Path, process::Command, thread, time::Duration};

use anyhow::Context;
use headworks_rtmp::{Media, MediaKind, Refusal, code};
use headworks_testkit::{Process, Signal, judge, tool};

use crate::socket::{Recording, listen, record, refuse, replay};

const PATIENCE: Duration = Duration::from_secs(60);

/// Three seconds of picture with B-frames, key frames of more than one chunk, and sound.
pub(crate) const H264: &[&str] = &[
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-bf",
    "2",
    "-qp",
    "4",
];
const H265: &[&str] = &[
    "-c:v",
    "libx265",
    "-preset",
    "ultrafast",
    "-x265-params",
    "log-level=error:bframes=2",
];
const AV1: &[&str] = &[
    "-c:v",
    "libsvtav1",
    "-preset",
    "12",
    "-svtav1-params",
    "lp=1",
];
const OPUS: &[&str] = &["-c:a", "libopus"];
/// To be named at `connect`.
const ENHANCED: &[&str] = &["-rtmp_enhanced_codecs", "av01,Opus"];
pub(crate) const AAC: &[&str] = &["-c:a", "aac"];

pub(crate) const PICTURES: u64 = 75;

/// An FFmpeg that publishes and ends.
pub(crate) fn publish(
    ffmpeg: impl AsRef<Path>,
    input: &[&str],
    codecs: &[&[&str]],
    url: &str,
) -> anyhow::Result<Process> {
    let mut command = Command::new(ffmpeg.as_ref());
    command
        .args(["-nostdin", "-hide_banner", "-loglevel", "level+info"])
        .args(input)
        .args(["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25"])
        .args(input)
        .args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100"])
        .args(["-t", "3", "-g", "25", "-pix_fmt", "yuv420p"])
        .args(codecs.concat())
        .args(["-f", "flv", url]);
    Process::spawn(command, Signal::Kill, |_, _| {})
}

pub(crate) fn recorded(ffmpeg: impl AsRef<Path>, codecs: &[&[&str]]) -> anyhow::Result<Recording> {
    let (listener, port) = listen();
    let url = format!("rtmp://127.0.0.1:{port}/live/cam?key=a%2Fb");
    let mut process = publish(ffmpeg, &[], codecs, &url)?;
    let recording = record(&listener).with_context(|| process.tail())?;
    let status = process.wait(PATIENCE).context("ffmpeg does not end")?;
    assert!(status.success(), "{}", process.tail());
    Ok(recording)
}

fn of(media: &[Media], kind: MediaKind) -> Vec<&Media> {
    media.iter().filter(|media| media.kind == kind).collect()
}

/// A picture or sound for each that was encoded, and headers; in order.
fn assert_complete(recording: &Recording) {
    let target = &recording.target;
    assert_eq!((&*target.app, &*target.name), ("live", "cam"));
    assert_eq!(target.query.parameter("key").as_deref(), Some("a/b"));
    assert!(recording.stopped, "FFmpeg says when it ends");
    let metadata = of(&recording.media, MediaKind::Data);
    assert!(metadata[0].payload.starts_with(b"\x02\0\x0aonMetaData"));
    let video = of(&recording.media, MediaKind::Video);
    // And a sequence header, and with H.264 an end of sequence.
    let extra = video.len() as u64 - PICTURES;
    assert!((1..=2).contains(&extra), "{} video messages", video.len());
    let audio = of(&recording.media, MediaKind::Audio);
    assert!(
        (125..=135).contains(&audio.len()),
        "{} audio messages",
        audio.len()
    );
    for track in [&video, &audio] {
        assert!(track.is_sorted_by_key(|media| media.timestamp));
        let last = track[track.len() - 1].timestamp;
        assert!((2800..=3100).contains(&last), "ends at {last} ms");
    }
    assert!(video.iter().any(|media| media.payload.len() > 65_536));
}

/// Plays `media` to `play`, which gets the port.
fn while_replaying<T>(
    media: &[Media],
    play: impl FnOnce(u16) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let (listener, port) = listen();
    thread::scope(|scope| {
        let server = scope.spawn(|| replay(&listener, media));
        let played = play(port)?;
        let target = server.join().expect("no panic")?;
        assert_eq!((&*target.app, &*target.name), ("live", "cam"));
        assert_eq!(target.query.parameter("token").as_deref(), Some("t"));
        Ok(played)
    })
}

fn assert_decoded(seen: &headworks_testkit::Seen, codecs: [&str; 2]) {
    assert_eq!(seen.errors, Vec::<String>::new());
    assert_eq!(seen.codecs(), codecs);
    assert_eq!(seen.pictures(), PICTURES);
    assert!(seen.tracks[1].frames >= 125, "{seen:?}");
}

fn url(port: u16) -> String {
    format!("rtmp://127.0.0.1:{port}/live/cam?token=t")
}

#[test]
fn ffmpeg_publishes_and_ffmpeg_and_rtmpdump_play() -> anyhow::Result<()> {
    let mut recording = recorded(tool::FFMPEG, &[H264, AAC])?;
    assert_complete(&recording);
    let seen = while_replaying(&recording.media, |port| judge::decode(&url(port), 4))?;
    assert_decoded(&seen, ["h264", "aac"]);
    let seen = while_replaying(&recording.media, dump)?;
    assert_decoded(&seen, ["h264", "aac"]);
    // Past the time where timestamps get longer, with key frames in two chunks.
    for media in &mut recording.media {
        media.timestamp += 0x0100_0000 - 1000;
    }
    let seen = while_replaying(&recording.media, |port| judge::decode(&url(port), 4))?;
    assert_decoded(&seen, ["h264", "aac"]);
    let seen = while_replaying(&recording.media, dump)?;
    assert_decoded(&seen, ["h264", "aac"]);
    Ok(())
}

/// By rtmpdump into a file, which FFmpeg judges.
fn dump(port: u16) -> anyhow::Result<headworks_testkit::Seen> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("dump.flv");
    let mut command = Command::new("rtmpdump");
    command
        .args(["--live", "--rtmp", &url(port), "--flv"])
        .arg(&file);
    let mut process = Process::spawn(command, Signal::Kill, |_, _| {})?;
    process.wait(PATIENCE).context("rtmpdump does not end")?;
    judge::decode(&file.display().to_string(), 4).with_context(|| process.tail())
}

#[test]
fn the_modern_ffmpeg_publishes_and_plays_h265() -> anyhow::Result<()> {
    let recording = recorded(tool::modern_ffmpeg()?, &[H265, AAC])?;
    let video = of(&recording.media, MediaKind::Video);
    assert_eq!(video[0].payload[1..5], *b"hvc1");
    let seen = while_replaying(&recording.media, |port| judge::decode_modern(&url(port), 4))?;
    assert_decoded(&seen, ["hevc", "aac"]);
    Ok(())
}

#[test]
fn the_modern_ffmpeg_publishes_and_plays_av1_and_opus() -> anyhow::Result<()> {
    let recording = recorded(tool::modern_ffmpeg()?, &[AV1, OPUS, ENHANCED])?;
    assert_eq!(recording.codecs, ["av01", "Opus"]);
    let video = of(&recording.media, MediaKind::Video);
    assert_eq!(video[0].payload[1..5], *b"av01");
    let seen = while_replaying(&recording.media, |port| judge::decode_modern(&url(port), 4))?;
    assert_decoded(&seen, ["av1", "opus"]);
    Ok(())
}

#[test]
fn the_modern_ffmpeg_publishes_h264() -> anyhow::Result<()> {
    let recording = recorded(tool::modern_ffmpeg()?, &[H264, AAC])?;
    assert_complete(&recording);
    assert_eq!(recording.codecs, Vec::<String>::new());
    Ok(())
}

/// What a peer that is turned away prints.
fn told(
    refusal: &Refusal,
    start: impl FnOnce(u16, &TcpListener) -> anyhow::Result<Process>,
) -> anyhow::Result<String> {
    let (listener, port) = listen();
    let mut process = start(port, &listener)?;
    refuse(&listener, refusal).with_context(|| process.tail())?;
    process.wait(PATIENCE).context("it does not end")?;
    Ok(process.tail())
}

#[test]
fn a_refused_publisher_prints_the_reason() -> anyhow::Result<()> {
    for ffmpeg in [tool::FFMPEG.into(), tool::modern_ffmpeg()?] {
        let refusal = Refusal::new(code::PUBLISH_BAD_NAME, "this key was revoked");
        let said = told(&refusal, |port, _| {
            publish(ffmpeg, &[], &[H264, AAC], &url(port))
        })?;
        assert!(said.contains("this key was revoked"), "{said}");
    }
    Ok(())
}

#[test]
fn a_refused_player_prints_the_reason() -> anyhow::Result<()> {
    let refusal = Refusal::new(code::PLAY_NOT_FOUND, "no camera of this name");
    let said = told(&refusal, |port, _| {
        let mut command = Command::new("rtmpdump");
        command.args(["--live", "--rtmp", &url(port), "--flv", "/dev/null"]);
        Process::spawn(command, Signal::Kill, |_, _| {})
    })?;
    assert!(said.contains("NetStream.Play.StreamNotFound"), "{said}");
    let said = told(&refusal, |port, _| {
        let mut command = Command::new(tool::FFMPEG);
        command.args(["-nostdin", "-i", &url(port), "-f", "null", "-"]);
        Process::spawn(command, Signal::Kill, |_, _| {})
    })?;
    assert!(said.contains("no camera of this name"), "{said}");
    Ok(())
}
