//! Where the server's socket is, in a directory that only the server's account can enter.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::{Error, account::Account, cluster::Layout, process};

/// The longest path of a Unix socket on Linux, without the closing zero (`sun_path`).
const SOCKET_PATH_MAX: usize = 107;
const SOCKET_NAME: &str = ".s.PGSQL.5432";
/// Where the short directories are, and what their names begin with.
const TEMPORARY: &str = "/tmp";
const TEMPORARY_PREFIX: &str = "headworks-";

/// `run` in the data directory, or, since not every path can be that of a socket, a short
/// temporary directory that `run` points to.
#[derive(Debug)]
pub(crate) struct SocketDirectory {
    pub(crate) path: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl SocketDirectory {
    pub(crate) fn open(layout: &Layout, account: Option<&Account>) -> Result<Self, Error> {
        let run = layout.run();
        remove_old(&run, account)?;
        if is_usable(&run) {
            private_directory(&run, account)?;
            return Ok(Self {
                path: run,
                _temporary: None,
            });
        }
        let temporary = tempfile::Builder::new()
            .prefix(TEMPORARY_PREFIX)
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(TEMPORARY)
            .map_err(Error::file("make a directory in", Path::new(TEMPORARY)))?;
        private_directory(temporary.path(), account)?;
        std::os::unix::fs::symlink(temporary.path(), &run)
            .map_err(Error::file("make the link", &run))?;
        Ok(Self {
            path: temporary.path().to_owned(),
            _temporary: Some(temporary),
        })
    }
}

/// The length is limited, and to PostgreSQL and its clients a comma separates two directories.
fn is_usable(path: &Path) -> bool {
    let path = path.as_os_str().as_encoded_bytes();
    path.len() + 1 + SOCKET_NAME.len() <= SOCKET_PATH_MAX && !path.contains(&b',')
}

/// A killed run leaves its temporary directory, which `run` still points to. A link to anything
/// else is removed and nothing more.
fn remove_old(run: &Path, account: Option<&Account>) -> Result<(), Error> {
    let Ok(old) = fs::read_link(run) else {
        return Ok(());
    };
    if is_temporary(&old, account) {
        // Follows no link, also if the account puts one there now.
        match fs::remove_dir_all(&old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::file("remove", &old)(error));
            }
            _ => {}
        }
    }
    fs::remove_file(run).map_err(Error::file("remove", run))
}

/// Whether `path` is a directory as we make them, of the server's account.
fn is_temporary(path: &Path, account: Option<&Account>) -> bool {
    let uid = account.map_or_else(process::effective_uid, |account| account.uid);
    let name = path.file_name().unwrap_or_default();
    path.parent() == Some(Path::new(TEMPORARY))
        && name
            .as_encoded_bytes()
            .starts_with(TEMPORARY_PREFIX.as_bytes())
        && fs::symlink_metadata(path)
            .is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == uid)
}

/// Makes `path`, in a directory of ours, a directory that only the server's account (and root)
/// can enter.
pub(crate) fn private_directory(path: &Path, account: Option<&Account>) -> Result<(), Error> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(Error::file("make the directory", path)(error));
        }
        _ => {}
    }
    let metadata = fs::symlink_metadata(path).map_err(Error::file("look at", path))?;
    if !metadata.is_dir() {
        let error = io::ErrorKind::NotADirectory.into();
        return Err(Error::file("use", path)(error));
    }
    match account {
        Some(account) if account.uid != metadata.uid() => {
            std::os::unix::fs::lchown(path, Some(account.uid), Some(account.gid))
                .map_err(Error::file("give away", path))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_left_over_directory_is_removed() {
        let place = tempfile::tempdir().expect("can be made");
        let run = place.path().join("run");
        let make = |prefix: &str| {
            tempfile::Builder::new()
                .prefix(prefix)
                .tempdir_in(TEMPORARY)
                .expect("can be made")
        };
        let (ours, foreign) = (make(TEMPORARY_PREFIX), make("foreign-"));
        for target in [ours.path(), foreign.path()] {
            std::os::unix::fs::symlink(target, &run).expect("can be made");
            remove_old(&run, None).expect("can be removed");
            assert!(fs::symlink_metadata(&run).is_err(), "the link is gone");
        }
        assert!(!ours.path().exists());
        assert!(foreign.path().exists());
    }

    #[test]
    fn a_directory_of_somebody_else_is_not_ours() {
        let stranger = Account {
            name: "stranger".to_owned(),
            uid: 54_321,
            gid: 54_321,
        };
        let directory = tempfile::Builder::new()
            .prefix(TEMPORARY_PREFIX)
            .tempdir_in(TEMPORARY)
            .expect("can be made");
        assert!(is_temporary(directory.path(), None));
        assert!(!is_temporary(directory.path(), Some(&stranger)));
        assert!(!is_temporary(&directory.path().join(".."), None));
    }
}
