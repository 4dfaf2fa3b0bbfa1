//! The stream hub: frames in from one source per camera, wire bytes out to any number of viewers.
//!
//! A [`Stream`] keeps a bounded ring of frames. Each output [`Format`] turns a frame into wire
//! bytes once, when the first viewer needs it. Viewers are spread over a few [`Shards`], each one
//! task that owns their sockets and writes with one system call per viewer whatever is due.
//! HLS is cut by one task per stream that runs while somebody watches. The source never waits for
//! a viewer: one that falls behind jumps to a key frame, is counted, and is closed when that
//! happens too often.
//!
//! The hub knows nothing of RTSP, tokens or HTTP: `ingest` publishes, `http` brings viewers.

mod batch;
mod config;
mod control;
mod counters;
mod entry;
mod format;
mod group;
mod held;
mod hls;
mod line;
mod numbering;
mod past;
mod publisher;
mod reader;
mod relayed;
mod ring;
mod shard;
mod sink;
mod status;
mod stream;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod transport;
mod udp;
mod viewer;
mod wire;
mod writers;

use std::{
    collections::{HashMap, hash_map},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use headworks_bootstrap::{Clock, Tasks};
use headworks_types::CameraId;
use tokio::time::sleep;

pub(crate) use config::Config;
pub(crate) use control::{Control, ViewerHandle, control};
pub(crate) use counters::Counters;
pub(crate) use entry::{AAC_RATE, Description, Entry};
pub(crate) use format::{Format, Selection, Sound};
pub(crate) use hls::{HlsRequest, Live};
pub(crate) use publisher::{Publisher, Writer};
pub(crate) use reader::Reader;
pub(crate) use relayed::Relayed;
pub(crate) use sink::Sink;
pub(crate) use status::Status;
pub(crate) use stream::{NoPicture, Start, Stream, ViewerGuard};
pub(crate) use udp::{UdpPeer, UdpSink};
pub(crate) use viewer::{Leave, NewViewer};

use past::Past;
use shard::Shards;

/// A stream that is wanted waits so long for another writer when the last one has gone.
const GRACE: Duration = Duration::from_secs(3);

/// All streams of an edge.
#[derive(Clone)]
pub(crate) struct Hub(Arc<Inner>);

struct Inner {
    config: Config,
    clock: Clock,
    tasks: Tasks,
    counters: Counters,
    shards: Shards,
    streams: Mutex<HashMap<CameraId, Arc<Stream>>>,
    past: Mutex<Past>,
}

impl Hub {
    /// Starts the writer shards on `tasks`.
    pub(crate) fn new(config: Config, clock: Clock, tasks: Tasks) -> Self {
        let counters = Counters::default();
        let shards = Shards::start(config, &clock, &counters, &tasks);
        Self(Arc::new(Inner {
            config,
            clock,
            tasks,
            counters,
            shards,
            streams: Mutex::default(),
            past: Mutex::default(),
        }))
    }

    /// A handle on the stream of a camera, which is made if it is not there. There may be several.
    pub(crate) fn publish(&self, camera: CameraId) -> Publisher {
        let inner = &self.0;
        let mut streams = self.streams();
        let stream = streams.entry(camera).or_insert_with(|| {
            let before = lock(&inner.past).take(camera);
            Arc::new(Stream::new(
                camera,
                inner.config,
                inner.clock.clone(),
                inner.tasks.clone(),
                inner.counters.clone(),
                &before.unwrap_or_default(),
            ))
        });
        stream.set_final(false);
        Publisher::new(Arc::clone(stream), self.clone())
    }

    /// A handle is gone. When it was the last one, the stream ends: at once if nobody wants it or
    /// no other can come, else after a while in which another may go on with it.
    fn leave(&self, stream: &Arc<Stream>, writer: u64) {
        let mut streams = self.streams();
        let is_last = {
            let mut line = stream.line();
            line.writers.remove(writer);
            stream.show(&line);
            line.writers.is_empty()
        };
        if !is_last {
            return;
        }
        let is_over = stream.is_final() || self.0.tasks.token().is_cancelled();
        if is_over || !stream.is_wanted() {
            self.end(&mut streams, stream);
            return;
        }
        drop(streams);
        let (hub, stream) = (self.clone(), Arc::clone(stream));
        self.0.tasks.spawn("stream without a source", async move {
            tokio::select! {
                () = sleep(GRACE) => {}
                () = stream.idle(Duration::ZERO) => {}
                () = hub.0.tasks.token().cancelled_owned() => {}
            }
            let mut streams = hub.streams();
            if !stream.is_fed() {
                hub.end(&mut streams, &stream);
            }
        });
    }

    fn end(&self, streams: &mut HashMap<CameraId, Arc<Stream>>, stream: &Arc<Stream>) {
        if let hash_map::Entry::Occupied(entry) = streams.entry(stream.camera())
            && Arc::ptr_eq(entry.get(), stream)
        {
            entry.remove();
            lock(&self.0.past).keep(stream.camera(), stream.playlists());
        }
        stream.end();
    }

    /// The stream of a camera, if this edge has it.
    pub(crate) fn stream(&self, camera: CameraId) -> Option<Arc<Stream>> {
        self.streams().get(&camera).cloned()
    }

    /// Gives a viewer's socket to a shard.
    pub(crate) async fn add_viewer(&self, viewer: NewViewer) {
        self.0.shards.add(viewer).await;
    }

    /// How it was told to work.
    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    /// For metrics and reports.
    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// How many streams carry media now, and how many watch them.
    pub(crate) fn totals(&self) -> (u32, u32) {
        let streams = self.streams();
        let live = streams.values().filter(|stream| stream.status().is_live());
        let viewers = streams.values().map(|stream| stream.viewers()).sum();
        (live.count() as u32, viewers)
    }

    /// How many frames of a camera can be read.
    #[cfg(test)]
    pub(crate) fn buffered(&self, camera: CameraId) -> u64 {
        self.stream(camera).map_or(0, |stream| {
            let ring = stream.ring();
            ring.next() - ring.first()
        })
    }

    /// The AAC of a camera that stands in for its own sound: stamps and packets.
    #[cfg(test)]
    pub(crate) fn aac(&self, camera: CameraId) -> Vec<(i64, bytes::Bytes)> {
        let stream = self.stream(camera);
        stream.map_or_else(Vec::new, |stream| {
            let ring = stream.ring();
            let entries = (ring.first()..ring.next()).filter_map(|number| ring.get(number));
            let aac = entries.filter(|entry| entry.only_for == Some(Sound::Aac));
            aac.map(|entry| (entry.frame.dts, entry.frame.payload.clone()))
                .collect()
        })
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<CameraId, Arc<Stream>>> {
        lock(&self.0.streams)
    }
}

/// A panic while a lock is held is a bug of its own; the data behind ours stays consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
