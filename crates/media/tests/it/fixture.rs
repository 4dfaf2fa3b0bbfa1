//! Media that FFmpeg makes when a test asks for it, and what FFmpeg says of media.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use headworks_media::{Demuxed, Frame, TrackKind, Tracks};
use headworks_testkit::{Seen, tool};
use tempfile::TempDir;

/// Pictures per second, and seconds of each fixture.
pub(crate) const PICTURES: usize = 50;

/// Two seconds of moving picture and a tone.
pub(crate) struct Fixture {
    directory: TempDir,
}

/// What FFmpeg is told for a format of pictures.
pub(crate) const H264: &[&str] = &[
    "-c:v",
    "libx264",
    "-preset",
    "veryfast",
    "-bf",
    "3",
    "-g",
    "25",
    "-x264-params",
    "b-pyramid=normal:scenecut=0",
];
pub(crate) const H265: &[&str] = &[
    "-c:v",
    "libx265",
    "-preset",
    "ultrafast",
    "-x265-params",
    "bframes=3:keyint=25:log-level=error",
    "-tag:v",
    "hvc1",
];
pub(crate) const AV1: &[&str] = &["-c:v", "libsvtav1", "-preset", "12", "-g", "25"];
/// … and for a format of sound.
pub(crate) const AAC: &[&str] = &["-c:a", "aac"];
pub(crate) const OPUS: &[&str] = &["-c:a", "libopus"];
pub(crate) const ALAW: &[&str] = &["-c:a", "pcm_alaw", "-ar", "8000", "-ac", "1"];

/// Which FFmpeg.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Version {
    Debian,
    Modern,
}

impl Version {
    fn command(self) -> anyhow::Result<Command> {
        Ok(Command::new(match self {
            Self::Debian => tool::FFMPEG.into(),
            Self::Modern => tool::modern_ffmpeg()?,
        }))
    }
}

impl Fixture {
    /// Encodes into `source.EXTENSION`.
    pub(crate) fn new(
        version: Version,
        codecs: &[&[&str]],
        extension: &str,
    ) -> anyhow::Result<Self> {
        let fixture = Self {
            directory: TempDir::new()?,
        };
        let mut command = version.command()?;
        command
            .args(["-nostdin", "-v", "error", "-y"])
            .args([
                "-f",
                "lavfi",
                "-i",
                "testsrc=size=320x180:rate=25:duration=2",
            ])
            .args([
                "-f",
                "lavfi",
                "-i",
                "sine=frequency=440:sample_rate=48000:duration=2",
            ])
            .args(["-pix_fmt", "yuv420p", "-threads", "2"])
            .args(codecs.concat())
            .arg(fixture.source(extension));
        run(command)?;
        Ok(fixture)
    }

    /// The file as it was encoded.
    pub(crate) fn source(&self, extension: &str) -> PathBuf {
        self.directory.path().join(format!("source.{extension}"))
    }

    /// The same without encoding again, in another container.
    pub(crate) fn remux(
        &self,
        version: Version,
        from: &str,
        extension: &str,
        options: &[&str],
    ) -> anyhow::Result<PathBuf> {
        let target = self.source(extension);
        let mut command = version.command()?;
        command
            .args(["-nostdin", "-v", "error", "-y", "-i"])
            .arg(self.source(from))
            .args(["-c", "copy"])
            .args(options)
            .arg(&target);
        run(command)?;
        Ok(target)
    }

    /// Where a test puts what it has written.
    pub(crate) fn output(&self, name: &str, content: &[u8]) -> anyhow::Result<PathBuf> {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content)?;
        Ok(path)
    }
}

fn run(mut command: Command) -> anyhow::Result<Vec<u8>> {
    let output = command.output().context("run it")?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

/// One packet as ffprobe shows it: decoding and presentation time in seconds, flags.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Packet {
    pub(crate) dts: f64,
    pub(crate) pts: f64,
    pub(crate) key: bool,
}

/// The packets of the picture (`v`) or the sound (`a`) of a file.
pub(crate) fn packets(path: &Path, stream: &str) -> anyhow::Result<Vec<Packet>> {
    let mut command = Command::new(tool::FFPROBE);
    command
        .args(["-v", "error", "-of", "json=compact=1", "-show_packets"])
        .args(["-select_streams", stream])
        .arg(path);
    let answer: serde_json::Value = serde_json::from_slice(&run(command)?)?;
    let packets = answer["packets"].as_array().context("has packets")?;
    packets
        .iter()
        .map(|packet| {
            let seconds = |name: &str| -> anyhow::Result<f64> {
                Ok(packet[name].as_str().context("has both times")?.parse()?)
            };
            Ok(Packet {
                dts: seconds("dts_time")?,
                pts: seconds("pts_time")?,
                key: packet["flags"]
                    .as_str()
                    .is_some_and(|flags| flags.starts_with('K')),
            })
        })
        .collect()
}

/// What a demuxer has found, as a stream carries it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) tracks: Arc<Tracks>,
    pub(crate) frames: Vec<Frame>,
    /// Length of each packet of sound.
    pub(crate) lengths: Vec<u32>,
}

impl Found {
    pub(crate) fn new(events: Vec<Demuxed>) -> anyhow::Result<Self> {
        let (mut tracks, mut frames, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        for event in events {
            match event {
                Demuxed::Tracks(new) => tracks.push(new),
                Demuxed::Video {
                    dts,
                    pts,
                    key,
                    payload,
                } => frames.push(frame(TrackKind::Video, dts, pts, key, payload)),
                Demuxed::Audio {
                    timestamp,
                    length,
                    payload,
                } => {
                    lengths.push(length);
                    frames.push(frame(TrackKind::Audio, timestamp, timestamp, true, payload));
                }
            }
        }
        ensure!(tracks.len() == 1, "told once what there is: {tracks:?}");
        Ok(Self {
            tracks: tracks.remove(0),
            frames,
            lengths,
        })
    }

    fn of(&self, track: TrackKind) -> impl Iterator<Item = &Frame> {
        self.frames.iter().filter(move |frame| frame.track == track)
    }

    pub(crate) fn pictures(&self) -> impl Iterator<Item = &Frame> {
        self.of(TrackKind::Video)
    }

    pub(crate) fn sounds(&self) -> impl Iterator<Item = &Frame> {
        self.of(TrackKind::Audio)
    }

    /// Fails unless these are the packets of `path`, to within `tolerance` seconds.
    pub(crate) fn is_as_in(&self, path: &Path, tolerance: f64) -> anyhow::Result<()> {
        let pictures = packets(path, "v")?;
        same(&pictures, self.pictures(), 90_000, tolerance).context("picture")?;
        if let Some(audio) = &self.tracks.audio {
            let sounds = packets(path, "a")?;
            same(&sounds, self.sounds(), audio.clock_rate(), tolerance).context("sound")?;
        }
        Ok(())
    }
}

/// The first packet may have another time: containers begin where they like.
fn same<'a>(
    packets: &[Packet],
    frames: impl Iterator<Item = &'a Frame>,
    rate: u32,
    tolerance: f64,
) -> anyhow::Result<()> {
    let seconds = |ticks: i64| ticks as f64 / f64::from(rate);
    let frames: Vec<_> = frames.collect();
    ensure!(
        packets.len() == frames.len(),
        "{} packets, {} frames",
        packets.len(),
        frames.len()
    );
    let begin = packets[0].dts - seconds(frames[0].dts);
    for (index, (packet, frame)) in packets.iter().zip(frames).enumerate() {
        let near = |a: f64, b: f64| (a - b).abs() <= tolerance;
        ensure!(
            near(packet.dts, seconds(frame.dts) + begin)
                && near(packet.pts, seconds(frame.pts) + begin)
                && packet.key == frame.key,
            "number {index}: {packet:?} and {frame:?} from {begin}"
        );
    }
    Ok(())
}

fn frame(track: TrackKind, dts: i64, pts: i64, key: bool, payload: Bytes) -> Frame {
    Frame {
        track,
        dts,
        pts,
        key,
        payload,
    }
}

/// Fails unless a foreign decoder took everything without complaint.
pub(crate) fn decodes(seen: anyhow::Result<Seen>, codecs: &[&str]) -> anyhow::Result<()> {
    let seen = seen?;
    ensure!(seen.errors.is_empty(), "{:?}", seen.errors);
    ensure!(seen.codecs() == codecs, "{:?}", seen.codecs());
    ensure!(seen.pictures() == PICTURES as u64, "{seen:?}");
    Ok(())
}
