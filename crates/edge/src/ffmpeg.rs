//! FFmpeg as a supervised child: for rare inputs and for encoding, never in the path of a picture
//! that can be passed on as it is.
//!
//! Media goes through pipes. A child is killed when its owner drops it, and by the system when we
//! die. What it complains about is logged, and its last words explain its end. Nothing secret may
//! be among the arguments: every user of the machine can read them.

mod spawn;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    ffi::OsStr,
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use headworks_bootstrap::Tasks;
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{ChildStderr, ChildStdin, ChildStdout, Command},
    sync::oneshot,
    time::timeout,
};

/// How long a child that was asked to end may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long its last words may take to arrive once it has ended. A grandchild may hold the pipe.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(1);

/// Lines that are kept to explain an end.
const LAST_WORDS: usize = 8;

/// The longest line of a log that is kept whole, bytes.
const LONGEST_LINE: u64 = 1024;

/// The section `[edge.ffmpeg]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The program: a path, or a name that is looked for in `PATH`.
    pub(crate) program: PathBuf,
    /// One that encodes for viewers waits this long for the next when the last has gone.
    #[serde(with = "humantime_serde")]
    pub(crate) idle: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            program: "ffmpeg".into(),
            idle: Duration::from_secs(10),
        }
    }
}

/// Starts children. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Ffmpeg {
    config: Arc<Config>,
    tasks: Tasks,
}

/// A running child.
#[derive(Debug)]
pub(crate) struct Child {
    process: tokio::process::Child,
    last_words: Arc<Mutex<VecDeque<String>>>,
    /// Ends when it has said everything.
    silent: oneshot::Receiver<()>,
    /// What it reads.
    pub(crate) input: Option<ChildStdin>,
    /// What it writes.
    pub(crate) output: ChildStdout,
}

impl Ffmpeg {
    pub(crate) fn new(config: Config, tasks: Tasks) -> Self {
        Self {
            config: Arc::new(config),
            tasks,
        }
    }

    /// How long a child that encodes for viewers waits for the next.
    pub(crate) fn idle(&self) -> Duration {
        self.config.idle
    }

    /// Starts a child with these arguments behind the usual ones. `what` names it in the log.
    pub(crate) fn start<S: AsRef<OsStr>>(
        &self,
        what: &'static str,
        arguments: impl IntoIterator<Item = S>,
    ) -> io::Result<Child> {
        let mut command = Command::new(&self.config.program);
        command
            .args(["-hide_banner", "-nostats", "-loglevel", "level+warning"])
            .args(arguments);
        self.spawn(what, command)
    }

    /// Starts the ffprobe that stands beside FFmpeg with these arguments.
    pub(crate) fn probe<S: AsRef<OsStr>>(
        &self,
        what: &'static str,
        arguments: impl IntoIterator<Item = S>,
    ) -> io::Result<Child> {
        let mut command = Command::new(self.config.program.with_file_name("ffprobe"));
        command
            .args(["-hide_banner", "-loglevel", "level+error"])
            .args(arguments);
        self.spawn(what, command)
    }

    fn spawn(&self, what: &'static str, mut command: Command) -> io::Result<Child> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        spawn::with_us(&mut command);
        let mut process = command.spawn()?;
        let pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        let output = process.stdout.take().ok_or_else(pipe)?;
        let errors = process.stderr.take().ok_or_else(pipe)?;
        let last_words = Arc::<Mutex<VecDeque<String>>>::default();
        let (speaks, silent) = oneshot::channel::<()>();
        let log = read_log(what, errors, Arc::clone(&last_words));
        self.tasks.spawn("ffmpeg log", async move {
            log.await;
            drop(speaks);
        });
        Ok(Child {
            input: process.stdin.take(),
            output,
            process,
            last_words,
            silent,
        })
    }
}

impl Config {
    /// True if there is such a program; of FFmpeg, and of the ffprobe beside it.
    pub(crate) fn are_installed(&self) -> (bool, bool) {
        let probe = self.program.with_file_name("ffprobe");
        (is_installed(&self.program), is_installed(&probe))
    }
}

/// True if the program is at this path; a bare name is looked for in `PATH`.
fn is_installed(program: &Path) -> bool {
    if program.components().count() > 1 {
        return is_executable(program);
    }
    let Some(path) = std::env::var_os("PATH") else {
        return false;
    };
    std::env::split_paths(&path).any(|folder| is_executable(&folder.join(program)))
}

fn is_executable(file: &Path) -> bool {
    let metadata = std::fs::metadata(file);
    metadata.is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

impl Child {
    /// Its process, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Closes its input and waits until it has ended; kills it if that takes too long. Tells how it
    /// went in words.
    pub(crate) async fn end(mut self) -> String {
        drop(self.input.take());
        drop(self.output);
        let status = match timeout(PATIENCE, self.process.wait()).await {
            Ok(status) => status.ok(),
            Err(_) => {
                let _ = self.process.kill().await;
                None
            }
        };
        // What it says comes by another way than its end. Either is the end of that.
        let _ = timeout(LAST_WORDS_WITHIN, &mut self.silent).await;
        words(status, &lock(&self.last_words))
    }
}

/// "FFmpeg ended with status 1: Invalid data found when processing input"
fn words(status: Option<ExitStatus>, last: &VecDeque<String>) -> String {
    let end = match status.map(|status| status.code()) {
        Some(Some(0)) => return "FFmpeg has ended".to_owned(),
        Some(Some(code)) => format!("FFmpeg ended with status {code}"),
        Some(None) | None => "FFmpeg was killed".to_owned(),
    };
    match last.back() {
        Some(line) => format!("{end}: {line}"),
        None => end,
    }
}

/// Logs what the child complains about, until it has ended.
async fn read_log(
    what: &'static str,
    errors: ChildStderr,
    last_words: Arc<Mutex<VecDeque<String>>>,
) {
    let mut errors = BufReader::new(errors);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = (&mut errors).take(LONGEST_LINE);
        if !matches!(limited.read_until(b'\n', &mut line).await, Ok(1..)) {
            return;
        }
        let text = String::from_utf8_lossy(&line).trim().to_owned();
        if text.is_empty() {
            continue;
        }
        tracing::debug!(child = what, line = text, "ffmpeg says");
        let mut last = lock(&last_words);
        if last.len() == LAST_WORDS {
            last.pop_front();
        }
        last.push_back(text);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
