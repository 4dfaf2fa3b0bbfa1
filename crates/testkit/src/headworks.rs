//! The built `headworks` binary as a process.

use std::{
    env,
    ffi::OsString,
    fs::File,
    io::Write as _,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::{
    Place, Process, Signal, Stream,
    process::{self, lock},
    wait_until,
};

/// From nothing to ready: `initdb`, migrations, the first lease. A second or two when idle.
const START: Duration = Duration::from_secs(90);
/// From a signal to the end.
const END: Duration = Duration::from_secs(40);

/// Where an edge listens that is not told where: several of them do not get into each other's way.
const FREE_PORTS: [(&str, &str); 4] = [
    ("HEADWORKS__EDGE__RTMP_LISTEN", "127.0.0.1:0"),
    ("HEADWORKS__EDGE__RTSP_LISTEN", "127.0.0.1:0"),
    ("HEADWORKS__EDGE__RTSP_UDP_LISTEN", "127.0.0.1:0"),
    ("HEADWORKS__EDGE__RELAY_LISTEN", "127.0.0.1:0"),
];

/// How to start it.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    /// The binary; found beside the running tests if none.
    pub binary: Option<PathBuf>,
    /// The data directory; a new temporary one if none.
    pub data: Option<PathBuf>,
    /// More environment, such as `HEADWORKS__EDGE__NAME`.
    pub env: Vec<(String, String)>,
    /// Where it runs.
    pub place: Place,
    /// A file that gets every line it logs, behind what is there.
    pub log: Option<PathBuf>,
}

impl Launch {
    /// Adds a variable to the environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Chooses the data directory.
    #[must_use]
    pub fn data(mut self, data: impl Into<PathBuf>) -> Self {
        self.data = Some(data.into());
        self
    }

    /// Chooses a file for everything that it logs.
    #[must_use]
    pub fn log(mut self, path: impl Into<PathBuf>) -> Self {
        self.log = Some(path.into());
        self
    }
}

/// What `headworks up --json` prints when it is ready.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Ready {
    /// Where the API is.
    pub api: String,
    /// The first admin key, at the first start on a data directory only.
    #[serde(default)]
    pub admin_key: Option<String>,
    /// Where viewers are served.
    #[serde(default)]
    pub http: Option<String>,
}

/// A running Headworks. It is terminated when this is dropped, and killed if that does not help.
#[derive(Debug)]
pub struct Headworks {
    process: Process,
    ready: Ready,
    output: Arc<Mutex<Vec<String>>>,
    _temporary: Option<tempfile::TempDir>,
}

impl Headworks {
    /// Runs `headworks up --json` on free ports of 127.0.0.1 and waits until it is ready.
    pub fn up(launch: Launch) -> anyhow::Result<Self> {
        let mut up = Self::begin(launch)?;
        up.wait_until_ready()?;
        Ok(up)
    }

    /// As [`Headworks::up`], without waiting.
    pub fn begin(launch: Launch) -> anyhow::Result<Self> {
        let mut temporary = None;
        let data = match launch.data.clone() {
            Some(data) => data,
            None => temporary.insert(temporary_directory()?).path().to_owned(),
        };
        let arguments = ["up".into(), "--json".into(), "--data".into(), data.into()];
        let launch = Launch {
            env: [
                ("HEADWORKS__CONTROLLER__LISTEN", "127.0.0.1:0"),
                ("HEADWORKS__EDGE__HTTP_LISTEN", "127.0.0.1:0"),
            ]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .chain(launch.env)
            .collect(),
            ..launch
        };
        let mut up = Self::run(&arguments, &launch)?;
        up._temporary = temporary;
        Ok(up)
    }

    /// Runs `headworks <arguments>`.
    pub fn run(arguments: &[OsString], launch: &Launch) -> anyhow::Result<Self> {
        let program = match &launch.binary {
            Some(binary) => binary.clone(),
            None => binary()?,
        };
        let mut command = launch.place.command(program);
        // The developer's own settings are not the test's.
        for (name, _) in env::vars_os() {
            let bytes = name.as_encoded_bytes();
            if bytes.starts_with(b"HEADWORKS_") || bytes == b"DATABASE_URL" {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .envs(FREE_PORTS)
            .envs(launch.env.iter().cloned());
        let output = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&output);
        let mut log = launch.log.as_deref().map(append_to).transpose()?;
        let process = Process::spawn(command, Signal::Terminate, move |stream, line| {
            if let (Stream::Error, Some(log)) = (stream, &mut log) {
                let _ = writeln!(log, "{line}");
            }
            if stream == Stream::Output {
                lock(&writer).push(line.to_owned());
            }
        })?;
        Ok(Self {
            process,
            ready: Ready::default(),
            output,
            _temporary: None,
        })
    }

    /// Waits for the JSON object on standard output.
    pub fn wait_until_ready(&mut self) -> anyhow::Result<&Ready> {
        let ready = wait_until("headworks is ready", START, || {
            if let Some(line) = lock(&self.output).first() {
                return Some(Ok(line.clone()));
            }
            self.process.try_wait().map(Err)
        });
        self.ready = match ready {
            Ok(Ok(line)) => serde_json::from_str(&line).with_context(|| format!("read {line}"))?,
            Ok(Err(status)) => bail!("headworks ended ({status})\n{}", self.log()),
            Err(error) => return Err(error.context(self.log())),
        };
        Ok(&self.ready)
    }

    /// Where the API is, without a closing slash.
    #[must_use]
    pub fn api(&self) -> &str {
        self.ready.api.trim_end_matches('/')
    }

    /// Where viewers are served, without a closing slash.
    #[must_use]
    pub fn http(&self) -> &str {
        let http = self.ready.http.as_deref().unwrap_or_default();
        http.trim_end_matches('/')
    }

    /// The first admin key, at the first start on a data directory only.
    #[must_use]
    pub fn admin_key(&self) -> Option<&str> {
        self.ready.admin_key.as_deref()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What it printed on standard output.
    #[must_use]
    pub fn output(&self) -> Vec<String> {
        lock(&self.output).clone()
    }

    /// What it logged last.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.tail()
    }

    /// Sends it a signal.
    pub fn signal(&mut self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Ends it at once, without a chance to clean up.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Ends the one child with `word` among its arguments at once, and gives its process id.
    pub fn kill_child(&self, word: &str) -> anyhow::Result<u32> {
        process::kill_child(self.pid(), word)
    }

    /// Waits for its end.
    pub fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        match self.process.wait(limit) {
            Some(status) => Ok(status),
            None => bail!("headworks still runs after {limit:?}\n{}", self.log()),
        }
    }

    /// Ends it as Ctrl-C does, and waits.
    pub fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::Interrupt);
        self.wait(END)
    }
}

impl Drop for Headworks {
    fn drop(&mut self) {
        self.process.signal(Signal::Terminate);
        let _ = self.process.wait(END);
    }
}

/// The binary: `HEADWORKS_BIN`, or what cargo has built beside the running program.
pub fn binary() -> anyhow::Result<PathBuf> {
    if let Some(path) = env::var_os("HEADWORKS_BIN") {
        return Ok(path.into());
    }
    let program = env::current_exe().context("find the running program")?;
    program
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join("headworks"))
        .find(|path| path.is_file())
        .with_context(|| {
            let directory = program.parent().unwrap_or(Path::new(".")).display();
            format!(
                "no headworks binary near {directory}: `cargo build -p headworks` makes it, \
                 and `cargo xtask test` does that by itself"
            )
        })
}

fn append_to(path: &Path) -> anyhow::Result<File> {
    let opened = File::options().create(true).append(true).open(path);
    opened.with_context(|| format!("open {}", path.display()))
}

/// A directory that PostgreSQL's account can reach, also if we are root.
pub(crate) fn temporary_directory() -> anyhow::Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix("headworks-")
        .permissions(std::fs::Permissions::from_mode(0o755))
        .tempdir()
        .context("make a temporary directory")
}
