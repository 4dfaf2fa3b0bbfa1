//! Where PostgreSQL is installed.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::Error;

/// Where distributions put the server's programs, one directory per major version.
const VERSIONED: [(&str, &str); 2] = [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")];

/// The programs of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binaries {
    pub(crate) postgres: PathBuf,
    pub(crate) initdb: PathBuf,
}

impl Binaries {
    /// The first in PATH, else the newest; where `data` exists, the one of its major version.
    pub(crate) fn find(version: Option<&str>, data: &Path) -> Result<Self, Error> {
        let versioned = installed();
        let path = env::var_os("PATH").unwrap_or_default();
        let mut in_path =
            env::split_paths(&path).filter_map(|directory| Self::in_directory(&directory));
        let Some(version) = version else {
            return in_path
                .chain(versioned.into_iter().map(|(_, found)| found))
                .next()
                .ok_or(Error::NotInstalled);
        };
        versioned
            .into_iter()
            .find(|(major, _)| major.to_string() == version)
            .map(|(_, found)| found)
            .or_else(|| in_path.find(|found| found.is_version(version)))
            .ok_or_else(|| Error::OtherVersion {
                data: data.to_owned(),
                version: version.to_owned(),
            })
    }

    fn in_directory(directory: &Path) -> Option<Self> {
        let found = Self {
            postgres: directory.join("postgres"),
            initdb: directory.join("initdb"),
        };
        (found.postgres.is_file() && found.initdb.is_file()).then_some(found)
    }

    fn is_version(&self, version: &str) -> bool {
        // postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)
        Command::new(&self.postgres)
            .arg("--version")
            .output()
            .is_ok_and(|output| {
                String::from_utf8_lossy(&output.stdout)
                    .split([' ', '.'])
                    .any(|word| word == version)
            })
    }
}

/// Installations below [`VERSIONED`] with their major version, newest first.
fn installed() -> Vec<(u32, Binaries)> {
    let mut found = Vec::new();
    for (directory, prefix) in VERSIONED {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        found.extend(entries.filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
            let binaries = Binaries::in_directory(&entry.path().join("bin"))?;
            Some((version, binaries))
        }));
    }
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found
}
