//! Starts and stops a private PostgreSQL server.
//!
//! [`Server::start`] runs a server for one data directory: it finds the installed binaries, makes
//! the database cluster if there is none, listens on a Unix socket only, and returns once the
//! server accepts connections. The data stays between runs. [`Server::throw_away`] does the same
//! in a temporary directory, without waiting for disks; that is for tests.
//!
//! What it ensures:
//!
//! * The server ends with us: on drop by a fast shutdown, and by a death signal if we are killed.
//! * Two programs never use one data directory; the second gets [`Error::InUse`].
//! * What a killed run left behind (a server still shutting down, a stale `postmaster.pid`, a half
//!   made cluster, a socket directory) does not hinder the next.
//! * PostgreSQL refuses to run as root, so under root it runs as `postgres`, or else `nobody`. That
//!   account cannot make us write or delete what is not its own.
//!
//! It does not restart a server that dies, upgrade data of another major version, or do backups.
//! The crate is synchronous: `headworks up`, the tests and `cargo xtask` call it.

mod account;
mod binaries;
mod cluster;
mod error;
mod postmaster;
mod process;
mod socket;

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

pub use error::Error;

use crate::{
    account::Account, binaries::Binaries, cluster::Layout, postmaster::Postmaster,
    socket::SocketDirectory,
};

/// How to run a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where everything is kept; made if missing.
    pub data: PathBuf,
    /// False gives up the data on a crash of the machine for speed (`fsync = off`).
    pub durable: bool,
    /// How long it may take until the server accepts connections. After a crash it first replays
    /// its log, so be generous.
    pub start_deadline: Duration,
}

impl Options {
    /// A durable server in `data`.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            durable: true,
            start_deadline: Duration::from_secs(60),
        }
    }
}

/// A running server. It stops when this is dropped.
#[derive(Debug)]
pub struct Server {
    // Dropped in this order: the server first, its directories and the lock after it.
    postmaster: Postmaster,
    sockets: SocketDirectory,
    _lock: fs::File,
    _temporary: Option<tempfile::TempDir>,
}

impl Server {
    /// Starts a server on `options.data` and waits until it accepts connections.
    pub fn start(options: &Options) -> Result<Self, Error> {
        Self::start_in(options, None)
    }

    /// Starts an empty server that is deleted with everything in it when it stops.
    pub fn throw_away() -> Result<Self, Error> {
        let temporary = tempfile::Builder::new()
            .prefix("headworks-postgres-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .map_err(Error::file("make a directory in", &std::env::temp_dir()))?;
        let options = Options {
            durable: false,
            ..Options::new(temporary.path())
        };
        Self::start_in(&options, Some(temporary))
    }

    fn start_in(options: &Options, temporary: Option<tempfile::TempDir>) -> Result<Self, Error> {
        let account = Account::to_run_as()?;
        let layout = Layout::prepare(&options.data, account.as_ref())?;
        let lock = layout.lock()?;
        postmaster::clear_leftovers(&layout, account.as_ref())?;
        let binaries = Binaries::find(layout.version()?.as_deref(), &options.data)?;
        layout.ensure_cluster(&binaries, account.as_ref())?;
        let sockets = SocketDirectory::open(&layout, account.as_ref())?;
        let postmaster =
            Postmaster::start(&layout, &binaries, account.as_ref(), &sockets.path, options)?;
        Ok(Self {
            postmaster,
            sockets,
            _lock: lock,
            _temporary: temporary,
        })
    }

    /// Where clients connect: `postgres://postgres@localhost/postgres?host=<socket directory>`.
    #[must_use]
    pub fn url(&self) -> String {
        let mut host = String::new();
        for byte in self.sockets.path.as_os_str().as_encoded_bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                    host.push(char::from(*byte));
                }
                other => host.push_str(&format!("%{other:02X}")),
            }
        }
        format!("postgres://postgres@localhost/postgres?host={host}")
    }

    /// The server's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.postmaster.pid()
    }

    /// Ends all sessions, writes everything to disk and waits for the end, as dropping does.
    pub fn stop(self) {
        drop(self);
    }
}
