//! What the edge should do, on disk.

use std::path::Path;

use headworks_bootstrap::file;
use headworks_duty::Desired;

/// Reads what was saved last; none if nothing was. A damaged file counts as nothing.
pub(super) fn load(path: &Path) -> anyhow::Result<Option<Desired>> {
    let Some(bytes) = file::read(path)? else {
        return Ok(None);
    };
    match serde_json::from_slice(&bytes) {
        Ok(desired) => Ok(Some(desired)),
        Err(error) => {
            tracing::error!(
                path = %path.display(), %error,
                "the saved state is damaged; waiting for the controller's"
            );
            Ok(None)
        }
    }
}

/// Saves it for the next start. Camera passwords are in it; the file is private.
pub(super) fn save(desired: &Desired, path: &Path) -> anyhow::Result<()> {
    file::write(path, &serde_json::to_vec(desired)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::tests::slot;

    #[test]
    fn a_damaged_file_counts_as_nothing() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("state.json");
        assert_eq!(load(&path).expect("reads"), None);
        let mut desired = Desired::default();
        desired.snapshot(5, vec![slot(1, 3)]);
        save(&desired, &path).expect("saves");
        assert_eq!(load(&path).expect("reads"), Some(desired));
        std::fs::write(&path, "{\"revision\": 1").expect("writes");
        assert_eq!(load(&path).expect("reads"), None);
    }
}
