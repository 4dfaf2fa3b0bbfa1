//! The data directory of `headworks up`.
//!
//! ```text
//! <data>/lock        locked while a `headworks up` uses the directory
//! <data>/master.key  seals the secrets in the database; keep a copy
//! <data>/postgres/   the private PostgreSQL
//! <data>/edge/       the edge's identity and state
//! <data>/admin.key   the first admin key, from its making until it has been shown
//! ```

use std::{
    env,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use aws_lc_rs::rand;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use headworks_bootstrap::file;
use headworks_types::Secret;

use crate::failure::Failure;

/// The directory, locked as long as this lives.
pub(crate) struct Data {
    directory: PathBuf,
    is_new: bool,
    _lock: File,
}

/// Where data goes if nobody says.
pub(crate) fn default_directory() -> Result<PathBuf, Failure> {
    if fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
        return Ok("/var/lib/headworks".into());
    }
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|base| base.join("headworks"))
        .ok_or_else(|| Failure::user("there is no home directory; say where with --data DIR"))
}

impl Data {
    /// Makes the directory if it is not there, and locks it.
    pub(crate) fn open(directory: &Path) -> Result<Self, Failure> {
        let directory = std::path::absolute(directory).map_err(failed("find", directory))?;
        // PostgreSQL runs as another user below a `headworks up` of root, and must get through.
        let is_new = !directory.exists();
        DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(&directory)
            .map_err(failed("make the directory", &directory))?;
        let path = directory.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed("open", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                is_new,
                directory,
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(Failure::user(format!(
                "another `headworks up` uses {}",
                directory.display()
            ))
            .with_hint("stop it, or give this one its own directory with --data")),
            Err(TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
        }
    }

    /// Whether this start has made the directory.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.directory.join("postgres")
    }

    pub(crate) fn edge(&self) -> PathBuf {
        self.directory.join("edge")
    }

    /// Keeps the first admin key until it is shown: a start that fails or is interrupted after the
    /// database was set up must not lose it.
    pub(crate) fn keep_admin_key(&self, key: &Secret) -> Result<(), Failure> {
        let path = self.admin_key_path();
        Ok(file::write(
            &path,
            format!("{}\n", key.expose()).as_bytes(),
        )?)
    }

    /// An admin key that has not been shown yet.
    pub(crate) fn kept_admin_key(&self) -> Result<Option<Secret>, Failure> {
        let path = self.admin_key_path();
        match fs::read_to_string(&path) {
            Ok(key) => Ok(Some(Secret::new(key.trim()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    /// It has been shown.
    pub(crate) fn forget_admin_key(&self) -> Result<(), Failure> {
        let path = self.admin_key_path();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    fn admin_key_path(&self) -> PathBuf {
        self.directory.join("admin.key")
    }

    /// The master key; made at the first start. It is not made anew beside a database that was
    /// sealed with another one.
    pub(crate) fn master_key(&self, own_database: bool) -> Result<Secret, Failure> {
        let path = self.directory.join("master.key");
        match fs::read_to_string(&path) {
            Ok(key) => return Ok(Secret::new(key.trim())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("read", &path)(error)),
        }
        if own_database && self.database().join("cluster").exists() {
            return Err(Failure::user(format!(
                "{} is missing; the camera passwords in the database are sealed with it",
                path.display()
            ))
            .with_hint("put it back from a copy, or set controller.master_key_file"));
        }
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).map_err(|_| Failure::bug("the system has no random numbers"))?;
        let key = STANDARD.encode(bytes);
        file::write(&path, format!("{key}\n").as_bytes())?;
        Ok(Secret::new(key))
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
    let path = path.display().to_string();
    move |error| Failure::user(format!("cannot {what} {path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let first = Data::open(directory.path()).expect("opens");
        let Err(failure) = Data::open(directory.path()) else {
            panic!("the second must be refused");
        };
        let path = directory.path().display();
        assert_eq!(
            failure.to_string(),
            format!(
                "error: another `headworks up` uses {path}\n\nhint: stop it, or give this one its \
                 own directory with --data"
            )
        );
        drop(first);
        Data::open(directory.path()).expect("opens again");
    }

    #[test]
    fn the_admin_key_is_kept_until_it_is_shown() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let data = Data::open(directory.path()).expect("opens");
        assert_eq!(data.kept_admin_key().expect("reads"), None);
        let key = Secret::new("hwak_a_b");
        data.keep_admin_key(&key).expect("writes");
        let mode = fs::metadata(directory.path().join("admin.key"))
            .expect("is there")
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(data.kept_admin_key().expect("reads"), Some(key));
        data.forget_admin_key().expect("removes");
        data.forget_admin_key().expect("has nothing to remove");
        assert_eq!(data.kept_admin_key().expect("reads"), None);
    }

    #[test]
    fn the_master_key_is_made_once_and_private() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let data = Data::open(directory.path()).expect("opens");
        let key = data.master_key(true).expect("is made");
        assert_eq!(data.master_key(true).expect("is read"), key);
        let path = directory.path().join("master.key");
        assert_eq!(fs::metadata(&path).expect("is there").mode() & 0o777, 0o600);
        assert_eq!(STANDARD.decode(key.expose()).expect("is base64").len(), 32);

        fs::create_dir_all(data.database().join("cluster")).expect("makes");
        fs::remove_file(&path).expect("removes");
        let failure = data
            .master_key(true)
            .expect_err("must not lose the passwords");
        assert!(
            failure.to_string().contains("master.key is missing"),
            "{failure}"
        );
    }
}
