//! Writes what [`Audit`] is told to the queue on the disk.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use headworks_types::edge::{AuditDelivery, AuditEntry};
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Audit, Config, Kind, Outlet, alike::Alike, queue::Queue};

/// How often refusals are counted up, and the disk is asked to be sure.
const SECOND: Duration = Duration::from_secs(1);

/// So many are written together.
const BATCH: usize = 256;

/// Refusals have one part in so many of the room.
const REFUSED: u64 = 4;

/// At the edge's end, how long the last words of sessions may take.
const LAST: Duration = Duration::from_millis(500);

/// The queues: one for each kind, so that no kind displaces the other.
#[derive(Clone)]
pub(crate) struct Store([Shelf; 2]);

/// One queue, shared by who writes and who delivers.
#[derive(Clone)]
pub(super) struct Shelf(Arc<Inner>);

struct Inner {
    queue: Mutex<Queue>,
    written: Notify,
}

impl Store {
    /// Opens the queues in the edge's data directory.
    ///
    /// # Errors
    /// What is wrong with the directory.
    pub(crate) fn open(data: &Path, config: &Config) -> anyhow::Result<Self> {
        let (all, refused) = (config.queue_bytes, config.queue_bytes / REFUSED);
        let directory = data.join("audit");
        Ok(Self([
            Shelf::open(&directory, all - refused)?,
            Shelf::open(&directory.join("refused"), refused)?,
        ]))
    }

    pub(super) fn shelf(&self, kind: Kind) -> &Shelf {
        &self.0[kind as usize]
    }
}

impl Shelf {
    fn open(directory: &Path, limit: u64) -> anyhow::Result<Self> {
        Ok(Self(Arc::new(Inner {
            queue: Mutex::new(Queue::open(directory, limit)?),
            written: Notify::new(),
        })))
    }

    /// Waits until something is written.
    pub(super) async fn written(&self) {
        self.0.written.notified().await;
    }

    /// The next records to deliver.
    pub(super) async fn peek(&self, most: usize, bytes: usize) -> anyhow::Result<AuditDelivery> {
        self.with(move |queue| {
            Ok(AuditDelivery {
                queue: queue.id(),
                entries: queue.peek(most, bytes)?,
            })
        })
        .await
    }

    /// These are delivered.
    pub(super) async fn forget(&self, sequence: i64) -> anyhow::Result<()> {
        self.with(move |queue| queue.forget(sequence)).await
    }

    /// Writes these; says how many could not be kept, these or others.
    pub(super) async fn append(&self, entries: Vec<AuditEntry>) -> anyhow::Result<u64> {
        let lost = self.with(move |queue| {
            let mut lost = 0;
            for mut entry in entries {
                if let Err(error) = queue.append(&mut entry) {
                    tracing::warn!(%error, "a record of the audit log cannot be written");
                    lost += entry.count;
                }
            }
            Ok(lost + queue.take_lost())
        });
        let lost = lost.await;
        self.0.written.notify_one();
        lost
    }

    /// Asks the disk to be sure; says how many were lost meanwhile.
    async fn sync(&self) -> anyhow::Result<u64> {
        self.with(|queue| {
            queue.sync()?;
            Ok(queue.take_lost())
        })
        .await
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Queue) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let inner = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || {
            let mut queue = inner.queue.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut queue)
        })
        .await?
    }
}

/// Writes until `stop`, and then what is still said.
pub(crate) async fn keep(outlet: Outlet, store: Store, stop: CancellationToken) {
    let Outlet { mut entries, audit } = outlet;
    let mut alike = Alike::default();
    let mut second = interval(SECOND);
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut batch = Vec::new();
    while !stop.is_cancelled() {
        tokio::select! {
            received = entries.recv_many(&mut batch, BATCH) => {
                if received == 0 {
                    break;
                }
                let news = batch.drain(..).filter_map(|entry| alike.sift(entry)).collect();
                write(&audit, &store, news).await;
            }
            _ = second.tick() => close_second(&audit, &store, &mut alike).await,
            () = stop.cancelled() => {}
        }
    }
    // Sessions end with the edge, and say so.
    let last = async { while entries.recv_many(&mut batch, BATCH).await > 0 {} };
    let _ = timeout(LAST, last).await;
    let news = batch.drain(..).filter_map(|entry| alike.sift(entry));
    write(&audit, &store, news.collect()).await;
    close_second(&audit, &store, &mut alike).await;
}

/// Writes what the second has counted up, and asks the disk to be sure.
async fn close_second(audit: &Audit, store: &Store, alike: &mut Alike) {
    write(audit, store, alike.tell()).await;
    for kind in Kind::ALL {
        let lost = audit.take_lost(kind);
        put(audit, store, kind, lost.into_iter().collect()).await;
        match store.shelf(kind).sync().await {
            Ok(lost) => audit.lose(kind, lost),
            Err(error) => tracing::warn!(%error, "the disk does not keep the audit log"),
        }
    }
}

async fn write(audit: &Audit, store: &Store, entries: Vec<AuditEntry>) {
    let is_admitted = |entry: &AuditEntry| Kind::of(entry) == Kind::Admitted;
    let (admitted, refused) = entries.into_iter().partition(is_admitted);
    put(audit, store, Kind::Admitted, admitted).await;
    put(audit, store, Kind::Refused, refused).await;
}

async fn put(audit: &Audit, store: &Store, kind: Kind, entries: Vec<AuditEntry>) {
    if entries.is_empty() {
        return;
    }
    let all: u64 = entries.iter().map(|entry| entry.count).sum();
    let lost = store.shelf(kind).append(entries).await;
    let lost = lost.unwrap_or_else(|error| {
        tracing::warn!(%error, "records of the audit log cannot be written");
        all
    });
    audit.lose(kind, lost);
}
