//! One camera that is had from other edges: finds one that gives it, and another when that one fails
//! or a better one is there. Viewers notice as little as possible: frames go on where they were,
//! wherever the next edge still has them.

mod feeding;

use std::{
    collections::HashMap,
    future::{Future, pending},
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use headworks_types::{
    CameraId, NodeId,
    edge::{Peer, Route, SlotState},
};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use super::{
    Shared,
    counters::Counted,
    link::{Failure, Link, Wanted},
    successor::{Successor, place},
    wire::Source,
};
use crate::{
    backoff::{self, Backoff},
    hub::Stream,
    ingest::Feed,
};
use feeding::Feeding;

/// How often it is looked whether there is somebody better.
const LOOK: Duration = Duration::from_millis(500);
/// For so long nobody can be asked before viewers are told.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) struct Worker {
    shared: Arc<Shared>,
    camera: CameraId,
    /// Told to those who have the camera from here.
    upstream: watch::Sender<Option<Source>>,
    /// Who has failed, and when.
    failed: HashMap<NodeId, Instant>,
    /// The highest assignment whose frames were taken.
    epoch: i64,
}

/// A better edge that is tried while another gives the camera.
struct Trial {
    node: NodeId,
    future: Pin<Box<dyn Future<Output = Result<Successor, Failure>> + Send>>,
}

/// What is new while an edge gives the camera.
enum News {
    Told(Result<super::wire::Tell, Failure>),
    Tried(Result<Box<Successor>, Failure>),
    Look,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        camera: CameraId,
        upstream: watch::Sender<Option<Source>>,
    ) -> Self {
        Self {
            shared,
            camera,
            upstream,
            failed: HashMap::new(),
            epoch: 0,
        }
    }

    /// Until nobody wants the camera any more, or it is here by itself, or nowhere.
    pub(super) async fn run(mut self, mut feed: Feed) {
        let shared = Arc::clone(&self.shared);
        let (camera, idle) = (self.camera, shared.config.idle);
        let (stream, writer) = (Arc::clone(feed.stream()), feed.writer().clone());
        let _counted = Counted::new(&shared.counters.incoming);
        let mut relay = pin!(self.relay(&mut feed));
        loop {
            tokio::select! {
                () = &mut relay => break,
                () = stream.idle(idle) => {
                    if shared.forget_idle(camera) {
                        return;
                    }
                }
                () = writer.lost() => break,
                () = unknown(&shared, camera) => break,
            }
        }
        shared.forget(camera);
    }

    /// Goes from edge to edge for ever.
    async fn relay(&mut self, feed: &mut Feed) {
        let pace = self.shared.config.pace;
        let mut backoff = Backoff::new(pace.retry_min, pace.retry_max);
        let mut failing_since = None;
        feed.set_status(SlotState::Connecting, "asks other edges for the camera");
        loop {
            let is_well = match self.connect(feed.stream()).await {
                Ok(link) => self.follow(link, feed).await,
                Err(why) => {
                    let now = self.shared.clock.monotonic();
                    let since = *failing_since.get_or_insert(now);
                    // Viewers wait for one that connects. Edges that have just heard of each other
                    // agree in a moment.
                    let state = match now - since < PATIENCE {
                        true => SlotState::Connecting,
                        false => SlotState::Failed,
                    };
                    feed.set_status(state, &why);
                    false
                }
            };
            if is_well {
                failing_since = None;
                backoff.reset();
            } else if !self.has_fresh() {
                self.pause(backoff.next(backoff::random())).await;
            }
        }
    }

    /// Waits, at most until something has changed.
    async fn pause(&mut self, wait: Duration) {
        let mut changes = self.shared.directory.changes();
        tokio::select! {
            () = sleep(wait) => {}
            _ = changes.changed() => {}
        }
    }

    fn route(&self) -> Option<Arc<Route>> {
        self.shared.directory.route(self.camera)
    }

    /// What is known of the camera here.
    fn wanted(&self) -> Wanted {
        let route = self.route();
        Wanted {
            camera: self.camera,
            epoch: route
                .as_ref()
                .map_or(0, |route| route.epoch)
                .max(self.epoch),
            origin: route.and_then(|route| route.origin),
        }
    }

    /// From whom the camera can be had, the best first.
    fn candidates(&self) -> Vec<NodeId> {
        let route = self.route();
        route.map_or_else(Vec::new, |route| self.shared.candidates(&route))
    }

    /// True if it has not failed for some time.
    fn is_fresh(&self, node: NodeId) -> bool {
        let now = self.shared.clock.monotonic();
        let failed = self.failed.get(&node);
        failed.is_none_or(|failed| now - *failed >= self.shared.config.pace.back)
    }

    fn has_fresh(&self) -> bool {
        self.candidates()
            .into_iter()
            .any(|node| self.is_fresh(node))
    }

    fn note(&mut self, node: NodeId, failure: &Failure) {
        let now = self.shared.clock.monotonic();
        self.failed.insert(node, now);
        let name = self
            .shared
            .directory
            .peer(node)
            .map(|peer| peer.name.clone());
        tracing::info!(
            camera.id = %self.camera, peer.id = %node, peer.name = name, reason = %failure,
            "another edge does not give the camera"
        );
    }

    /// Connects to the best that answers. One that takes long is not waited for alone.
    async fn connect(&mut self, stream: &Stream) -> Result<Link, String> {
        let (mut fresh, failed): (Vec<_>, Vec<_>) = self
            .candidates()
            .into_iter()
            .partition(|node| self.is_fresh(*node));
        fresh.extend(failed);
        if fresh.is_empty() {
            return Err("no edge brings the camera in now".to_owned());
        }
        let (shared, wanted, play) = (Arc::clone(&self.shared), self.wanted(), place(stream));
        let attempt = |node| {
            let connect = Link::connect(&shared, wanted, node, Some(play));
            async move { (node, connect.await) }
        };
        let mut attempts = FuturesUnordered::new();
        let mut rest = fresh.into_iter();
        let mut words = Vec::new();
        loop {
            attempts.extend(rest.next().map(attempt));
            let more = async {
                match rest.len() {
                    0 => pending().await,
                    _ => sleep(shared.config.pace.stagger).await,
                }
            };
            tokio::select! {
                done = attempts.next() => match done {
                    Some((_, Ok(link))) => return Ok(link),
                    Some((node, Err(failure))) => {
                        self.note(node, &failure);
                        words.push(format!("{}: {failure}", self.called(node)));
                    }
                    None => return Err(words.join("; ")),
                },
                () = more => {}
            }
        }
    }

    fn called(&self, node: NodeId) -> String {
        let peer = self.shared.directory.peer(node);
        peer.map_or_else(|| node.to_string(), |peer| called(&peer))
    }

    /// Takes the camera from one edge after the other without a break, until one fails. True if any
    /// of them was good for something.
    async fn follow(&mut self, link: Link, feed: &mut Feed) -> bool {
        let stream = Arc::clone(feed.stream());
        let mut feeding = Feeding::new(&self.shared, link, feed);
        let mut changes = self.shared.directory.changes();
        let (mut trial, mut successor) = (None::<Trial>, None::<Box<Successor>>);
        let mut was_well = false;
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let failure = loop {
            self.upstream.send_if_modified(|told| {
                let source = feeding.link().source();
                let is_new = told.as_ref() != Some(source);
                if is_new {
                    *told = Some(source.clone());
                }
                is_new
            });
            let tried = async {
                match &mut trial {
                    Some(trial) => trial.future.as_mut().await,
                    None => pending().await,
                }
            };
            let news = tokio::select! {
                told = feeding.next() => News::Told(told),
                tried = tried => News::Tried(tried.map(Box::new)),
                _ = changes.changed() => News::Look,
                _ = look.tick() => News::Look,
            };
            match news {
                News::Told(told) => {
                    if let Err(failure) = feeding.take(told, feed, &mut self.epoch) {
                        break failure;
                    }
                }
                News::Tried(tried) => {
                    let node = trial.take().map(|trial| trial.node);
                    match (tried, node) {
                        (Ok(found), _) => successor = Some(found),
                        (Err(failure), Some(node)) => self.note(node, &failure),
                        (Err(_), None) => {}
                    }
                }
                News::Look => {
                    if self.is_hungry(&feeding) {
                        break Failure::Hungry;
                    }
                    if successor.is_none() {
                        self.reconsider(&feeding, &stream, &mut trial);
                    }
                }
            }
            if let Some(next) = successor.take_if(|next| next.fits(&stream)) {
                was_well |= feeding.is_well();
                if let Err(failure) = self.change(&mut feeding, *next, feed) {
                    break failure;
                }
            }
        };
        self.note(feeding.link().peer().id, &failure);
        // Who has the camera from here has it from nobody now.
        self.upstream.send_modify(|source| {
            if let Some(source) = source {
                source.path.clear();
            }
        });
        was_well || feeding.is_well()
    }

    /// Takes the camera from another edge, whose first frame is there.
    fn change(
        &mut self,
        feeding: &mut Feeding,
        next: Successor,
        feed: &mut Feed,
    ) -> Result<(), Failure> {
        let from = called(feeding.link().peer());
        let to = called(next.link.peer());
        let before = std::mem::replace(feeding, Feeding::new(&self.shared, next.link, feed));
        tracing::info!(camera.id = %self.camera, from, to, "a relay changes over");
        let wanted = self.wanted();
        let goodbye = before.into_link().leave(wanted.epoch, wanted.origin);
        self.shared.tasks.spawn("relay goodbye", goodbye);
        self.upstream
            .send_replace(Some(feeding.link().source().clone()));
        feeding.begin(next.tracks, next.first, feed, &mut self.epoch)
    }

    /// True if the other edge has the camera from nobody, and somebody else could be asked.
    fn is_hungry(&self, feeding: &Feeding) -> bool {
        let origin = self.route().and_then(|route| route.origin);
        let source = feeding.link().source();
        let node = feeding.link().peer().id;
        let others = || self.candidates().into_iter().filter(|other| *other != node);
        feeding.is_hungry()
            && source.path.last() != origin.as_ref()
            && others().any(|other| self.is_fresh(other))
    }

    /// Tries a better edge, if there is one.
    fn reconsider(&self, feeding: &Feeding, stream: &Arc<Stream>, trial: &mut Option<Trial>) {
        let candidates = self.candidates();
        let current = feeding.link().peer().id;
        let place = candidates.iter().position(|node| *node == current);
        let better = &candidates[..place.unwrap_or(candidates.len())];
        let best = better.iter().find(|node| self.is_fresh(**node));
        let Some(best) = best else {
            *trial = None;
            return;
        };
        if trial.as_ref().is_some_and(|trial| trial.node == *best) {
            return;
        }
        // One that has just come has to show first that it stays; but where the one that gives the
        // camera should not do so any more, nobody waits.
        let patience = match place {
            Some(_) => self.shared.config.pace.back,
            None => Duration::ZERO,
        };
        let future = Successor::find(
            Arc::clone(&self.shared),
            self.wanted(),
            self.epoch,
            *best,
            patience,
            Arc::clone(stream),
        );
        *trial = Some(Trial {
            node: *best,
            future: Box::pin(future),
        });
    }
}

/// Until the cluster does not know the camera any more.
async fn unknown(shared: &Shared, camera: CameraId) {
    let mut changes = shared.directory.changes();
    while shared.directory.route(camera).is_some() {
        // Its sender is here.
        let _ = changes.changed().await;
    }
}

/// What people call an edge.
fn called(peer: &Peer) -> String {
    format!("{} (site {})", peer.name, peer.site)
}
