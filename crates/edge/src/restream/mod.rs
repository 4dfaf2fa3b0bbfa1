//! Pushes cameras to other people's servers: one worker per restream.
//!
//! [`Restreams::start`] and [`Restreams::stop`] come from the agent; what became of it is in
//! [`Restreams::reports`]. A push reads its camera's stream in the hub like a viewer. It is strict
//! work: [`Fence`] says when it may be done, and [`Restreams::stopped`] when all that had to stop
//! has stopped.
//!
//! * [`worker`] decides when to connect; [`push`], when to end; [`rtmp`] and [`rtsp`] speak.
//! * [`link`] writes, and refuses to without the right; [`source`] and [`encode`] give frames.
//! * Logs and reports name the base URL only: [`secrets`](crate::secrets) are hidden, also where
//!   targets repeat them.

mod board;
mod config;
mod encode;
mod failure;
mod fence;
mod link;
mod push;
mod rtmp;
mod rtsp;
mod sign;
mod source;
#[cfg(test)]
mod tests;
mod worker;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use headworks_bootstrap::{Clock, Tasks};
use headworks_types::edge::{RestreamWork, SlotKey, SlotReport};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use config::Config;
pub(crate) use fence::Fence;

use crate::{ffmpeg::Ffmpeg, hub::Hub, turns::Turns, work::Consumed};
use board::Board;
use worker::{Around, Worker};

/// All pushes of this edge. Clones are the same.
#[derive(Clone)]
pub(crate) struct Restreams(Arc<Inner>);

struct Inner {
    around: Arc<Around>,
    tasks: Tasks,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    running: HashMap<SlotKey, Slot>,
    /// The ends of those that were told to stop.
    stopping: Vec<(SlotKey, CancellationToken)>,
}

struct Slot {
    desired: watch::Sender<Arc<Job>>,
    board: Arc<Board>,
    stop: CancellationToken,
    /// Cancelled when its connection is gone.
    ended: CancellationToken,
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
    pub(crate) work: Box<RestreamWork>,
}

impl Job {
    /// True if something is different that a connection depends on.
    fn differs_from(&self, other: &Self) -> bool {
        let relevant = |job: &Self| RestreamWork {
            name: String::new(),
            ..RestreamWork::clone(&job.work)
        };
        relevant(self) != relevant(other)
    }
}

impl Restreams {
    /// Without work.
    pub(crate) fn new(
        config: Config,
        hub: Hub,
        ffmpeg: Ffmpeg,
        clock: Clock,
        tasks: Tasks,
    ) -> Self {
        let around = Around {
            fence: Fence::new(clock.clone()),
            connects: Turns::new(config.connects),
            config,
            clock,
            hub,
            ffmpeg,
            sent: Counter::default(),
        };
        Self(Arc::new(Inner {
            around: Arc::new(around),
            tasks,
            slots: Mutex::default(),
        }))
    }

    /// Says when pushes may be done.
    pub(crate) fn fence(&self) -> &Fence {
        &self.0.around.fence
    }

    /// Starts work. Work of the same key that is there already goes on with what is new, and
    /// connects anew only if that matters.
    pub(crate) fn start(&self, desired: Job) {
        let inner = &self.0;
        let mut slots = self.slots();
        if let Some(slot) = slots.running.get(&desired.key) {
            slot.board.assign(desired.epoch);
            slot.desired.send_replace(Arc::new(desired));
            return;
        }
        let key = desired.key;
        let clock = inner.around.clock.clone();
        let board = Arc::new(Board::new(clock, key, desired.epoch));
        let (sender, receiver) = watch::channel(Arc::new(desired));
        let stop = inner.tasks.token().child_token();
        let ended = CancellationToken::new();
        let before: Vec<_> = slots
            .stopping
            .iter()
            .filter(|(other, _)| *other == key)
            .map(|(_, ended)| ended.clone())
            .collect();
        let worker = Worker {
            around: Arc::clone(&inner.around),
            board: Arc::clone(&board),
            desired: receiver,
            stop: stop.clone(),
        };
        let end = ended.clone().drop_guard();
        inner.tasks.spawn("restream", async move {
            let _end = end;
            for ended in before {
                ended.cancelled().await;
            }
            worker.run().await;
        });
        let slot = Slot {
            desired: sender,
            board,
            stop,
            ended,
        };
        slots.running.insert(key, slot);
    }

    /// Ends work; [`Self::stopped`] tells when it has ended.
    pub(crate) fn stop(&self, key: SlotKey) {
        let mut slots = self.slots();
        if let Some(slot) = slots.running.remove(&key) {
            slot.stop.cancel();
            slots.stopping.push((key, slot.ended));
        }
    }

    /// Waits until all that was told to stop has no connection any more. Workers cut themselves
    /// off shortly after they were told, so that it does not take long.
    pub(crate) async fn stopped(&self) {
        let stopping = self.slots().stopping.clone();
        for (_, ended) in &stopping {
            ended.cancelled().await;
        }
        self.slots()
            .stopping
            .retain(|(_, ended)| !ended.is_cancelled());
    }

    /// The same for all work, which ends with the tasks.
    pub(crate) async fn all_stopped(&self) {
        let running: Vec<_> = {
            let slots = self.slots();
            slots
                .running
                .values()
                .map(|slot| slot.ended.clone())
                .collect()
        };
        for ended in running {
            ended.cancelled().await;
        }
        self.stopped().await;
    }

    /// What became of all work.
    pub(crate) fn reports(&self) -> Vec<SlotReport> {
        let slots = self.slots();
        slots
            .running
            .values()
            .map(|slot| slot.board.report())
            .collect()
    }

    /// What all work has taken from this node.
    pub(crate) fn consumed(&self) -> HashMap<SlotKey, Consumed> {
        let slots = self.slots();
        let consumed = |(key, slot): (&SlotKey, &Slot)| (*key, slot.board.consumed());
        slots.running.iter().map(consumed).collect()
    }

    /// Bytes sent to all targets since the start of the edge.
    pub(crate) fn sent(&self) -> &Counter {
        &self.0.around.sent
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
