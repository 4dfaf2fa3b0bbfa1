//! A foreign server that records.

use std::{
    process::Command,
    sync::mpsc::{self, Receiver},
};

use anyhow::Context;
use headworks_testkit::{Process, Signal, Stream};

use crate::wire::SOON;

/// Runs until it is dropped.
pub(crate) struct Recorder {
    port: u16,
    /// The size of each packet that it has unpacked.
    pub(crate) packets: Receiver<usize>,
    _process: Process,
}

impl Recorder {
    /// Starts one and waits until it listens.
    pub(crate) fn start(username: &str, password: &str) -> anyhow::Result<Self> {
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-c", include_str!("recorder.py"), username, password]);
        let (sender, packets) = mpsc::channel();
        let process = Process::spawn(command, Signal::Kill, move |stream, line| {
            if let (Stream::Output, Ok(number)) = (stream, line.parse()) {
                let _ = sender.send(number);
            }
        })?;
        let port = packets.recv_timeout(SOON).context("it listens")?;
        Ok(Self {
            port: u16::try_from(port)?,
            packets,
            _process: process,
        })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("rtsp://127.0.0.1:{}/into", self.port)
    }
}
