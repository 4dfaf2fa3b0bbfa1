//! A real IP camera: GStreamer's RTSP server with a test picture and a test tone.

use std::{
    path::PathBuf,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::{Deadline, Place, Process, Signal, Stream, process::lock};

/// The system's Python: its packages bring the bindings (`cargo xtask setup`).
const PYTHON: &str = "/usr/bin/python3";
const SERVER: &str = include_str!("camera/server.py");
/// Loading GStreamer takes a quarter of a second on an idle machine.
const START: Duration = Duration::from_secs(30);

/// How the picture is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Video {
    /// H.264.
    H264,
    /// H.265.
    H265,
    /// Motion JPEG, which Headworks does not carry.
    Mjpeg,
}

/// How the sound is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Audio {
    /// No sound.
    None,
    /// AAC, 16 kHz mono.
    Aac,
    /// The same, but after three seconds nothing comes any more.
    AacThatStops,
    /// G.711 A-law, 8 kHz mono.
    G711a,
    /// G.711 µ-law, 8 kHz mono.
    G711u,
}

/// How the camera wants the password (RFC 2617).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// Hashed.
    Digest,
    /// In the clear.
    Basic,
}

/// What the camera asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Login {
    /// How it asks.
    #[serde(rename = "auth")]
    pub scheme: Scheme,
    /// The user name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl Login {
    /// What most cameras do.
    pub fn digest(username: impl Into<String>, password: impl Into<String>) -> Option<Self> {
        Some(Self {
            scheme: Scheme::Digest,
            username: username.into(),
            password: password.into(),
        })
    }
}

/// What camera to be. The default is small and cheap: 320x240, 15 pictures a second, H.264, no
/// sound, a key frame every second, open to everybody.
#[derive(Debug, Clone, Serialize)]
pub struct CameraOptions {
    /// How the picture is compressed.
    pub video: Video,
    /// How the sound is compressed.
    pub audio: Audio,
    /// User name and password, if it asks for them.
    #[serde(skip)]
    pub login: Option<Login>,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Pictures a second.
    pub fps: u32,
    /// A key frame every so many pictures.
    pub key_frame_every: u32,
    /// Consecutive B-frames.
    pub b_frames: u32,
    /// Of the picture, kbit/s.
    pub bitrate_kbit: u32,
    /// What it shows: a pattern of GStreamer's `videotestsrc`. `snow` fills any bit rate.
    pub pattern: &'static str,
    /// The only way in which it sends RTP, `TCP` or `UDP`; both if none.
    pub transport: Option<&'static str>,
    /// The address where it listens.
    pub host: String,
    /// Where it listens there; 0 for a free port.
    pub port: u16,
    /// Where it runs.
    #[serde(skip)]
    pub place: Place,
    /// Its pictures carry their number since this time (seconds of Unix), for a
    /// [`Viewer`](crate::lab::Viewer).
    pub numbered_since: Option<f64>,
    /// The path of its stream.
    pub path: &'static str,
    /// What it sends instead of the test picture: a pipeline of GStreamer that ends in payloaders
    /// with the names `pay0` and `pay1`.
    pub launch: Option<String>,
    /// A file with a certificate and its key (PEM): it then speaks RTSP over TLS.
    pub certificate: Option<PathBuf>,
}

impl Default for CameraOptions {
    fn default() -> Self {
        Self {
            video: Video::H264,
            audio: Audio::None,
            login: None,
            width: 320,
            height: 240,
            fps: 15,
            key_frame_every: 15,
            b_frames: 0,
            bitrate_kbit: 300,
            pattern: "ball",
            transport: None,
            host: "127.0.0.1".to_owned(),
            port: 0,
            place: Place::default(),
            numbered_since: None,
            path: "/live",
            launch: None,
            certificate: None,
        }
    }
}

/// A running camera. It ends when this is dropped.
#[derive(Debug)]
pub struct Camera {
    options: CameraOptions,
    process: Process,
    seen: Arc<Board>,
}

/// What the server has printed.
#[derive(Debug, Default)]
struct Board {
    said: Mutex<Said>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy, Default)]
struct Said {
    port: Option<u16>,
    playing: u32,
    plays: u32,
}

/// One line of the server.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Ready { port: u16 },
    Clients { playing: u32, plays: u32 },
}

impl Camera {
    /// Starts a camera and waits until it listens.
    pub fn start(mut options: CameraOptions) -> anyhow::Result<Self> {
        let (process, seen) = launch(&options)?;
        options.port = lock(&seen.said).port.context("the camera has a port")?;
        Ok(Self {
            options,
            process,
            seen,
        })
    }

    /// `rtsp://<host>:<port>/live`, without user name and password; `rtsps:` with TLS.
    #[must_use]
    pub fn url(&self) -> String {
        let CameraOptions {
            port, path, host, ..
        } = &self.options;
        let tls = self.options.certificate.as_ref().map_or("", |_| "s");
        format!("rtsp{tls}://{host}:{port}{path}")
    }

    /// The program alone; nobody counts its clients any more.
    pub(crate) fn into_process(self) -> Process {
        self.process
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.options.port
    }

    /// User name and password, if it asks for them.
    #[must_use]
    pub fn login(&self) -> Option<&Login> {
        self.options.login.as_ref()
    }

    /// How many clients play now.
    #[must_use]
    pub fn playing(&self) -> u32 {
        lock(&self.seen.said).playing
    }

    /// How many clients have started to play since the camera started.
    #[must_use]
    pub fn plays(&self) -> u32 {
        lock(&self.seen.said).plays
    }

    /// Waits until exactly `count` clients play.
    pub fn wait_for_playing(&self, count: u32, limit: Duration) -> anyhow::Result<()> {
        let said = self.seen.wait(limit, |said| said.playing == count);
        if said.playing != count {
            bail!("{} clients play after {limit:?}, not {count}", said.playing);
        }
        Ok(())
    }

    /// Ends it at once, as by pulling its plug. Its sockets are closed by the system.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same port, killing it first if it runs.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.kill();
        (self.process, self.seen) = launch(&self.options)?;
        Ok(())
    }

    /// Stops it from running with its connections open, as if it hung.
    pub fn freeze(&mut self) {
        self.process.signal(Signal::Stop);
    }

    /// Lets it run on.
    pub fn thaw(&mut self) {
        self.process.signal(Signal::Continue);
    }
}

impl Board {
    fn wait(&self, limit: Duration, done: impl Fn(&Said) -> bool) -> Said {
        let deadline = Deadline::after(limit);
        let mut said = lock(&self.said);
        while !done(&said) && !deadline.has_passed() {
            said = self
                .changed
                .wait_timeout(said, deadline.left())
                .map_or_else(|poisoned| poisoned.into_inner().0, |(said, _)| said);
        }
        *said
    }
}

fn launch(options: &CameraOptions) -> anyhow::Result<(Process, Arc<Board>)> {
    let mut arguments = serde_json::to_value(options)?;
    arguments["auth"] = serde_json::Value::Null;
    if let (Some(arguments), Some(login)) = (arguments.as_object_mut(), &options.login)
        && let serde_json::Value::Object(login) = serde_json::to_value(login)?
    {
        arguments.extend(login);
    }
    let mut command = options.place.command(PYTHON);
    command.args(["-c", SERVER, &arguments.to_string()]);
    let board = Arc::new(Board::default());
    let writer = Arc::clone(&board);
    let mut process = Process::spawn(command, Signal::Kill, move |stream, line| {
        if stream == Stream::Output
            && let Ok(line) = serde_json::from_str(line)
        {
            let mut said = lock(&writer.said);
            match line {
                Line::Ready { port } => said.port = Some(port),
                Line::Clients { playing, plays } => {
                    (said.playing, said.plays) = (playing, plays);
                }
            }
            writer.changed.notify_all();
        }
    })
    .context("cameras need `cargo xtask setup`")?;
    let deadline = Deadline::after(START);
    // In short steps, since a server that ends says nothing more.
    while board
        .wait(Duration::from_millis(100), |said| said.port.is_some())
        .port
        .is_none()
    {
        if let Some(status) = process.try_wait() {
            bail!(
                "the camera ended ({status}); is `cargo xtask setup` done?\n{}",
                process.tail()
            );
        }
        if deadline.has_passed() {
            bail!(
                "the camera is not ready after {START:?}\n{}",
                process.tail()
            );
        }
    }
    Ok((process, board))
}
