//! Files that must survive a crash whole: written beside, flushed, renamed. All are private (0600).

use std::{
    fs::{File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use anyhow::Context as _;

/// Replaces `path` by `content`, all or nothing, also when the machine loses power.
///
/// # Errors
/// What went wrong, with the path.
pub fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    replace(path, content).with_context(|| format!("write {}", path.display()))
}

/// The content of `path`; none if there is no such file.
///
/// # Errors
/// What went wrong, with the path.
pub fn read(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path
        .parent()
        .ok_or_else(|| io::Error::other("has no directory"))?;
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    // A left-over file keeps its old mode.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_private_and_replaced_whole() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("state.json");
        assert_eq!(read(&path).expect("reads"), None);
        write(&path, b"one").expect("writes");
        write(&path, b"2").expect("writes");
        assert_eq!(read(&path).expect("reads").as_deref(), Some(&b"2"[..]));
        let mode = path.metadata().expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn errors_name_the_file() {
        let error = write(Path::new("/nowhere/state"), b"").expect_err("fails");
        assert_eq!(error.to_string(), "write /nowhere/state");
    }
}
