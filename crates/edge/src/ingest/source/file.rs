//! A file, or the files of a folder in the order of their names, played in a loop.
//!
//! FFmpeg reads them in real time and passes pictures on as they are. Each file is a session of
//! its own, so that they may differ; viewers stay from one to the next.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use tokio::{fs, io::AsyncReadExt as _, time::timeout};

use super::transport;
use crate::{
    ffmpeg::Ffmpeg,
    ingest::{Config, Feed, failure::Failure},
};

/// What of a folder is played, by its ending.
const ENDINGS: [&str; 10] = [
    "avi", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpg", "ts", "webm",
];

/// A folder may have so many files.
const MAX_FILES: usize = 10_000;

/// What FFmpeg may take a file for: nothing that names other files, as playlists do.
const FORMATS: &str = "format_whitelist";
const ALLOWED: &str = "avi,flv,matroska,webm,mov,mp4,mpeg,mpegts";

/// The answer of ffprobe is shorter, bytes.
const MAX_ANSWER: u64 = 64 << 10;

/// What a session needs to know.
pub(super) struct Session<'a> {
    pub(super) config: &'a Config,
    pub(super) ffmpeg: &'a Ffmpeg,
    /// Below the media directory.
    pub(super) path: &'a str,
}

impl Session<'_> {
    /// Plays round after round; returns when a whole one shows nothing.
    pub(super) async fn run(&self, feed: &mut Feed) -> Failure {
        let mut told = HashMap::new();
        loop {
            let files = match self.files().await {
                Ok(files) => files,
                Err(failure) => return failure,
            };
            let mut failed = Failure::Because("has no media files".to_owned());
            let mut has_played = false;
            let mut failures = HashMap::new();
            for file in &files {
                match self.play(file, feed).await {
                    Ok(()) => has_played = true,
                    Err(failure) => {
                        failed = failure.clone();
                        failures.insert(file.clone(), failure);
                    }
                }
            }
            if !has_played {
                return failed;
            }
            // The others are played, so the camera's status does not say it; nor does each round.
            for (file, reason) in &failures {
                if told.get(file) != Some(reason) {
                    tracing::warn!(file = %file.display(), %reason, "a file is not played");
                }
            }
            told = failures;
        }
    }

    /// What is to be played, by its real path. Links may lead anywhere but out of the media
    /// directory.
    async fn files(&self) -> Result<Vec<PathBuf>, Failure> {
        let Some(root) = &self.config.files else {
            return Err(Failure::Because(
                "this edge plays no files: edge.pull.files is not set".to_owned(),
            ));
        };
        let root = fs::canonicalize(root)
            .await
            .map_err(|error| Failure::Because(format!("edge.pull.files: {error}")))?;
        let path = below(&root, &root.join(self.path)).await?;
        let kind = fs::metadata(&path).await.map_err(|error| words(&error))?;
        if kind.is_file() {
            return Ok(vec![path]);
        }
        if !kind.is_dir() {
            let words = "is neither a file nor a folder";
            return Err(Failure::Because(words.to_owned()));
        }
        let mut found = Vec::new();
        let mut entries = fs::read_dir(&path).await.map_err(|error| words(&error))?;
        while let Some(entry) = entries.next_entry().await.map_err(|error| words(&error))? {
            if !is_media(&entry.path()) {
                continue;
            }
            if found.len() == MAX_FILES {
                let words = format!("has more than {MAX_FILES} files");
                return Err(Failure::Because(words));
            }
            found.push(entry.path());
        }
        found.sort();
        let mut files = Vec::new();
        for path in found {
            let path = below(&root, &path).await?;
            if fs::metadata(&path).await.is_ok_and(|kind| kind.is_file()) {
                files.push(path);
            }
        }
        Ok(files)
    }

    async fn play(&self, file: &Path, feed: &mut Feed) -> Result<(), Failure> {
        let limit = self.config.connect_timeout;
        let streams = timeout(limit, self.probe(file))
            .await
            .map_err(|_| Failure::Because(format!("ffprobe takes longer than {limit:?}")))??;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        feed.begin(name.as_ref());
        let mut arguments = input(file);
        arguments.splice(0..0, ["-nostdin".to_owned(), "-re".to_owned()]);
        arguments.extend(streams.output()?.split(' ').map(str::to_owned));
        let mut child = self
            .ffmpeg
            .start("file", arguments)
            .map_err(|error| Failure::Because(format!("FFmpeg does not start: {error}")))?;
        match transport::play(&mut child.output, feed).await {
            Err(Failure::NoVideoTrack) => Err(Failure::Because(child.end().await)),
            outcome => outcome,
        }
    }

    async fn probe(&self, file: &Path) -> Result<Streams, Failure> {
        let mut arguments: Vec<String> = "-of json=compact=1 -show_entries \
            stream=codec_type,codec_name,channels:stream_disposition=attached_pic"
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        arguments.extend(input(file));
        let mut child = self
            .ffmpeg
            .probe("file", arguments)
            .map_err(|error| Failure::Because(format!("ffprobe does not start: {error}")))?;
        let mut answer = Vec::new();
        let mut output = (&mut child.output).take(MAX_ANSWER);
        output
            .read_to_end(&mut answer)
            .await
            .map_err(|error| words(&error))?;
        match serde_json::from_slice::<Streams>(&answer) {
            Ok(streams) if !streams.streams.is_empty() => Ok(streams),
            _ => Err(Failure::Because(format!(
                "is no media: {}",
                child.end().await
            ))),
        }
    }
}

/// What ffprobe says of a file.
#[derive(Debug, Deserialize)]
struct Streams {
    #[serde(default)]
    streams: Vec<Found>,
}

#[derive(Debug, Deserialize)]
struct Found {
    codec_type: String,
    #[serde(default)]
    codec_name: String,
    #[serde(default)]
    channels: u32,
    #[serde(default)]
    disposition: Disposition,
}

#[derive(Debug, Default, Deserialize)]
struct Disposition {
    /// Not 0: a picture of the cover.
    #[serde(default)]
    attached_pic: u8,
}

impl Streams {
    /// What FFmpeg has to make of it: MPEG-TS with pictures as they are, and sound as it is where
    /// MPEG-TS has a place for it.
    fn output(&self) -> Result<String, Failure> {
        let mut streams = self.streams.iter();
        let video = streams
            .find(|found| found.codec_type == "video" && found.disposition.attached_pic == 0)
            .ok_or(Failure::NoVideoTrack)?;
        if !matches!(&*video.codec_name, "h264" | "hevc") {
            return Err(Failure::Codec(video.codec_name.clone()));
        }
        let audio = self
            .streams
            .iter()
            .find(|found| found.codec_type == "audio");
        let audio = match audio.map(|audio| (&*audio.codec_name, audio.channels)) {
            Some(("aac", _)) => "copy",
            Some(("opus", ..=2)) => "copy -strict -2",
            _ => "aac -ac 2 -ar 48000",
        };
        Ok(format!(
            "-map 0:V:0 -map 0:a:0? -c:v copy -c:a {audio} -f mpegts -flush_packets 1 pipe:1"
        ))
    }
}

/// With its protocol, so that no name means something else.
fn input(file: &Path) -> Vec<String> {
    let url = format!("file:{}", file.display());
    let option = format!("-{FORMATS}");
    vec![option, ALLOWED.to_owned(), "-i".to_owned(), url]
}

/// The real path, if it is not outside of `root`.
async fn below(root: &Path, path: &Path) -> Result<PathBuf, Failure> {
    let real = fs::canonicalize(path)
        .await
        .map_err(|error| words(&error))?;
    if real.starts_with(root) {
        Ok(real)
    } else {
        Err(Failure::Because(
            "a link leads out of the media directory".to_owned(),
        ))
    }
}

fn is_media(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| ENDINGS.contains(&&*ending.to_ascii_lowercase()))
}

fn words(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            Failure::Because("there is no such file".to_owned())
        }
        _ => Failure::Because(error.to_string()),
    }
}
