//! A viewer: an FFmpeg that decodes what it gets and counts the frames.

use std::{
    path::PathBuf,
    process::Command,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use anyhow::bail;

use crate::{Deadline, Process, Signal, Stream, process::lock, tool};

/// What a viewer has decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The tracks, video first.
    pub tracks: Vec<TrackSeen>,
    /// What the decoder complained about.
    pub errors: Vec<String>,
    /// True when the process has ended.
    pub ended: bool,
}

/// What a viewer has decoded of one track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackSeen {
    /// True for pictures, false for sound.
    pub is_video: bool,
    /// FFmpeg's name of the codec: `h264`, `hevc`, `aac`, `pcm_alaw`.
    pub codec: String,
    /// How many frames were decoded.
    pub frames: u64,
}

impl Seen {
    /// Decoded pictures.
    #[must_use]
    pub fn pictures(&self) -> u64 {
        self.tracks
            .iter()
            .filter(|track| track.is_video)
            .map(|track| track.frames)
            .sum()
    }

    /// The codecs, video first.
    #[must_use]
    pub fn codecs(&self) -> Vec<&str> {
        self.tracks.iter().map(|track| &*track.codec).collect()
    }
}

/// A running viewer. It ends when this is dropped.
#[derive(Debug)]
pub struct Player {
    process: Process,
    board: Arc<Board>,
}

#[derive(Debug, Default)]
struct Board {
    seen: Mutex<Seen>,
    changed: Condvar,
}

impl Player {
    /// Watches `url` with Debian's FFmpeg.
    pub fn start(url: &str) -> anyhow::Result<Self> {
        Self::launch(tool::FFMPEG.into(), url, &[])
    }

    /// Watches `url` with the newer FFmpeg.
    pub fn start_modern(url: &str) -> anyhow::Result<Self> {
        Self::launch(tool::modern_ffmpeg()?, url, &[])
    }

    pub(crate) fn launch(ffmpeg: PathBuf, url: &str, output: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(ffmpeg);
        command
            .args(["-nostdin", "-hide_banner", "-nostats"])
            .args(["-loglevel", "level+info", "-i", url, "-map", "0:v?", "-map"])
            // Decode everything, and print a line for each frame.
            .args(["0:a?", "-c:v", "rawvideo", "-c:a", "pcm_s16le"])
            .args(["-fps_mode", "passthrough", "-flush_packets", "1"])
            .args(output)
            .args(["-f", "framecrc", "pipe:1"]);
        let board = Arc::new(Board::default());
        let writer = Arc::clone(&board);
        let process = Process::spawn(command, Signal::Kill, move |stream, line| {
            let mut seen = lock(&writer.seen);
            match stream {
                Stream::Output => seen.take_frame(line),
                Stream::Error => seen.take_log(line),
            }
            writer.changed.notify_all();
        })?;
        Ok(Self { process, board })
    }

    /// What it has decoded so far.
    pub fn seen(&mut self) -> Seen {
        // With its last words, if it has ended.
        let ended = self.process.wait(Duration::ZERO).is_some();
        let mut seen = lock(&self.board.seen).clone();
        seen.ended = ended;
        seen
    }

    /// Waits until `done`; fails when the limit passes or the viewer ends before.
    pub fn wait_for(
        &mut self,
        limit: Duration,
        done: impl Fn(&Seen) -> bool,
    ) -> anyhow::Result<Seen> {
        let deadline = Deadline::after(limit);
        loop {
            let seen = self.seen();
            if done(&seen) {
                return Ok(seen);
            }
            if seen.ended || deadline.has_passed() {
                let why = if seen.ended { "it ended" } else { "time is up" };
                bail!(
                    "the viewer waited in vain ({why}): {seen:?}\n{}",
                    self.process.tail()
                );
            }
            let guard = lock(&self.board.seen);
            // Also wakes now and then, since the end of the process notifies nobody.
            let step = deadline.left().min(Duration::from_millis(100));
            drop(self.board.changed.wait_timeout(guard, step));
        }
    }

    /// Waits until it has decoded `count` more pictures than now.
    pub fn wait_for_pictures(&mut self, count: u64, limit: Duration) -> anyhow::Result<Seen> {
        let before = self.seen().pictures();
        self.wait_for(limit, |seen| seen.pictures() >= before + count)
    }
}

impl Seen {
    /// A line of FFmpeg's `framecrc` format: `<track>, <dts>, <pts>, <duration>, <size>, <crc>`.
    fn take_frame(&mut self, line: &str) {
        if let Some((track, _)) = line.split_once(',')
            && let Ok(track) = track.trim().parse::<usize>()
            && let Some(track) = self.tracks.get_mut(track)
        {
            track.frames += 1;
        }
    }

    /// `[info]   Stream #0:1: Audio: pcm_alaw, 8000 Hz, …` or a complaint.
    fn take_log(&mut self, line: &str) {
        if ["[error]", "[fatal]", "[panic]"]
            .iter()
            .any(|l| line.contains(l))
        {
            self.errors.push(line.to_owned());
        }
        let Some((_, stream)) = line.split_once("Stream #0:") else {
            return;
        };
        for (kind, is_video) in [(": Video: ", true), (": Audio: ", false)] {
            // The same lines come again for the output.
            if self.tracks.iter().any(|track| track.is_video == is_video) {
                continue;
            }
            if let Some((_, codec)) = stream.split_once(kind) {
                let codec = codec
                    .split([' ', ','])
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                let track = TrackSeen {
                    is_video,
                    codec,
                    frames: 0,
                };
                // The output has the picture first, whatever the input's order.
                if is_video {
                    self.tracks.insert(0, track);
                } else {
                    self.tracks.push(track);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracks_frames_and_errors_are_told_apart() {
        let mut seen = Seen::default();
        for line in [
            "[info]   Stream #0:0(und): Audio: aac (LC) (mp4a / 0x6134706D), 16000 Hz, mono",
            "[info]   Stream #0:1: Video: h264 (Constrained Baseline), yuv420p",
            "[info]   Stream #0:0: Video: rawvideo (I420 / 0x30323449), yuv420p",
            "[h264 @ 0x5581] [error] error while decoding MB 1 2",
            "[warning] harmless",
        ] {
            seen.take_log(line);
        }
        for line in [
            "#tb 0: 1/15",
            "0, 0, 0, 1, 115200, 0x1",
            "1, 5, 5, 2, 9, 0x2",
        ] {
            seen.take_frame(line);
        }
        assert_eq!(seen.codecs(), ["h264", "aac"]);
        assert_eq!(seen.pictures(), 1);
        assert_eq!(seen.tracks[1].frames, 1);
        assert_eq!(seen.errors.len(), 1);
    }
}
