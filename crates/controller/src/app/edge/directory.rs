//! What watches are told of the directory: which nodes there are, and where each camera is.
//!
//! `reconcile::directory` reads what has changed, once for all watches of this replica, and keeps it
//! here in memory. A watch that has just connected says how far it was told before, by whatever
//! replica, and is told the difference; from then on it is told each version. Those that are equally
//! far are sent the very same bytes. The database is asked for no watch.

mod cursor;
mod known;
mod reader;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    sync::{Mutex, Notify, watch},
    task::spawn_blocking,
};

pub(crate) use known::SLACK;
use known::{From, Known, Stage, Told};
pub(crate) use reader::Reader;

use crate::db::directory::{Changes, Horizon};

/// So many differences are kept at once; others are worked out again.
const KEPT: usize = 64;
/// Everything, as it was so many versions ago, is told to one more: the difference follows.
const OLD: u64 = 100;

/// The directory of this replica. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct DirectoryFeed(Arc<Inner>);

#[derive(Default)]
struct Inner {
    known: RwLock<Option<Known>>,
    /// How many reads have begun.
    begun: AtomicU64,
    /// The last of them that was taken.
    taken: watch::Sender<u64>,
    present: watch::Sender<Stage>,
    called: Notify,
    written: Mutex<Written>,
}

/// Lines that were written for somebody. It is locked while they are, so that those who wait need
/// not do it again.
#[derive(Default)]
struct Written {
    stage: Stage,
    differences: HashMap<From, Arc<Told>>,
    /// As long as somebody is being told it.
    everything: Weak<Told>,
}

/// A read that has begun.
pub(crate) struct Reading {
    number: u64,
    /// How far the one before saw.
    pub(crate) known: Option<Horizon>,
}

impl DirectoryFeed {
    /// Asks for a read soon. Only a hint; several count as one.
    pub(crate) fn call(&self) {
        self.0.called.notify_one();
    }

    /// Waits for [`DirectoryFeed::call`]. One from before is not lost.
    pub(crate) async fn called(&self) {
        self.0.called.notified().await;
    }

    /// What a watch is told that was told up to `cursor`; 0 for nothing.
    pub(crate) fn reader(&self, cursor: i64) -> Reader {
        Reader::new(self.clone(), cursor)
    }

    /// Begins a read. There is one reader.
    pub(crate) fn begin(&self) -> Reading {
        Reading {
            number: self.0.begun.fetch_add(1, Ordering::AcqRel) + 1,
            known: self.known().as_ref().map(Known::horizon),
        }
    }

    /// Takes what was read: everything if `whole`, else what has changed since `reading.known`.
    /// True if that is news.
    pub(crate) fn take(
        &self,
        reading: &Reading,
        horizon: Horizon,
        whole: bool,
        changes: Changes,
    ) -> bool {
        let mut known = self.known_mut();
        let now = match &mut *known {
            Some(known) if !whole => {
                known.update(horizon, changes);
                known.stage()
            }
            known => {
                let life = known.as_ref().map_or(0, |known| known.stage().life);
                let anew = known.insert(Known::new(life + 1, horizon, changes));
                anew.stage()
            }
        };
        drop(known);
        self.0.taken.send_replace(reading.number);
        self.0
            .present
            .send_if_modified(|stage| std::mem::replace(stage, now) != now)
    }

    /// The lines that tell somebody who is at `from`, written now or for somebody before.
    async fn tell(&self, from: From) -> anyhow::Result<Arc<Told>> {
        let mut written = self.0.written.lock().await;
        let (stage, from) = match &*self.known() {
            Some(known) => (known.stage(), known.judge(from)),
            None => (Stage::default(), from),
        };
        if written.stage != stage {
            written.differences.clear();
            if written.stage.life != stage.life {
                written.everything = Weak::new();
            }
            written.stage = stage;
        }
        let kept = match from {
            From::Nothing => written.everything.upgrade(),
            _ => written.differences.get(&from).cloned(),
        };
        if let Some(kept) = kept.filter(|told| told.stage.version + OLD >= stage.version) {
            return Ok(kept);
        }
        let feed = self.clone();
        let told = spawn_blocking(move || feed.known().as_ref().map(|known| known.tell(from)));
        let told = told.await?.unwrap_or_else(|| Ok(Told::default()))?;
        let told = Arc::new(told);
        if from == From::Nothing {
            written.everything = Arc::downgrade(&told);
        } else if written.differences.len() < KEPT {
            written.differences.insert(from, Arc::clone(&told));
        }
        Ok(told)
    }

    fn begun(&self) -> u64 {
        self.0.begun.load(Ordering::Acquire)
    }

    fn known(&self) -> RwLockReadGuard<'_, Option<Known>> {
        self.0.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, Option<Known>> {
        self.0.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}
