//! Media made by FFmpeg, and what is in it, read by ffprobe.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail, ensure};
use bytes::{Buf, Bytes};
use headworks_media::{
    AudioParameters, Frame, G711Law, TrackKind, Tracks, VIDEO_CLOCK, VideoCodec, VideoParameters,
    rescale,
};
use headworks_testkit::tool;
use serde_json::Value;

/// Two seconds of picture, 25 per second.
pub(crate) const PICTURE: &str = "testsrc2=s=320x240:r=25:d=2";
/// Two seconds of sound.
pub(crate) const SOUND: &str = "sine=frequency=440:sample_rate=48000:duration=2";

/// Encoders' arguments. Closed GOPs of a second, two B-frames.
pub(crate) const H264: &[&str] = &["-c:v", "libx264", "-bf", "2", "-g", "25"];
/// Four slices a picture, none above 800 bytes.
pub(crate) const H264_SLICES: &[&str] = &[
    "-c:v",
    "libx264",
    "-tune",
    "zerolatency",
    "-g",
    "25",
    "-x264-params",
    "slices=4:slice-max-size=800",
];
pub(crate) const H265: &[&str] = &[
    "-c:v",
    "libx265",
    "-g",
    "25",
    "-x265-params",
    "bframes=2:pools=1:frame-threads=1:log-level=none",
];
pub(crate) const AAC: &[&str] = &["-c:a", "aac", "-ac", "2", "-b:a", "128k"];
pub(crate) const OPUS: &[&str] = &["-c:a", "libopus", "-ac", "2"];
pub(crate) const ALAW: &[&str] = &["-c:a", "pcm_alaw", "-ar", "8000", "-ac", "1"];

/// A file and what is in it.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) tracks: Tracks,
    /// Of both tracks, in the order of the file.
    pub(crate) frames: Vec<Frame>,
    /// Keeps the file.
    _directory: tempfile::TempDir,
}

impl Source {
    /// Encodes with these arguments.
    pub(crate) fn make(video: &[&str], audio: &[&str]) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        // MP4 has no G.711, QuickTime has no Opus.
        let path = directory.path().join(if audio == ALAW {
            "source.mov"
        } else {
            "source.mp4"
        });
        let mut command = Command::new(tool::FFMPEG);
        command
            .args([
                "-v", "error", "-f", "lavfi", "-i", PICTURE, "-f", "lavfi", "-i", SOUND,
            ])
            .args(video)
            .args(["-pix_fmt", "yuv420p"])
            .args(audio)
            .arg(&path);
        run(&mut command)?;
        let (tracks, frames) = read(&path)?;
        Ok(Self {
            path,
            tracks,
            frames,
            _directory: directory,
        })
    }

    /// The frames of one track.
    pub(crate) fn of(&self, track: TrackKind) -> Vec<&Frame> {
        let frames = self.frames.iter();
        frames.filter(|frame| frame.track == track).collect()
    }
}

/// Runs a program to its end; its output, and an error if it complains.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .output()
        .with_context(|| format!("run {}", command.get_program().display()))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {errors}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn read(path: &Path) -> anyhow::Result<(Tracks, Vec<Frame>)> {
    let mut command = Command::new(tool::FFPROBE);
    command
        .args([
            "-v",
            "error",
            "-show_streams",
            "-show_packets",
            "-show_data",
            "-of",
            "json",
        ])
        .arg(path);
    let answer: Value = serde_json::from_str(&run(&mut command)?)?;
    let streams = answer["streams"].as_array().context("has streams")?;
    let mut tracks = (None, None);
    for stream in streams {
        let clock = clock(stream)?;
        let extra = || dump(&stream["extradata"]);
        match text(&stream["codec_name"]) {
            "h264" => tracks.0 = Some(avc(&extra()?)?),
            "hevc" => tracks.0 = Some(hevc(&extra()?)?),
            "aac" => tracks.1 = Some(AudioParameters::aac(extra()?.into(), clock)?),
            "opus" => {
                tracks.1 = Some(AudioParameters::Opus {
                    channels: 2,
                    pre_skip: 312,
                });
            }
            "pcm_alaw" => {
                tracks.1 = Some(AudioParameters::G711 {
                    law: G711Law::A,
                    clock_rate: clock,
                    channels: 1,
                });
            }
            other => bail!("a track of {other}"),
        }
    }
    let packets = answer["packets"].as_array().context("has packets")?;
    let frames = packets
        .iter()
        .map(|packet| frame(packet, streams))
        .collect::<anyhow::Result<_>>()?;
    let tracks = Tracks {
        video: tracks.0.context("has a picture")?,
        audio: tracks.1,
    };
    Ok((tracks, frames))
}

fn frame(packet: &Value, streams: &[Value]) -> anyhow::Result<Frame> {
    let index = packet["stream_index"].as_u64().context("has a stream")? as usize;
    let stream = streams.get(index).context("has its stream")?;
    let is_video = text(&stream["codec_type"]) == "video";
    let from = time_base(stream)?;
    let to = if is_video {
        VIDEO_CLOCK
    } else {
        clock(stream)?
    };
    let time = |name: &str| {
        let ticks = packet[name]
            .as_i64()
            .with_context(|| format!("a packet with {name}"))?;
        anyhow::Ok(rescale(ticks, from, to))
    };
    Ok(Frame {
        track: if is_video {
            TrackKind::Video
        } else {
            TrackKind::Audio
        },
        dts: time("dts")?,
        pts: time("pts")?,
        key: text(&packet["flags"]).starts_with('K'),
        payload: dump(&packet["data"])?.into(),
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn clock(stream: &Value) -> anyhow::Result<u32> {
    match text(&stream["sample_rate"]) {
        "" => Ok(VIDEO_CLOCK),
        rate => Ok(rate.parse()?),
    }
}

fn time_base(stream: &Value) -> anyhow::Result<u32> {
    let base = text(&stream["time_base"]);
    let (_, ticks) = base.split_once('/').context("a time base")?;
    Ok(ticks.parse()?)
}

/// The bytes of a hexadecimal dump: lines of an address of ten characters, 40 of digits, and text.
fn dump(value: &Value) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for line in text(value).lines().filter(|line| !line.is_empty()) {
        let digits: String = line[10..50].split_whitespace().collect();
        for at in (0..digits.len()).step_by(2) {
            bytes.push(u8::from_str_radix(&digits[at..at + 2], 16)?);
        }
    }
    ensure!(!bytes.is_empty(), "a dump with bytes in it");
    Ok(bytes)
}

/// The parameter sets of an `avcC` (ISO/IEC 14496-15 §5.3.3.1).
fn avc(record: &[u8]) -> anyhow::Result<VideoParameters> {
    let mut rest = Bytes::copy_from_slice(record.get(6..).context("an avcC")?);
    let sps = set(&mut rest);
    rest.advance(1);
    let pps = set(&mut rest);
    Ok(VideoParameters::new(VideoCodec::H264 { sps, pps })?)
}

/// The first parameter sets of each kind of an `hvcC` (ISO/IEC 14496-15 §8.3.3.1).
fn hevc(record: &[u8]) -> anyhow::Result<VideoParameters> {
    let mut rest = Bytes::copy_from_slice(record.get(23..).context("an hvcC")?);
    let mut next = || {
        rest.advance(3);
        set(&mut rest)
    };
    let (vps, sps, pps) = (next(), next(), next());
    Ok(VideoParameters::new(VideoCodec::H265 { vps, sps, pps })?)
}

fn set(rest: &mut Bytes) -> Bytes {
    let length = rest.split_to(2);
    rest.split_to(usize::from(u16::from_be_bytes([length[0], length[1]])))
}
