//! Says of an output what foreign decoders make of it.

use std::{
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::{Player, Process, Seen, Signal, Stream, TrackSeen, process::lock, tool};

const PARSE: &str = include_str!("browser/parse.mjs");

/// How much longer than the media itself a decoder may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Decodes `seconds` of `url` with Debian's FFmpeg.
pub fn decode(url: &str, seconds: u32) -> anyhow::Result<Seen> {
    run(tool::FFMPEG.into(), url, seconds)
}

/// Decodes `seconds` of `url` with the newer FFmpeg, which also knows H.265 in FLV.
pub fn decode_modern(url: &str, seconds: u32) -> anyhow::Result<Seen> {
    run(tool::modern_ffmpeg()?, url, seconds)
}

fn run(ffmpeg: std::path::PathBuf, url: &str, seconds: u32) -> anyhow::Result<Seen> {
    let length = seconds.to_string();
    let mut player = Player::launch(ffmpeg, url, &["-t", &length])?;
    let limit = PATIENCE + Duration::from_secs(seconds.into());
    player.wait_for(limit, |seen| seen.ended)
}

/// Counts the frames in `seconds` of `url` with Debian's ffprobe, which decodes them.
pub fn probe(url: &str, seconds: u32) -> anyhow::Result<Seen> {
    #[derive(Deserialize)]
    struct Answer {
        streams: Vec<StreamAnswer>,
    }
    #[derive(Deserialize)]
    struct StreamAnswer {
        codec_type: String,
        codec_name: String,
        #[serde(default)]
        nb_read_frames: Option<String>,
    }

    let mut command = Command::new(tool::FFPROBE);
    command
        .args(["-v", "error", "-count_frames", "-of", "json=compact=1"])
        .args([
            "-show_entries",
            "stream=codec_type,codec_name,nb_read_frames",
        ])
        .args(["-read_intervals", &format!("%+{seconds}"), url]);
    let said = Arc::new(Mutex::new((String::new(), Vec::new())));
    let writer = Arc::clone(&said);
    let mut process = Process::spawn(command, Signal::Kill, move |stream, line| {
        let (output, errors) = &mut *lock(&writer);
        match stream {
            Stream::Output => output.push_str(line),
            Stream::Error => errors.push(line.to_owned()),
        }
    })?;
    let limit = PATIENCE + Duration::from_secs(seconds.into());
    if process.wait(limit).is_none() {
        bail!("ffprobe has not ended after {limit:?}");
    }
    // The last lines may still be on their way through the pipe.
    let answer: Answer = crate::wait_until("ffprobe's answer", Duration::from_secs(5), || {
        serde_json::from_str(&lock(&said).0).ok()
    })
    .with_context(|| lock(&said).1.join("\n"))?;
    let mut tracks: Vec<_> = answer
        .streams
        .into_iter()
        .map(|stream| TrackSeen {
            is_video: stream.codec_type == "video",
            codec: stream.codec_name,
            frames: stream
                .nb_read_frames
                .and_then(|frames| frames.parse().ok())
                .unwrap_or(0),
        })
        .collect();
    tracks.sort_by_key(|track| !track.is_video);
    let errors = lock(&said).1.clone();
    Ok(Seen {
        tracks,
        errors,
        ended: true,
    })
}

/// What an HLS playlist consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Playlist {
    /// Whole segments, and one that is being built.
    pub segments: usize,
    /// Their parts.
    pub parts: usize,
    /// Hinted parts.
    pub hints: usize,
    /// Segments that an update leaves out.
    pub skipped: usize,
    /// Variant streams.
    pub variants: usize,
}

/// Reads a playlist with hls-parser, which knows the rules of Low-Latency HLS. Fails with its words
/// if the playlist breaks one.
pub fn playlist(text: &str) -> anyhow::Result<Playlist> {
    let options = serde_json::json!({ "modules": tool::web_players()?, "text": text });
    let said = Command::new("node")
        .args(["--input-type=module", "-e", PARSE, &options.to_string()])
        .output()
        .context("run Node.js")?;
    if !said.status.success() {
        bail!("{}\n{text}", String::from_utf8_lossy(&said.stderr));
    }
    Ok(serde_json::from_slice(&said.stdout)?)
}
