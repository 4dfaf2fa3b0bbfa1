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

    /// Checks that this user can enter every directory above `path`, which must be absolute;
    /// they exist.
    pub(crate) fn check_can_reach(&self, path: &Path) -> Result<(), Error> {
        for directory in path.ancestors().skip(1) {
            let metadata = fs::metadata(directory).map_err(Error::file("look at", directory))?;
            let mode = metadata.permissions().mode();
            let enter = if metadata.uid() == self.uid {
                0o100
            } else if metadata.gid() == self.gid {
                0o010
            } else {
                0o001
            };
            if mode & enter == 0 {
                return Err(Error::Unreachable {
                    user: self.name.clone(),
                    path: directory.to_owned(),
                });
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

    #[test]
    fn a_closed_directory_above_the_data_is_named() {
        let temporary = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .expect("can be made");
        let stranger = Account {
            name: "stranger".to_owned(),
            uid: 54_321,
            gid: 54_321,
        };
        let error = stranger
            .check_can_reach(&temporary.path().join("data"))
            .expect_err("closed to others");
        let path = temporary.path().display().to_string();
        assert!(error.to_string().contains(&path), "{error}");
    }
}
