//! What this edge knows of the others and of all cameras. The agent keeps it up to date and on disk;
//! relays, access and redirects read it.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard},
};

use headworks_types::{
    CameraId, NodeId,
    edge::{DirectoryUpdate, Peer, Route},
};
use tokio::sync::watch;

/// All edges and cameras of the cluster. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Directory(Arc<Inner>);

#[derive(Default)]
struct Inner {
    entries: RwLock<Entries>,
    /// Rises with every update.
    version: watch::Sender<u64>,
    /// Who this edge is, once it is a node of the cluster.
    own: OnceLock<NodeId>,
}

/// Everything there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Entries {
    /// Up to where it was told.
    pub(crate) cursor: i64,
    pub(crate) peers: BTreeMap<NodeId, Arc<Peer>>,
    pub(crate) routes: BTreeMap<CameraId, Arc<Route>>,
}

impl Directory {
    /// Takes what has changed.
    pub(crate) fn update(&self, update: DirectoryUpdate) {
        let mut entries = self
            .0
            .entries
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        entries.update(update);
        drop(entries);
        self.0.version.send_modify(|version| *version += 1);
    }

    /// This edge is that node.
    pub(crate) fn set_own(&self, own: NodeId) {
        // It never becomes another one.
        let _ = self.0.own.set(own);
    }

    /// Which node this edge is, once that is known.
    pub(crate) fn own(&self) -> Option<NodeId> {
        self.0.own.get().copied()
    }

    /// Where the camera is.
    pub(crate) fn route(&self, camera: CameraId) -> Option<Arc<Route>> {
        self.entries().routes.get(&camera).cloned()
    }

    /// Another edge says who brings a camera in, and since when. True if that is new, and can be so.
    pub(crate) fn learn(&self, camera: CameraId, origin: NodeId, epoch: i64) -> bool {
        let mut entries = self
            .0
            .entries
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if !entries.peers.contains_key(&origin) {
            return false;
        }
        let newer = entries.routes.get_mut(&camera);
        let Some(route) = newer.filter(|route| route.epoch < epoch) else {
            return false;
        };
        *route = Arc::new(Route {
            origin: Some(origin),
            epoch,
            ..Route::clone(route)
        });
        drop(entries);
        self.0.version.send_modify(|version| *version += 1);
        true
    }

    /// Who has this id.
    pub(crate) fn peer(&self, node: NodeId) -> Option<Arc<Peer>> {
        self.entries().peers.get(&node).cloned()
    }

    /// Notices every update.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }

    /// Everything, to look at and to save. Hold it shortly.
    pub(crate) fn entries(&self) -> RwLockReadGuard<'_, Entries> {
        self.0
            .entries
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn update(&mut self, update: DirectoryUpdate) {
        if update.complete {
            *self = Self::default();
        }
        self.cursor = update.cursor;
        for peer in update.removed_peers {
            self.peers.remove(&peer);
        }
        for camera in update.removed_routes {
            self.routes.remove(&camera);
        }
        let peers = update.peers.into_iter();
        self.peers
            .extend(peers.map(|peer| (peer.id, Arc::new(peer))));
        let routes = update.routes.into_iter();
        self.routes
            .extend(routes.map(|route| (route.camera_id, Arc::new(route))));
    }
}
