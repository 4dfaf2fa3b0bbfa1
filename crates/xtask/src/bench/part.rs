//! The processes of a benchmark that are this program again, so that the work of one is not
//! counted as another's.

use std::{process::Command, sync::mpsc, time::Duration};

use anyhow::{Context, bail};
use headworks_testkit::{Process, Signal, Stream};
use serde_json::Value;

use super::{bare_tcp, bare_udp, source, viewers};
use crate::cargo;

/// A started process, with the lines that it prints.
pub(super) struct Part {
    name: String,
    process: Process,
    lines: mpsc::Receiver<String>,
}

/// Is one of them.
pub(super) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    match arguments {
        ["source", clip, targets @ ..] => source::run(clip, targets),
        ["viewers", plan] => viewers::run(plan),
        ["bare-tcp"] => bare_tcp::run(),
        ["bare-udp", url] => bare_udp::run(url),
        _ => bail!("no such part: {}", arguments.join(" ")),
    }
}

impl Part {
    /// Starts this program, as compiled for release.
    pub(super) fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(cargo::target().join("release/xtask"));
        command.args(["bench", "part"]).args(arguments);
        let (sender, lines) = mpsc::channel();
        let process = Process::spawn(command, Signal::Kill, move |stream, line| {
            if stream == Stream::Output {
                let _ = sender.send(line.to_owned());
            }
        })?;
        Ok(Self {
            name: arguments.first().copied().unwrap_or_default().to_owned(),
            process,
            lines,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its next line, which is JSON.
    pub(super) fn line(&mut self, limit: Duration) -> anyhow::Result<Value> {
        match self.lines.recv_timeout(limit) {
            Ok(line) => serde_json::from_str(&line).with_context(|| format!("read {line}")),
            Err(_) => {
                let ended = self.process.wait(Duration::from_millis(100));
                bail!(
                    "{} says nothing within {limit:?} ({ended:?})\n{}",
                    self.name,
                    self.process.tail()
                );
            }
        }
    }

    /// Fails if it has ended, with its last words.
    pub(super) fn ensure_running(&mut self) -> anyhow::Result<()> {
        match self.process.try_wait() {
            None => Ok(()),
            Some(status) => bail!(
                "{} has ended ({status})\n{}",
                self.name,
                self.process.tail()
            ),
        }
    }
}
