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
//! * PostgreSQL refuses to run as root, so under root it runs as `postgres`, or else `nobody`.
//!
//! It does not restart a server that dies, upgrade data of another major version, or do backups.
//! The crate is synchronous: `headworks up`, the tests and `cargo xtask` call it.

mod account;
mod binaries;
mod cluster;
mod error;
mod postmaster;
mod process;

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

pub use error::Error;

use crate::{account::Account, binaries::Binaries, cluster::Layout, postmaster::Postmaster};

/// The longest path of a Unix socket on Linux, without the closing zero (`sun_path`).
const SOCKET_PATH_MAX: usize = 107;
const SOCKET_NAME: &str = ".s.PGSQL.5432";

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
        postmaster::clear_leftovers(&layout)?;
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

/// Where the server's socket is: `run` in the data directory, or, since the path of a socket is
/// limited, a short temporary directory that `run` points to.
#[derive(Debug)]
struct SocketDirectory {
    path: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl SocketDirectory {
    fn open(layout: &Layout, account: Option<&Account>) -> Result<Self, Error> {
        let run = layout.run();
        Self::remove_old(&run)?;
        if run.as_os_str().len() + 1 + SOCKET_NAME.len() <= SOCKET_PATH_MAX {
            private_directory(&run, account)?;
            return Ok(Self {
                path: run,
                _temporary: None,
            });
        }
        let temporary = tempfile::Builder::new()
            .prefix("headworks-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in("/tmp")
            .map_err(Error::file("make a directory in", Path::new("/tmp")))?;
        private_directory(temporary.path(), account)?;
        std::os::unix::fs::symlink(temporary.path(), &run)
            .map_err(Error::file("make the link", &run))?;
        Ok(Self {
            path: temporary.path().to_owned(),
            _temporary: Some(temporary),
        })
    }

    /// A killed run leaves its temporary directory, which `run` still points to.
    fn remove_old(run: &Path) -> Result<(), Error> {
        let Ok(old) = fs::read_link(run) else {
            return Ok(());
        };
        match fs::remove_dir_all(&old) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::file("remove", &old)(error))
            }
            _ => fs::remove_file(run).map_err(Error::file("remove", run)),
        }
    }
}

/// Makes `path` a directory that only the server's account (and root) can enter.
fn private_directory(path: &Path, account: Option<&Account>) -> Result<(), Error> {
    fs::DirBuilder::new()
        .recursive(true) // An existing one is good.
        .mode(0o700)
        .create(path)
        .map_err(Error::file("make the directory", path))?;
    let Some(account) = account else {
        return Ok(());
    };
    let owner = fs::metadata(path)
        .map_err(Error::file("look at", path))?
        .uid();
    if owner == account.uid {
        return Ok(());
    }
    std::os::unix::fs::chown(path, Some(account.uid), Some(account.gid))
        .map_err(Error::file("give away", path))
}
