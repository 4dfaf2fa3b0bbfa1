//! The data directory and what is in it.
//!
//! ```text
//! <data>/lock        locked by the program that uses the directory
//! <data>/cluster/    what PostgreSQL calls its data directory
//! <data>/server.log  what the server said since its last start
//! <data>/run         the socket's directory, or a link to it
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use crate::{Error, account::Account, binaries::Binaries, private_directory, process};

/// The paths in one data directory.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    data: PathBuf,
}

impl Layout {
    /// Makes the directory and checks that the server's account can reach it.
    pub(crate) fn prepare(data: &Path, account: Option<&Account>) -> Result<Self, Error> {
        let data = std::path::absolute(data).map_err(Error::file("find", data))?;
        if let Some(parent) = data.parent() {
            fs::create_dir_all(parent).map_err(Error::file("make the directory", parent))?;
        }
        if let Some(account) = account {
            account.check_can_reach(&data)?;
        }
        private_directory(&data, account)?;
        // The server tells where it runs by its real path; see `postmaster::clear_leftovers`.
        let data = data.canonicalize().map_err(Error::file("find", &data))?;
        Ok(Self { data })
    }

    pub(crate) fn cluster(&self) -> PathBuf {
        self.data.join("cluster")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.data.join("server.log")
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.data.join("run")
    }

    /// Locks the directory until the file is closed.
    pub(crate) fn lock(&self) -> Result<fs::File, Error> {
        let path = self.data.join("lock");
        let file = fs::File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::file("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => Err(Error::InUse(self.data.clone())),
            Err(fs::TryLockError::Error(error)) => Err(Error::file("lock", &path)(error)),
        }
    }

    /// The major version that made the cluster; none if there is no cluster.
    pub(crate) fn version(&self) -> Result<Option<String>, Error> {
        let path = self.cluster().join("PG_VERSION");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::file("read", &path)(error)),
        }
    }

    /// Makes the cluster if there is none. It appears whole or not at all.
    pub(crate) fn ensure_cluster(
        &self,
        binaries: &Binaries,
        account: Option<&Account>,
    ) -> Result<(), Error> {
        if self.cluster().exists() {
            return Ok(());
        }
        let unfinished = self.data.join("cluster.unfinished");
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::file("remove", &unfinished)(error));
            }
            _ => {}
        }
        // Whoever can enter the socket's directory is the server's account or root, and could
        // read the files anyway; so the socket asks for no password.
        let mut initdb = process::command(&binaries.initdb, account);
        process::interrupt_with_thread(&mut initdb);
        let output = initdb
            .args(["--username=postgres", "--encoding=UTF8", "--no-locale"])
            .args(["--auth-local=trust", "--auth-host=reject", "--no-sync"])
            .arg("--no-instructions")
            .arg("--pgdata")
            .arg(&unfinished)
            .stdin(Stdio::null())
            .output()
            .map_err(|source| Error::Run {
                program: binaries.initdb.clone(),
                source,
            })?;
        if !output.status.success() {
            return Err(Error::Init {
                output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        fs::rename(&unfinished, self.cluster()).map_err(Error::file("rename", &unfinished))
    }
}
