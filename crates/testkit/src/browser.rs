//! A viewer with a browser: Chromium and a player that web pages use.

use std::{
    process::Command,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::json;

use crate::{Deadline, Process, Signal, Stream, process::lock, tool};

const SCRIPT: &str = include_str!("browser/play.mjs");

/// What plays in the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebPlayer {
    /// hls.js, in its low-latency mode.
    Hls,
    /// mpegts.js with FLV, over HTTP or in a WebSocket.
    Mpegts,
}

impl WebPlayer {
    fn name(self) -> &'static str {
        match self {
            Self::Hls => "hls",
            Self::Mpegts => "mpegts",
        }
    }
}

/// What a browser says of what it plays.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Facts {
    /// Where it is in the media, in seconds.
    pub time: f64,
    /// Of the picture, in pixels.
    pub width: u32,
    /// Of the picture, in pixels.
    pub height: u32,
    /// Pictures decoded.
    pub pictures: u64,
    /// Pictures that came too late to be shown.
    pub dropped: u64,
    /// Bytes of sound decoded.
    pub sound_bytes: u64,
    /// Places in what it has buffered, of both tracks, where something is missing.
    pub holes: u64,
    /// True if it cannot go on for want of media.
    pub waiting: bool,
    /// What the player or the browser complained about.
    pub errors: Vec<String>,
    /// How far behind the live edge it plays, in seconds, if the player knows.
    #[serde(default)]
    pub latency: Option<f64>,
    /// HLS: partial segments loaded.
    #[serde(default)]
    pub parts: u64,
    /// HLS: whole segments loaded.
    #[serde(default)]
    pub segments: u64,
    /// HLS: playlist delta updates that could be merged.
    #[serde(default)]
    pub updates: u64,
}

/// A running browser with one page. It ends when this is dropped.
#[derive(Debug)]
pub struct Browser {
    process: Process,
    board: Arc<Board>,
}

#[derive(Debug, Default)]
struct Board {
    facts: Mutex<Facts>,
    changed: Condvar,
}

impl Browser {
    /// Plays `url`.
    pub fn start(player: WebPlayer, url: &str) -> anyhow::Result<Self> {
        let modules = tool::web_players()?;
        let options = json!({ "modules": modules, "kind": player.name(), "url": url });
        let mut command = Command::new("node");
        command.args(["--input-type=module", "-e", SCRIPT, &options.to_string()]);
        let board = Arc::new(Board::default());
        let writer = Arc::clone(&board);
        let process = Process::spawn(command, Signal::Kill, move |stream, line| {
            if stream == Stream::Output
                && let Ok(facts) = serde_json::from_str(line)
            {
                *lock(&writer.facts) = facts;
                writer.changed.notify_all();
            }
        })
        .context("browsers need Node.js and `cargo xtask setup`")?;
        Ok(Self { process, board })
    }

    /// What it said last.
    #[must_use]
    pub fn facts(&self) -> Facts {
        lock(&self.board.facts).clone()
    }

    /// Waits until `done`; fails when the limit passes or the browser ends before.
    pub fn wait_for(
        &mut self,
        limit: Duration,
        done: impl Fn(&Facts) -> bool,
    ) -> anyhow::Result<Facts> {
        let deadline = Deadline::after(limit);
        loop {
            let facts = self.facts();
            if done(&facts) {
                return Ok(facts);
            }
            let ended = self.process.try_wait().is_some();
            if ended || deadline.has_passed() {
                let why = if ended { "it ended" } else { "time is up" };
                bail!(
                    "the browser waited in vain ({why}): {facts:?}\n{}",
                    self.process.tail()
                );
            }
            let guard = lock(&self.board.facts);
            // Also wakes now and then, since the end of the process notifies nobody.
            let step = deadline.left().min(Duration::from_millis(100));
            drop(self.board.changed.wait_timeout(guard, step));
        }
    }

    /// Waits until it has played `length` more.
    pub fn wait_for_time(&mut self, length: Duration, limit: Duration) -> anyhow::Result<Facts> {
        let before = self.facts().time;
        self.wait_for(limit, |facts| facts.time >= before + length.as_secs_f64())
    }
}
