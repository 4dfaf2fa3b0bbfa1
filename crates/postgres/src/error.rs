//! Why a server does not start, in words for the person who started it.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another program has locked the data directory.
    #[error("{} is in use by another Headworks", .0.display())]
    InUse(PathBuf),
    /// There is no PostgreSQL on this machine.
    #[error(
        "PostgreSQL is not installed: no `postgres` and `initdb` in PATH or /usr/lib/postgresql/*/bin \
         (Debian: apt-get install postgresql)"
    )]
    NotInstalled,
    /// The data belongs to a version that is not installed.
    #[error(
        "{} was written by PostgreSQL {version}, which is not installed \
         (Debian: apt-get install postgresql-{version})", data.display()
    )]
    OtherVersion {
        /// The data directory.
        data: PathBuf,
        /// Its major version.
        version: String,
    },
    /// We are root, PostgreSQL refuses root, and there is nobody else to be.
    #[error("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`")]
    NoAccount,
    /// The user that the server runs as cannot enter a directory above the data.
    #[error(
        "PostgreSQL does not run as root, and user `{user}` cannot enter {}; \
         choose a data directory elsewhere, such as /var/lib/headworks, or start as another user",
        path.display()
    )]
    Unreachable {
        /// The user.
        user: String,
        /// The directory.
        path: PathBuf,
    },
    /// We are root, and somebody else could make us write elsewhere by a link.
    #[error(
        "users other than root can change {}; choose a data directory elsewhere, such as \
         /var/lib/headworks, or start as another user", .0.display()
    )]
    Exposed(PathBuf),
    /// A file or directory cannot be used.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// A program cannot be run at all.
    #[error("cannot run {}", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// `initdb` failed.
    #[error("initdb failed:\n{output}")]
    Init {
        /// What it said.
        output: String,
    },
    /// The server ended while starting.
    #[error("PostgreSQL ended while starting ({status}); the end of {}:\n{tail}", log.display())]
    Exited {
        /// How.
        status: String,
        /// Where its log is.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// The server does not accept connections in time.
    #[error("PostgreSQL does not accept connections after {seconds} s; the end of {}:\n{tail}", log.display())]
    Slow {
        /// How long we waited.
        seconds: u64,
        /// Where its log is.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// The server of a killed run does not end.
    #[error("the PostgreSQL of an earlier run (process {pid}) does not end")]
    Leftover {
        /// Its process id.
        pid: u32,
    },
}

impl Error {
    /// For `map_err`: `what` was tried with `path`.
    pub(crate) fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { what, path, source }
    }
}
