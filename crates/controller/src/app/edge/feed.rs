//! What watches wait for: their node's revision, and the bundle.
//!
//! `reconcile::feed` asks the database once for all watches of this replica.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use headworks_types::NodeId;
use tokio::{sync::watch, time::Instant};
use uuid::Uuid;

/// The announcements of this replica. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Feeds(Arc<Inner>);

#[derive(Default)]
struct Inner {
    revisions: Mutex<HashMap<NodeId, watch::Sender<i64>>>,
    bundle: watch::Sender<Bytes>,
    bundle_read_at: Mutex<Option<Instant>>,
}

impl Feeds {
    /// The node's revision as it is announced; 0 until it was.
    pub(crate) fn revision(&self, node: NodeId) -> watch::Receiver<i64> {
        let mut revisions = self.revisions();
        revisions.entry(node).or_default().subscribe()
    }

    /// The bundle's line as it is announced; empty until it was. However many watches there are, it
    /// is written and kept once.
    pub(crate) fn bundle(&self) -> watch::Receiver<Bytes> {
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

    /// When what is announced as the bundle was read last; `None` if it never was.
    pub(crate) fn bundle_read_at(&self) -> Option<Instant> {
        *self.read_at()
    }

    /// The bundle's line, if it was read at this time or later.
    pub(crate) fn bundle_since(&self, time: Instant) -> Option<Bytes> {
        let read_at = self.bundle_read_at().filter(|at| *at >= time);
        read_at.map(|_| self.0.bundle.borrow().clone())
    }

    /// Announces the bundle's line, and that it was so at this time. What was read before the one
    /// that is announced is none.
    pub(crate) fn announce_bundle(&self, line: Bytes, read_at: Instant) {
        let mut newest = self.read_at();
        if newest.is_some_and(|newest| newest > read_at) {
            return;
        }
        self.0.bundle.send_if_modified(|old| {
            let changed = *old != line;
            if changed {
                *old = line;
            }
            changed
        });
        // Behind the bundle: who sees the time has the bundle, too.
        *newest = Some(read_at);
    }

    fn read_at(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0
            .bundle_read_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn revisions(&self) -> std::sync::MutexGuard<'_, HashMap<NodeId, watch::Sender<i64>>> {
        self.0
            .revisions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use headworks_bootstrap::Clock;

    use super::*;

    #[test]
    fn the_bundle_is_kept_once_however_many_watch() {
        let (feeds, now) = (Feeds::default(), Clock::system().monotonic());
        let (mut one, mut two) = (feeds.bundle(), feeds.bundle());
        feeds.announce_bundle(Bytes::from(vec![1; 9]), now);
        let lines = [&mut one, &mut two].map(|watch| watch.borrow_and_update().clone());
        assert_eq!(lines[0].as_ptr(), lines[1].as_ptr());
        feeds.announce_bundle(Bytes::from(vec![1; 9]), now);
        assert!(!one.has_changed().expect("lives"), "the same again");
    }

    #[test]
    fn what_was_read_before_does_not_count() {
        let (feeds, now) = (Feeds::default(), Clock::system().monotonic());
        let before = now - std::time::Duration::from_secs(1);
        feeds.announce_bundle(Bytes::from_static(b"new"), now);
        feeds.announce_bundle(Bytes::from_static(b"old"), before);
        assert_eq!(feeds.bundle_since(now).as_deref(), Some(&b"new"[..]));
        let later = now + std::time::Duration::from_secs(1);
        assert_eq!(feeds.bundle_since(later), None);
    }
}
