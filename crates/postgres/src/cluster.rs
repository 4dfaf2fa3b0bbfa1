//! The data directory and what is in it.
//!
//! ```text
//! <data>/lock        locked by the program that uses the directory
//! <data>/cluster/    what PostgreSQL calls its data directory
//! <data>/server.log  what the server said since its last start
//! <data>/run         the socket's directory, or a link to it
//! ```
//!
//! If we are root, `<data>` and what we write there stay root's: in a directory of the server's
//! account, that account could have us write or delete anything by a link. Only `cluster` and
//! the socket's directory are the account's; nothing is written there, and what is read there
//! says nothing but about the account's own server.

use std::{
    fs, io,
    io::Read,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::Duration,
};

use crate::{Error, account::Account, binaries::Binaries, process, socket::private_directory};

/// More than any file has that we read in a cluster, in bytes.
const FILE_MAX: u64 = 64 * 1024;

/// How often a lock that is held is tried, and the pause after each.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The paths in one data directory.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    data: PathBuf,
}

impl Layout {
    /// Makes the directory and checks that the server's account can reach it, but not change it.
    pub(crate) fn prepare(data: &Path, account: Option<&Account>) -> Result<Self, Error> {
        let data = std::path::absolute(data).map_err(Error::file("find", data))?;
        if let Some(parent) = data.parent() {
            fs::create_dir_all(parent).map_err(Error::file("make the directory", parent))?;
        }
        fs::DirBuilder::new()
            .recursive(true) // An existing one is good.
            .mode(0o700)
            .create(&data)
            .map_err(Error::file("make the directory", &data))?;
        // The server tells where it runs by its real path; see `postmaster::clear_leftovers`.
        let data = data.canonicalize().map_err(Error::file("find", &data))?;
        if let Some(account) = account {
            account.check_can_reach(&data)?;
            let metadata = fs::metadata(&data).map_err(Error::file("look at", &data))?;
            if metadata.uid() != process::effective_uid() || metadata.mode() & 0o022 != 0 {
                return Err(Error::Exposed(data));
            }
            // The account passes through, no more.
            fs::set_permissions(&data, fs::Permissions::from_mode(0o711))
                .map_err(Error::file("open to the server", &data))?;
        }
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

    /// Locks the directory until the file is closed. A child that was being forked when the last
    /// user closed its file holds the lock until it runs its program, so one try is not enough.
    pub(crate) fn lock(&self) -> Result<fs::File, Error> {
        let path = self.data.join("lock");
        let file = Self::open_ours(&path).map_err(Error::file("open", &path))?;
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(fs::TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
                Err(fs::TryLockError::Error(error)) => {
                    return Err(Error::file("lock", &path)(error));
                }
            }
        }
        Err(Error::InUse(self.data.clone()))
    }

    /// An empty file for what the server says.
    pub(crate) fn new_log(&self) -> Result<fs::File, Error> {
        let path = self.log();
        Self::open_ours(&path)
            .and_then(|file| file.set_len(0).map(|()| file))
            .map_err(Error::file("write", &path))
    }

    /// Opens a file that nobody else reads, or locks, and that is no link.
    fn open_ours(path: &Path) -> io::Result<fs::File> {
        fs::File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)
    }

    /// Reads a short file of the cluster. Its directory is the server's, so the file may be
    /// anything; only a plain one with no other name is read.
    pub(crate) fn read(&self, name: &str) -> io::Result<String> {
        let file = fs::File::options()
            .read(true)
            // A pipe would block.
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(self.cluster().join(name))?;
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.nlink() > 1 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is not a plain file",
            ));
        }
        let mut text = String::new();
        file.take(FILE_MAX).read_to_string(&mut text)?;
        Ok(text)
    }

    /// The major version that made the cluster; none if there is no cluster.
    pub(crate) fn version(&self) -> Result<Option<String>, Error> {
        match self.read("PG_VERSION") {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::file("read", &self.cluster().join("PG_VERSION"))(
                error,
            )),
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
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::file("remove", &unfinished)(error));
            }
            _ => {}
        }
        private_directory(&unfinished, account)?;
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_plain_files_of_the_cluster_are_read() {
        let directory = tempfile::tempdir().expect("can be made");
        let layout = Layout {
            data: directory.path().to_owned(),
        };
        fs::create_dir(layout.cluster()).expect("can be made");
        let path = |name| layout.cluster().join(name);
        fs::write(path("plain"), "text").expect("is writable");
        assert_eq!(layout.read("plain").expect("can be read"), "text");
        symlink(path("plain"), path("link")).expect("can be made");
        layout.read("link").expect_err("is a link");
        fs::hard_link(path("plain"), path("name")).expect("can be made");
        layout.read("name").expect_err("has two names");
        layout.read("..").expect_err("is a directory");
    }
}
