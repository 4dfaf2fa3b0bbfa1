//! Relays: cameras that other edges bring in, on demand here, and ours there.
//!
//! [`Relays::open`] gives the stream of a camera that some other edge has; one [`worker`] for each of
//! them finds out from whom to take it ([`parent`]), keeps a connection ([`link`]), and feeds the hub
//! with exactly the frames, numbers and times of the origin. It changes over without a break when a
//! better edge comes or the camera moves, and at once when an edge is lost. In the other direction
//! [`listener`] lets other edges in and [`serve`] gives them what is here, also what is a relay
//! itself. [`wire`] is what they say to each other.

mod config;
mod counters;
#[cfg(fuzzing)]
pub mod fuzzing;
mod link;
mod listener;
mod parent;
mod serve;
mod successor;
#[cfg(test)]
mod tests;
mod tls;
mod wire;
mod worker;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use headworks_bootstrap::{Clock, Tasks};
use headworks_types::{
    CameraId, NodeId,
    edge::{Peer, Route},
};
use tokio::{sync::watch, time::Instant};

pub(crate) use config::Config;
pub(crate) use counters::Counters;
pub(crate) use listener::MAX_CONNECTIONS;

use crate::{
    agent::Own,
    directory::Directory,
    hub::{Hub, Stream},
    ingest::Ingests,
    streams::Streams,
};
use tls::Tls;
use wire::Source;
use worker::Worker;

/// What goes between this edge and others. Clones are the same.
#[derive(Clone)]
pub(crate) struct Relays(Arc<Shared>);

/// What connections and workers share.
struct Shared {
    config: Config,
    tls: Tls,
    directory: Directory,
    hub: Hub,
    ingests: Ingests,
    counters: Counters,
    clock: Clock,
    tasks: Tasks,
    relayed: Mutex<HashMap<CameraId, Relayed>>,
}

/// A camera that is had from another edge.
struct Relayed {
    stream: Arc<Stream>,
    /// From where it is had, as far as it is known.
    upstream: watch::Receiver<Option<Source>>,
    /// When somebody asked for it last.
    asked: Instant,
}

impl Relays {
    /// Without any.
    pub(crate) fn new(
        config: Config,
        own: Own,
        directory: Directory,
        hub: Hub,
        ingests: Ingests,
        clock: Clock,
        tasks: Tasks,
    ) -> Self {
        let counters = Counters {
            sent: hub.counters().relayed.clone(),
            ..Counters::default()
        };
        Self(Arc::new(Shared {
            config,
            tls: Tls::new(own),
            directory,
            hub,
            ingests,
            counters,
            clock,
            tasks,
            relayed: Mutex::default(),
        }))
    }

    /// The stream of a camera that another edge brings in; it is had from there while somebody wants
    /// it. `None` if nobody knows the camera, or this edge is to bring it in itself.
    pub(crate) fn open(&self, camera: CameraId) -> Option<Arc<Stream>> {
        self.0.open(camera)
    }

    /// All streams that can be watched here: those of this edge, and those of others.
    pub(crate) fn streams(&self) -> Streams {
        let (hub, directory) = (self.0.hub.clone(), self.0.directory.clone());
        let relays = self.clone();
        Streams::new(hub, directory, Arc::new(move |camera| relays.open(camera)))
    }

    /// For metrics and reports.
    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }
}

impl Shared {
    fn open(self: &Arc<Self>, camera: CameraId) -> Option<Arc<Stream>> {
        let now = self.clock.monotonic();
        let route = self.directory.route(camera)?;
        let own = self.tls.node()?;
        let mut relayed = self.relayed();
        if let Some(relayed) = relayed.get_mut(&camera) {
            relayed.asked = now;
            return Some(Arc::clone(&relayed.stream));
        }
        if route.origin == Some(own) {
            return None;
        }
        let feed = self.ingests.feed(camera, &route.camera_name);
        let stream = Arc::clone(feed.stream());
        let (sender, upstream) = watch::channel(None);
        let worker = Worker::new(Arc::clone(self), camera, sender);
        let stop = self.tasks.token();
        self.tasks.spawn("relay", async move {
            stop.run_until_cancelled(Box::pin(worker.run(feed))).await;
        });
        let new = Relayed {
            stream: Arc::clone(&stream),
            upstream,
            asked: now,
        };
        relayed.insert(camera, new);
        Some(stream)
    }

    /// The camera's stream, wherever it comes from.
    fn find(self: &Arc<Self>, camera: CameraId) -> Option<Arc<Stream>> {
        if self.ingests.epoch(camera).is_some() {
            return self.hub.stream(camera);
        }
        self.open(camera)
    }

    /// True if the camera can be had here.
    fn knows(&self, camera: CameraId) -> bool {
        self.ingests.epoch(camera).is_some() || self.directory.route(camera).is_some()
    }

    /// From where frames of this incarnation come, or those that come next if none has come.
    fn source(&self, camera: CameraId, incarnation: Option<u64>) -> Source {
        let own = self.tls.node();
        let relayed = self.relayed();
        let upstream = relayed.get(&camera);
        let upstream = upstream.and_then(|relayed| relayed.upstream.borrow().clone());
        drop(relayed);
        let same = |source: &Source| incarnation.is_none() || source.incarnation == incarnation;
        match upstream.filter(same) {
            Some(source) => Source {
                incarnation: source.incarnation,
                epoch: source.epoch,
                path: own.into_iter().chain(source.path).collect(),
            },
            None => Source {
                epoch: self.ingests.epoch(camera).unwrap_or_default(),
                incarnation,
                path: own.into_iter().collect(),
            },
        }
    }

    /// Takes note of an assignment that another edge knows of. If it is newer than the one by which
    /// this edge brings the camera in, that is over.
    fn learn(&self, camera: CameraId, epoch: i64, origin: Option<NodeId>) {
        let is_other = |origin: &NodeId| {
            Some(*origin) != self.tls.node() && self.directory.peer(*origin).is_some()
        };
        let Some(origin) = origin.filter(is_other) else {
            return;
        };
        if self.directory.learn(camera, origin, epoch) {
            tracing::info!(camera.id = %camera, origin.id = %origin, epoch, "told by another edge where a camera is");
        }
        if self.ingests.epoch(camera).is_some_and(|own| own < epoch) {
            self.ingests.supersede(camera, epoch);
        }
    }

    /// True if nothing between it and this edge crosses between zones.
    fn is_near(&self, peer: &Peer) -> bool {
        let own = self.tls.node().and_then(|own| self.directory.peer(own));
        own.is_some_and(|own| own.zone == peer.zone)
    }

    /// From whom the camera can be had, the best first.
    fn candidates(&self, route: &Route) -> Vec<NodeId> {
        let (Some(own), Some(origin)) = (self.tls.node(), route.origin) else {
            return Vec::new();
        };
        let entries = self.directory.entries();
        let peers = entries.peers.values().map(|peer| &**peer);
        parent::candidates(own, route.camera_id, origin, peers)
    }

    /// A camera is not wanted any more; false if somebody has asked for it meanwhile.
    fn forget_idle(&self, camera: CameraId) -> bool {
        let now = self.clock.monotonic();
        let mut relayed = self.relayed();
        let is_idle = relayed.get(&camera).is_none_or(|relayed| {
            !relayed.stream.is_wanted() && now - relayed.asked >= self.config.idle
        });
        if is_idle {
            relayed.remove(&camera);
        }
        is_idle
    }

    /// A camera is no longer had from another edge.
    fn forget(&self, camera: CameraId) {
        self.relayed().remove(&camera);
    }

    fn relayed(&self) -> MutexGuard<'_, HashMap<CameraId, Relayed>> {
        self.relayed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
