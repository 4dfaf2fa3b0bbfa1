//! Ingests cameras: one worker per slot, which connects, feeds the hub and starts anew for ever.
//!
//! [`Ingests::start`] and [`Ingests::stop`] come from the agent; what became of it is
//! in [`Ingests::reports`]. A worker lives as long as its slot and so does its stream, so that
//! viewers stay through a reconnect and through a change of the camera's address.

mod config;
mod failure;
mod feed;
mod leave;
mod publish;
pub(crate) mod rtp;
mod sound;
mod source;
mod tags;
#[cfg(test)]
mod tests;
mod worker;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use headworks_bootstrap::{Clock, PerAddress, Tasks};
use headworks_types::{
    CameraId, NodeLoad,
    edge::{AuditAction, IngestWork, Role, SlotKey, SlotReport},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use url::Url;

pub(crate) use config::Config;
pub(crate) use failure::Failure;
pub(crate) use feed::Feed;
pub(crate) use publish::{Candidate, Denied, Publication};
pub(crate) use source::dial;
pub(crate) use tags::Tags;

use crate::{
    audit::{Audit, Guest},
    elsewhere::{Base, Elsewhere},
    ffmpeg::Ffmpeg,
    hub::{Hub, Stream, Writer},
    streams::Streams,
    turns::Turns,
    work::Consumed,
};
use leave::Leaving;
use publish::Seat;
use sound::Sound;
use worker::Worker;

/// All cameras that this edge pulls.
#[derive(Clone)]
pub(crate) struct Ingests(Arc<Inner>);

struct Inner {
    config: Config,
    hub: Hub,
    audit: Audit,
    clock: Clock,
    tasks: Tasks,
    /// Connection attempts that may be under way at once: after a power cut all cameras of a
    /// site come back together, and neither they nor their switch like to be asked together.
    connects: Arc<Turns>,
    slots: Mutex<Slots>,
    /// Where cameras are that have left.
    streams: OnceLock<Streams>,
    ffmpeg: Ffmpeg,
    /// Publishers that were turned away, for the log.
    refused: PerAddress,
}

#[derive(Default)]
struct Slots {
    running: HashMap<SlotKey, Slot>,
    /// Those that are not this edge's work any more, and go on until there is something better.
    leaving: HashMap<SlotKey, Leaving>,
}

/// What a worker has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    /// For which slot.
    pub(crate) key: SlotKey,
    /// Which assignment of the slot it is.
    pub(crate) epoch: i64,
    /// For logs.
    pub(crate) camera_name: String,
    /// The work itself.
    pub(crate) work: IngestWork,
}

struct Slot {
    desired: watch::Sender<Arc<Job>>,
    stream: Arc<Stream>,
    writer: Writer,
    seat: Arc<Seat>,
    stop: CancellationToken,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.seat.retire();
        self.stop.cancel();
    }
}

impl Ingests {
    /// Without work.
    pub(crate) fn new(config: Config, hub: Hub, audit: Audit, clock: Clock, tasks: Tasks) -> Self {
        let refused = PerAddress::new(clock.clone());
        Self(Arc::new(Inner {
            connects: Arc::new(Turns::new(config.connects)),
            ffmpeg: Ffmpeg::new(config.ffmpeg.clone(), tasks.clone()),
            config,
            hub,
            audit,
            clock,
            tasks,
            slots: Mutex::default(),
            streams: OnceLock::new(),
            refused,
        }))
    }

    /// Starts work. Work of the same key that is there already goes on with what is new: the
    /// camera is asked anew only if its address, credentials or transport have changed, and
    /// viewers stay in any case.
    pub(crate) fn start(&self, desired: Job) {
        let mut slots = self.slots();
        Self::take_back(&mut slots, desired.key);
        if let Some(slot) = slots.running.get(&desired.key) {
            slot.desired.send_replace(Arc::new(desired));
            return;
        }
        let key = desired.key;
        let feed = self.feed(key.camera_id, &desired.camera_name);
        let stream = Arc::clone(feed.stream());
        let writer = feed.writer().clone();
        let seat = Seat::new(self.0.clock.clone());
        let (sender, receiver) = watch::channel(Arc::new(desired));
        let stop = self.0.tasks.token().child_token();
        let worker = Worker {
            config: self.0.config.clone(),
            clock: self.0.clock.clone(),
            connects: Arc::clone(&self.0.connects),
            ffmpeg: self.0.ffmpeg.clone(),
            seat: Arc::clone(&seat),
            desired: receiver,
        };
        let running = stop.clone();
        let work = async move {
            running
                .run_until_cancelled(Box::pin(worker.run(feed)))
                .await;
        };
        self.0.tasks.spawn("camera pull", work);
        let slot = Slot {
            desired: sender,
            stream,
            writer,
            seat,
            stop,
        };
        slots.running.insert(key, slot);
    }

    /// Another way into a camera's stream, beside those that there are: for this edge's own work,
    /// and for relays.
    pub(crate) fn feed(&self, camera: CameraId, camera_name: &str) -> Feed {
        let inner = &self.0;
        let sound = Sound::new(
            inner.ffmpeg.clone(),
            inner.clock.clone(),
            inner.tasks.clone(),
        );
        Feed::new(
            inner.hub.publish(camera),
            sound,
            camera_name,
            inner.clock.clone(),
            inner.config.video_timeout,
        )
    }

    /// Lets somebody publish a camera, if the key is good and the camera is published here.
    pub(crate) async fn publish(
        &self,
        camera: Option<CameraId>,
        candidate: &Candidate<'_>,
    ) -> Result<Publication, Denied> {
        let mut outcome = match camera {
            Some(id) => match self.seat(id) {
                Some(seat) => seat.admit(candidate).await,
                None => Err(Denied::UnknownCamera),
            },
            None => Err(Denied::NotACamera),
        };
        self.record(camera, candidate, &mut outcome);
        let camera = camera.as_ref().map(tracing::field::display);
        let (protocol, address) = (candidate.protocol.as_str(), candidate.address);
        match &outcome {
            Ok(publication) => tracing::info!(
                camera.id = camera, protocol, %address, key.id = %publication.key(),
                "publisher accepted"
            ),
            Err(denied) => {
                if let Some(times) = self.0.refused.count(address.ip()) {
                    let key = denied.key();
                    tracing::warn!(
                        camera.id = camera, protocol, %address, reason = denied.reason(), times,
                        key.id = key.as_ref().map(tracing::field::display),
                        "publisher refused"
                    );
                }
            }
        }
        outcome
    }

    /// Where somebody with a stream key should go whose camera another edge brings in.
    pub(crate) fn elsewhere(
        &self,
        camera: CameraId,
        candidate: &Candidate<'_>,
        elsewhere: &Elsewhere,
        base: Base,
    ) -> Option<Url> {
        // Strangers are not told where cameras are.
        if !candidate.has_key() || self.seat(camera).is_some() {
            return None;
        }
        let url = elsewhere.publisher(camera, base)?;
        let (protocol, address) = (candidate.protocol.as_str(), candidate.address);
        tracing::info!(
            camera.id = %camera, protocol, %address, to = url.host_str(),
            "publisher sent to the edge that has its camera"
        );
        Some(url)
    }

    /// Tells the audit log of a publisher, now and when it leaves.
    fn record(
        &self,
        camera: Option<CameraId>,
        candidate: &Candidate<'_>,
        outcome: &mut Result<Publication, Denied>,
    ) {
        let audit = &self.0.audit;
        let guest = Guest {
            protocol: candidate.protocol.as_str(),
            address: candidate.address.ip(),
        };
        match (outcome, camera) {
            (Ok(publication), Some(camera)) => publication.record(audit, camera, guest),
            (Err(denied), camera) => {
                // Strangers may make up cameras.
                let camera = camera.filter(|_| *denied != Denied::UnknownCamera);
                let key = denied.key().map(|key| key.to_string());
                let (action, code) = (AuditAction::PublishStart, denied.code());
                audit.refused(action, guest, camera, key.as_deref(), code);
            }
            // Nobody publishes what has no name.
            (Ok(_), None) => {}
        }
    }

    fn seat(&self, camera: CameraId) -> Option<Arc<Seat>> {
        let key = SlotKey {
            camera_id: camera,
            role: Role::Ingest,
            ordinal: 0,
        };
        Some(Arc::clone(&self.slots().running.get(&key)?.seat))
    }

    /// What became of all work.
    pub(crate) fn reports(&self) -> Vec<SlotReport> {
        let slots = self.slots();
        let report = |(key, slot): (&SlotKey, &Slot)| {
            let status = slot.writer.status();
            SlotReport {
                key: *key,
                epoch: slot.desired.borrow().epoch,
                state: status.state,
                message: status.message,
                since: status.since,
                tracks: status.tracks,
                viewers: slot.stream.viewers(),
                publisher: slot.seat.publisher(),
                refused: slot.seat.refused(),
                published: slot.seat.published(),
                restream: None,
                usage: None,
            }
        };
        slots.running.iter().map(report).collect()
    }

    /// What all work has taken from this node.
    pub(crate) fn consumed(&self) -> HashMap<SlotKey, Consumed> {
        let slots = self.slots();
        let consumed = |(key, slot): (&SlotKey, &Slot)| {
            let consumed = Consumed {
                received: slot.stream.received(),
                ..Consumed::default()
            };
            (*key, consumed)
        };
        slots.running.iter().map(consumed).collect()
    }

    /// The media side of the node's load; processor, memory and rate are left at zero.
    pub(crate) fn load(&self) -> NodeLoad {
        let counters = self.0.hub.counters();
        let (streams, viewers) = self.0.hub.totals();
        NodeLoad {
            cpu_cores: 0.0,
            memory_bytes: 0,
            streams,
            viewers,
            received_bytes: counters.received.get(),
            sent_bytes: counters.sent_bytes(),
            sent_kbit: 0,
        }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
