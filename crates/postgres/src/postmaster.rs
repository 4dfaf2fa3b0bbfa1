//! The server process: start, readiness, end.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::{
    Error, Options,
    account::Account,
    binaries::Binaries,
    cluster::Layout,
    process::{self, Signal},
};

/// How often we look whether something has happened; there is no event to wait for.
const LOOK: Duration = Duration::from_millis(10);
/// How long a fast shutdown may take: it writes all changed pages to disk.
const FAST_SHUTDOWN: Duration = Duration::from_secs(30);
const IMMEDIATE_SHUTDOWN: Duration = Duration::from_secs(5);
const LOG_TAIL_LINES: usize = 20;

/// A running server process. It stops when this is dropped.
#[derive(Debug)]
pub(crate) struct Postmaster {
    child: Child,
    _keeper: Keeper,
}

/// The thread that spawned the server. A death signal fires when that thread ends, not the
/// process, and our caller's thread may end long before the server should.
#[derive(Debug)]
struct Keeper {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Keeper {
    fn spawn(mut command: Command) -> io::Result<(Self, Child)> {
        let (started, start) = mpsc::channel();
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("postgres".to_owned())
            .spawn(move || {
                let _ = started.send(command.spawn());
                // Returns when the sender is dropped.
                let _ = stopped.recv();
            })?;
        let child = start
            .recv()
            .unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))?;
        let keeper = Self {
            stop: Some(stop),
            thread: Some(thread),
        };
        Ok((keeper, child))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Postmaster {
    /// Starts the server and waits until it accepts connections.
    pub(crate) fn start(
        layout: &Layout,
        binaries: &Binaries,
        account: Option<&Account>,
        sockets: &Path,
        options: &Options,
    ) -> Result<Self, Error> {
        let log = layout.new_log()?;
        let mut command = process::command(&binaries.postgres, account);
        command
            .arg("-D")
            .arg(layout.cluster())
            .arg("-k")
            .arg(sockets)
            .args(settings(options.durable))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        process::interrupt_with_thread(&mut command);
        let (keeper, child) = Keeper::spawn(command).map_err(|source| Error::Run {
            program: binaries.postgres.clone(),
            source,
        })?;
        let mut postmaster = Self {
            child,
            _keeper: keeper,
        };
        postmaster.wait_until_ready(layout, options.start_deadline)?;
        Ok(postmaster)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// As `pg_ctl` does: the server writes `ready` into the eighth line of `postmaster.pid`.
    fn wait_until_ready(&mut self, layout: &Layout, limit: Duration) -> Result<(), Error> {
        let deadline = Deadline::after(limit);
        loop {
            if let Some(file) = PidFile::read(layout)
                && file.pid == self.child.id()
                && file.ready
            {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(Error::Exited {
                    status: status.to_string(),
                    log: layout.log(),
                    tail: log_tail(layout),
                });
            }
            if deadline.has_passed() {
                return Err(Error::Slow {
                    seconds: limit.as_secs(),
                    log: layout.log(),
                    tail: log_tail(layout),
                });
            }
            thread::sleep(LOOK);
        }
    }
}

impl Drop for Postmaster {
    /// Ends the server, harder each time it does not. The keeper is dropped after it.
    fn drop(&mut self) {
        for (signal, limit) in [
            (Signal::Interrupt, FAST_SHUTDOWN),
            (Signal::Quit, IMMEDIATE_SHUTDOWN),
        ] {
            process::signal(self.child.id(), signal);
            let deadline = Deadline::after(limit);
            while !deadline.has_passed() {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    return;
                }
                thread::sleep(LOOK);
            }
        }
        process::signal(self.child.id(), Signal::Kill);
        let _ = self.child.wait();
    }
}

fn settings(durable: bool) -> Vec<String> {
    let mut settings = vec![
        "listen_addresses=",
        "port=5432",
        "unix_socket_permissions=0700",
        "timezone=UTC",
        "log_timezone=UTC",
        "logging_collector=off",
        "log_destination=stderr",
    ];
    if !durable {
        settings.extend([
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "autovacuum=off",
            "max_connections=300",
        ]);
    }
    settings
        .into_iter()
        .flat_map(|setting| ["-c".to_owned(), setting.to_owned()])
        .collect()
}

/// Deals with the server of a killed run. The caller holds the lock, so nobody uses that server.
pub(crate) fn clear_leftovers(layout: &Layout, account: Option<&Account>) -> Result<(), Error> {
    let Some(file) = PidFile::read(layout) else {
        return Ok(());
    };
    let uid = account.map_or_else(process::effective_uid, |account| account.uid);
    if is_server_of(file.pid, layout, uid) {
        // It has got its death signal; this is for one that was started some other way.
        process::signal(file.pid, Signal::Interrupt);
        let deadline = Deadline::after(FAST_SHUTDOWN);
        while is_server_of(file.pid, layout, uid) {
            if deadline.has_passed() {
                return Err(Error::Leftover { pid: file.pid });
            }
            thread::sleep(LOOK);
        }
    }
    // PostgreSQL itself would take any process that now has this number for its predecessor.
    let path = layout.cluster().join("postmaster.pid");
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::file("remove", &path)(error))
        }
        _ => Ok(()),
    }
}

/// A server's working directory is its data directory. The account that could write any number
/// into `postmaster.pid` must also own the process.
fn is_server_of(pid: u32, layout: &Layout, uid: u32) -> bool {
    fs::metadata(format!("/proc/{pid}")).is_ok_and(|process| process.uid() == uid)
        && fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == layout.cluster())
}

/// What `postmaster.pid` says.
struct PidFile {
    pid: u32,
    ready: bool,
}

impl PidFile {
    fn read(layout: &Layout) -> Option<Self> {
        let text = layout.read("postmaster.pid").ok()?;
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok()?;
        let ready = lines.nth(6).is_some_and(|line| line.trim() == "ready");
        Some(Self { pid, ready })
    }
}

fn log_tail(layout: &Layout) -> String {
    let text = fs::read(layout.log()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}

/// A point in time. The crate is below `bootstrap` and has no clock to be given.
struct Deadline(Instant);

impl Deadline {
    #[expect(clippy::disallowed_methods, reason = "the crate's one reading of time")]
    fn now() -> Instant {
        Instant::now()
    }

    fn after(limit: Duration) -> Self {
        Self(Self::now() + limit)
    }

    fn has_passed(&self) -> bool {
        Self::now() >= self.0
    }
}
