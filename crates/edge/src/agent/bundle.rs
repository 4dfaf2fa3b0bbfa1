//! What every edge knows, in a file of its own.
//!
//! Each revocation brings a bundle, which counts before it is on disk: whoever watches must go at once,
//! however slow the disk is. [`Keeper`] writes it behind that, and of several only the newest.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use headworks_bootstrap::file;
use headworks_types::edge::Bundle;
use tokio::{
    sync::watch::{Receiver, Sender},
    task::spawn_blocking,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::Status;

/// After a disk has failed.
const AGAIN: Duration = Duration::from_secs(5);

/// Reads what was saved last; none if nothing was. A damaged file counts as nothing.
pub(super) fn load(path: &Path) -> anyhow::Result<Option<Bundle>> {
    let Some(bytes) = file::read(path)? else {
        return Ok(None);
    };
    let parsed = serde_json::from_slice(&bytes).inspect_err(|error| {
        let path = path.display();
        tracing::error!(%path, %error, "the saved keys are damaged; waiting for the controller's");
    });
    Ok(parsed.ok())
}

/// The names of the keys that tokens are verified with.
pub(super) fn kids(bundle: &Bundle) -> Vec<String> {
    let keys = bundle.jwks.keys.iter();
    keys.map(|key| key.kid.clone()).collect()
}

/// Writes bundles to the disk.
pub(super) struct Keeper {
    pub(super) path: PathBuf,
    pub(super) bundle: Receiver<Bundle>,
    pub(super) status: Arc<Sender<Status>>,
}

impl Keeper {
    /// Writes until `token` is cancelled, and then what is not written yet.
    pub(super) async fn run(mut self, token: &CancellationToken) {
        loop {
            let changed = token.run_until_cancelled(self.bundle.changed()).await;
            let is_last = !matches!(changed, Some(Ok(())));
            if is_last && !self.bundle.has_changed().unwrap_or(false) {
                return;
            }
            let saved = self.save().await;
            if is_last {
                return;
            }
            if !saved {
                self.bundle.mark_changed();
                token.run_until_cancelled(sleep(AGAIN)).await;
            }
        }
    }

    /// Writes the newest; true if it is on disk.
    async fn save(&mut self) -> bool {
        let bundle = self.bundle.borrow_and_update().clone();
        let kids = kids(&bundle);
        let path = self.path.clone();
        let write = move || file::write(&path, &serde_json::to_vec(&bundle)?);
        let error = match spawn_blocking(write).await {
            Ok(Ok(())) => {
                // Only what also a restart knows: the controller lets a key sign by this.
                self.status.send_modify(|status| status.signing_keys = kids);
                return true;
            }
            Ok(Err(error)) => format!("{error:#}"),
            Err(error) => error.to_string(),
        };
        tracing::error!(error, "the keys and revocations are not saved");
        false
    }
}
