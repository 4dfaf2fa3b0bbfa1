//! What watches wait for: their node's revision, and the bundle.
//!
//! `reconcile::feed` asks the database once for all watches of this replica.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use headworks_types::{NodeId, edge::Bundle};
use tokio::sync::watch;
use uuid::Uuid;

/// The announcements of this replica. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Feeds(Arc<Inner>);

#[derive(Default)]
struct Inner {
    revisions: Mutex<HashMap<NodeId, watch::Sender<i64>>>,
    bundle: watch::Sender<Arc<Bundle>>,
}

impl Feeds {
    /// The node's revision as it is announced; 0 until it was.
    pub(crate) fn revision(&self, node: NodeId) -> watch::Receiver<i64> {
        let mut revisions = self.revisions();
        revisions.entry(node).or_default().subscribe()
    }

    /// The bundle as it is announced; empty until it was.
    pub(crate) fn bundle(&self) -> watch::Receiver<Arc<Bundle>> {
        self.0.bundle.subscribe()
    }

    /// The nodes that are watching here.
    pub(crate) fn watched(&self) -> Vec<Uuid> {
        let mut revisions = self.revisions();
        revisions.retain(|_, revision| revision.receiver_count() > 0);
        revisions.keys().map(|node| node.uuid()).collect()
    }

    /// Announces the node's revision.
    pub(crate) fn announce_revision(&self, node: NodeId, revision: i64) {
        if let Some(announced) = self.revisions().get(&node) {
            announced.send_if_modified(|old| std::mem::replace(old, revision) != revision);
        }
    }

    /// Announces the bundle.
    pub(crate) fn announce_bundle(&self, bundle: Bundle) {
        self.0.bundle.send_if_modified(|old| {
            let changed = **old != bundle;
            if changed {
                *old = Arc::new(bundle);
            }
            changed
        });
    }

    fn revisions(&self) -> std::sync::MutexGuard<'_, HashMap<NodeId, watch::Sender<i64>>> {
        self.0
            .revisions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
