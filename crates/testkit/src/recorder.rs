//! Somebody else's RTSP server that records: GStreamer's.

use std::{
    path::PathBuf,
    process::Command,
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::{Process, Signal, Stream, certificate::Certificate};

const PYTHON: &str = "/usr/bin/python3";
const SERVER: &str = include_str!("recorder/server.py");
/// Loading GStreamer takes a quarter of a second on an idle machine.
const START: Duration = Duration::from_secs(30);

/// Takes one H.264 stream without sound, over TCP, UDP or TLS. It ends when this is dropped.
#[derive(Debug)]
pub struct RtspRecorder {
    directory: TempDir,
    scheme: &'static str,
    port: u16,
    _process: Process,
}

impl RtspRecorder {
    /// Starts one and waits until it listens.
    pub fn start() -> anyhow::Result<Self> {
        Self::launch(tempfile::tempdir()?, None)
    }

    /// As [`RtspRecorder::start`], with TLS and a certificate that nobody vouches for.
    pub fn start_tls() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let tls = Certificate::make(directory.path())?;
        Self::launch(directory, Some(&tls))
    }

    fn launch(directory: TempDir, tls: Option<&Certificate>) -> anyhow::Result<Self> {
        let mut command = Command::new(PYTHON);
        command
            .args(["-c", SERVER])
            .arg(directory.path().join("pictures.h264"))
            .args(tls.map(|tls| &tls.both));
        let (sender, port) = mpsc::channel();
        let process = Process::spawn(command, Signal::Kill, move |stream, line| {
            if let (Stream::Output, Ok(port)) = (stream, line.parse()) {
                let _ = sender.send(port);
            }
        })
        .context("recorders need `cargo xtask setup`")?;
        match port.recv_timeout(START) {
            Ok(port) => Ok(Self {
                directory,
                scheme: if tls.is_some() { "rtsps" } else { "rtsp" },
                port,
                _process: process,
            }),
            Err(RecvTimeoutError::Timeout) => bail!("the recorder is not ready after {START:?}"),
            Err(RecvTimeoutError::Disconnected) => bail!("the recorder ended\n{}", process.tail()),
        }
    }

    /// `rtsp://127.0.0.1:<port>/into`; `rtsps:` with TLS.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}/into", self.scheme, self.port)
    }

    /// The pictures that have come, as an H.264 byte stream (ITU-T H.264 Annex B).
    #[must_use]
    pub fn recording(&self) -> PathBuf {
        self.directory.path().join("pictures.h264")
    }
}
