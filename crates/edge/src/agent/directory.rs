//! The directory, in a file of its own.
//!
//! An edge that starts while no controller can be reached knows from it all other edges, and where
//! each camera is; one that finds a controller is told only what has changed since. The file may be
//! large and the cluster restless, so [`Keeper`] writes it behind what is heard, and of several
//! changes only the last.

use std::{path::Path, path::PathBuf, sync::Arc, time::Duration};

use headworks_bootstrap::{Clock, file};
use headworks_types::edge::{DirectoryUpdate, Peer, Route};
use serde::Serialize;
use tokio::{sync::watch::Receiver, task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::directory::Directory;

/// How soon after one write the next one may come.
const PAUSE: Duration = Duration::from_secs(10);
/// No more than this part of the time is spent with writing.
const SHARE: u32 = 50;
/// After a disk has failed.
const AGAIN: Duration = Duration::from_secs(5);

/// Reads what was saved last; none if nothing was. A damaged file counts as nothing.
pub(super) fn load(path: &Path) -> anyhow::Result<Option<DirectoryUpdate>> {
    let Some(bytes) = file::read(path)? else {
        return Ok(None);
    };
    match serde_json::from_slice::<DirectoryUpdate>(&bytes) {
        Ok(saved) => Ok(Some(saved).filter(|saved| saved.complete && !saved.more)),
        Err(error) => {
            let path = path.display();
            tracing::error!(
                %path, %error,
                "the saved directory is damaged; waiting for the controller's"
            );
            Ok(None)
        }
    }
}

/// Writes the directory to the disk.
pub(super) struct Keeper {
    path: PathBuf,
    directory: Directory,
    changes: Receiver<u64>,
    clock: Clock,
}

impl Keeper {
    /// Of a directory that is on disk as it is now.
    pub(super) fn new(path: PathBuf, directory: Directory, clock: Clock) -> Self {
        Self {
            path,
            changes: directory.changes(),
            directory,
            clock,
        }
    }

    /// Writes until `token` is cancelled, and then what is not written yet.
    pub(super) async fn run(mut self, token: &CancellationToken) {
        loop {
            let changed = token.run_until_cancelled(self.changes.changed()).await;
            let is_last = !matches!(changed, Some(Ok(())));
            if is_last && !self.changes.has_changed().unwrap_or(false) {
                return;
            }
            self.changes.borrow_and_update();
            let begun = self.clock.monotonic();
            let saved = self.save().await;
            if is_last {
                return;
            }
            let pause = if saved {
                PAUSE.max((self.clock.monotonic() - begun) * SHARE)
            } else {
                self.changes.mark_changed();
                AGAIN
            };
            token.run_until_cancelled(sleep(pause)).await;
        }
    }

    /// Writes it as it is now; true if it is on disk.
    async fn save(&self) -> bool {
        let saved = Saved::from(&self.directory);
        let path = self.path.clone();
        let write = move || file::write(&path, &serde_json::to_vec(&saved)?);
        let error = match spawn_blocking(write).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => format!("{error:#}"),
            Err(error) => error.to_string(),
        };
        tracing::error!(error, "the directory is not saved");
        false
    }
}

/// The file's form: that of a complete [`DirectoryUpdate`], of which nothing is copied.
#[derive(Serialize)]
struct Saved {
    cursor: i64,
    complete: bool,
    peers: Vec<Shared<Peer>>,
    routes: Vec<Shared<Route>>,
}

struct Shared<T>(Arc<T>);

impl<T: Serialize> Serialize for Shared<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl From<&Directory> for Saved {
    fn from(directory: &Directory) -> Self {
        let entries = directory.entries();
        Self {
            cursor: entries.cursor,
            complete: true,
            peers: entries.peers.values().cloned().map(Shared).collect(),
            routes: entries.routes.values().cloned().map(Shared).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use headworks_types::{CameraGroupId, CameraId, ProjectId, edge::ViewPolicy};
    use uuid::Uuid;

    use super::*;

    fn route(camera: u128) -> Route {
        Route {
            camera_id: CameraId::from(Uuid::from_u128(camera)),
            project_id: ProjectId::from(Uuid::from_u128(camera % 7)),
            camera_name: format!("Camera {camera} at the north gate"),
            origin: Some(Uuid::from_u128(camera % 2000).into()),
            epoch: 1,
            view: ViewPolicy {
                groups: (0..3)
                    .map(|group| CameraGroupId::from(Uuid::from_u128(group)))
                    .collect(),
                ..ViewPolicy::default()
            },
        }
    }

    fn directory(cameras: u128) -> Directory {
        let directory = Directory::default();
        directory.update(DirectoryUpdate {
            cursor: 9,
            complete: true,
            routes: (0..cameras).map(route).collect(),
            ..DirectoryUpdate::default()
        });
        directory
    }

    fn keeper(path: &Path, directory: Directory) -> Keeper {
        Keeper::new(path.to_owned(), directory, Clock::system())
    }

    #[tokio::test]
    async fn what_is_saved_is_loaded_and_a_damaged_file_counts_as_nothing() {
        let place = tempfile::tempdir().expect("temporary directory");
        let path = place.path().join("directory.json");
        assert_eq!(load(&path).expect("reads"), None);
        let before = directory(3);
        assert!(keeper(&path, before.clone()).save().await);
        let after = Directory::default();
        after.update(load(&path).expect("reads").expect("is there"));
        assert_eq!(*after.entries(), *before.entries());
        for damaged in ["{\"cursor\": 1", "{\"cursor\": 1, \"complete\": false}"] {
            std::fs::write(&path, damaged).expect("writes");
            assert_eq!(load(&path).expect("reads"), None);
        }
    }

    /// `cargo test -p headworks-edge --release large_directory -- --ignored --nocapture`
    #[tokio::test]
    #[ignore = "measures; run it by itself"]
    async fn a_large_directory_in_numbers() {
        let place = tempfile::tempdir().expect("temporary directory");
        let path = place.path().join("directory.json");
        let resident = || {
            let text = std::fs::read_to_string("/proc/self/statm").expect("is Linux");
            let pages = text
                .split(' ')
                .nth(1)
                .and_then(|pages| pages.parse::<u64>().ok());
            pages.expect("is a number") * 4096
        };
        let before = resident();
        let large = directory(100_000);
        println!("in memory: {} MB", (resident() - before) >> 20);
        let clock = Clock::system();
        let begun = clock.monotonic();
        assert!(keeper(&path, large.clone()).save().await);
        let size = path.metadata().expect("is there").len();
        println!(
            "file: {} MB, written in {:?}",
            size >> 20,
            clock.monotonic() - begun
        );
        let begun = clock.monotonic();
        let loaded = load(&path).expect("reads").expect("is there");
        println!("loaded in {:?}", clock.monotonic() - begun);
        assert_eq!(loaded.routes.len(), large.entries().routes.len());
    }
}
