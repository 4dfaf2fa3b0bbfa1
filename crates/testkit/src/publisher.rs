//! A publisher: an FFmpeg that encodes a moving test picture with a tone and sends them to a server.

use std::{process::Command, time::Duration};

use anyhow::{Context, bail};

use crate::{Process, Signal, tool};

/// A running publisher. It ends when this is dropped.
#[derive(Debug)]
pub struct Publisher(Process);

impl Publisher {
    /// Publishes to `url` over RTMP or RTSP until it is stopped.
    pub fn start(url: &str) -> anyhow::Result<Self> {
        let format = match url.split_once("://") {
            Some(("rtmp" | "rtmps", _)) => "flv",
            Some(("rtsp" | "rtsps", _)) => "rtsp",
            _ => bail!("nobody publishes to {url}"),
        };
        let mut command = Command::new(tool::FFMPEG);
        command
            .args(["-nostdin", "-hide_banner", "-nostats", "-loglevel"])
            .args(["warning", "-re", "-f", "lavfi"])
            .args(["-i", "testsrc2=size=160x120:rate=15", "-re"])
            // With sound: players need not wait whether there is any.
            .args(["-f", "lavfi", "-i", "sine=sample_rate=16000"])
            .args(["-c:v", "libx264", "-preset", "ultrafast"])
            .args(["-tune", "zerolatency", "-g", "15", "-c:a", "aac"])
            .args(["-f", format, url]);
        Process::spawn(command, Signal::Kill, |_, _| {}).map(Self)
    }

    /// Stops it as its user would, and waits: it takes leave of the server first.
    pub fn stop(mut self, limit: Duration) -> anyhow::Result<()> {
        self.0.signal(Signal::Interrupt);
        self.0
            .wait(limit)
            .map(drop)
            .with_context(|| format!("the publisher still runs\n{}", self.0.tail()))
    }

    /// Waits until the server has turned it away, and returns what it says.
    pub fn wait_for_end(&mut self, limit: Duration) -> anyhow::Result<String> {
        match self.0.wait(limit) {
            Some(_) => Ok(self.0.tail()),
            None => bail!("the publisher still runs\n{}", self.0.tail()),
        }
    }
}
