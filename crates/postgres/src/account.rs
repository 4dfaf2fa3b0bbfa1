//! Who the server runs as. PostgreSQL refuses to be root.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use crate::Error;

/// A user from `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    /// The account to change to: none unless we are root.
    pub(crate) fn to_run_as() -> Result<Option<Self>, Error> {
        if crate::process::effective_uid() != 0 {
            return Ok(None);
        }
        let passwd = Path::new("/etc/passwd");
        let text = fs::read_to_string(passwd).map_err(Error::file("read", passwd))?;
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| Self::from_passwd(&text, name))
            .map(Some)
            .ok_or(Error::NoAccount)
    }

    fn from_passwd(text: &str, name: &str) -> Option<Self> {
        text.lines().find_map(|line| {
            let mut fields = line.split(':');
            if fields.next() != Some(name) {
                return None;
            }
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            Some(Self {
                name: name.to_owned(),
                uid,
                gid,
            })
        })
    }

    /// Checks that this user can enter every directory above `path`, and cannot put another
    /// directory in the place of one of them. `path` exists, is absolute and without links.
    pub(crate) fn check_can_reach(&self, path: &Path) -> Result<(), Error> {
        for directory in path.ancestors().skip(1) {
            let metadata = fs::metadata(directory).map_err(Error::file("look at", directory))?;
            let mode = metadata.permissions().mode();
            let (enter, write) = if metadata.uid() == self.uid {
                (0o100, 0o200)
            } else if metadata.gid() == self.gid {
                (0o010, 0o020)
            } else {
                (0o001, 0o002)
            };
            if mode & enter == 0 {
                return Err(Error::Unreachable {
                    user: self.name.clone(),
                    path: directory.to_owned(),
                });
            }
            let sticky = mode & 0o1000 != 0;
            if metadata.uid() == self.uid || (mode & write != 0 && !sticky) {
                return Err(Error::Exposed(directory.to_owned()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_their_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nxpostgres:x:1:2::/:\npostgres:x:105:113:,,,:/var:/bin/sh\n";
        let account = Account::from_passwd(passwd, "postgres").expect("is there");
        assert_eq!((account.uid, account.gid), (105, 113));
        assert_eq!(Account::from_passwd(passwd, "nobody"), None);
    }

    fn stranger() -> Account {
        Account {
            name: "stranger".to_owned(),
            uid: 54_321,
            gid: 54_321,
        }
    }

    fn directory(mode: u32) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("can be made");
        // Not by the builder, whose mode the umask changes.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).expect("is ours");
        directory
    }

    #[test]
    fn a_closed_directory_above_the_data_is_named() {
        let directory = directory(0o700);
        let error = stranger()
            .check_can_reach(&directory.path().join("data"))
            .expect_err("closed to others");
        assert!(matches!(error, Error::Unreachable { .. }), "{error}");
        let path = directory.path().display().to_string();
        assert!(error.to_string().contains(&path), "{error}");
    }

    #[test]
    fn a_directory_above_the_data_that_the_account_could_replace_is_refused() {
        let open = directory(0o777);
        let error = stranger()
            .check_can_reach(&open.path().join("data"))
            .expect_err("open to others");
        assert!(matches!(error, Error::Exposed(_)), "{error}");
        let sticky = directory(0o1777);
        stranger()
            .check_can_reach(&sticky.path().join("data"))
            .expect("others cannot replace what is in it");
    }
}
