//! Writer shards: each is one task that owns many viewers' sockets.
//!
//! The kernel's time per write is the cost, so everything else is kept small: one wake and one
//! lock per stream and shard, not per viewer; the same pieces for all viewers that are up to date;
//! no task, channel or copy per viewer. A blocked socket is polled by the same task and delays
//! nobody.

use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use headworks_bootstrap::{Clock, Tasks};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Config, Counters, NewViewer,
    group::{Group, Kind, Scratch, Surroundings},
    lock,
    viewer::{Leave, Viewer},
};

/// New viewers that may wait for a shard; more wait in their connections.
const NEW_VIEWERS: usize = 64;

/// How often a shard looks for viewers that have to go.
const CHECK: Duration = Duration::from_secs(1);

/// All shards of an edge.
pub(super) struct Shards(Vec<Handle>);

struct Handle {
    viewers: Arc<AtomicUsize>,
    new: mpsc::Sender<NewViewer>,
}

/// What streams know of a shard that has viewers of theirs.
pub(super) struct Link {
    group: u64,
    /// The shard knows already that there is something.
    rung: AtomicBool,
    /// Something of it must not wait.
    urgent: AtomicBool,
    bell: Arc<Bell>,
}

/// Wakes a shard and tells it for whom. Bounded: a group is in it once, and so is a viewer.
#[derive(Default)]
pub(super) struct Bell {
    rung: Mutex<Rung>,
    notify: Notify,
}

/// For whom a bell has rung.
#[derive(Default)]
struct Rung {
    groups: Vec<u64>,
    viewers: Vec<ViewerKey>,
}

/// By which a shard finds a viewer.
#[derive(Debug, Clone, Copy)]
pub(super) struct ViewerKey {
    group: u64,
    viewer: u64,
}

impl Bell {
    /// A viewer has orders.
    pub(super) fn ring_for(&self, viewer: ViewerKey) {
        lock(&self.rung).viewers.push(viewer);
        self.notify.notify_one();
    }
}

impl Link {
    /// The stream has something new. Only what is urgent is told again to a shard that knows, and
    /// lets it wait for more.
    pub(super) fn wake(&self, urgent: bool) {
        let first = !self.rung.swap(true, Ordering::AcqRel);
        let more_urgent = urgent && !self.urgent.swap(true, Ordering::AcqRel);
        if first || more_urgent {
            lock(&self.bell.rung).groups.push(self.group);
            self.bell.notify.notify_one();
        }
    }

    /// The shard looks now; what comes meanwhile rings again.
    pub(super) fn answer(&self) {
        self.urgent.store(false, Ordering::Release);
        self.rung.store(false, Ordering::Release);
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.urgent.load(Ordering::Acquire)
    }
}

impl Shards {
    pub(super) fn start(config: Config, clock: &Clock, counters: &Counters, tasks: &Tasks) -> Self {
        let count = match config.shards {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let start = |_| {
            let (new, queue) = mpsc::channel(NEW_VIEWERS);
            let viewers = Arc::new(AtomicUsize::new(0));
            let shard = Shard {
                clock: clock.clone(),
                around: Surroundings {
                    config,
                    counters: counters.clone(),
                    viewers: Arc::clone(&viewers),
                },
                bell: Arc::default(),
                groups: HashMap::new(),
                last_number: 0,
                rung: Rung::default(),
                waiting: Vec::new(),
                scratch: Scratch::default(),
            };
            tasks.spawn("viewer shard", shard.run(queue, tasks.token()));
            Handle { viewers, new }
        };
        Self((0..count).map(start).collect())
    }

    /// Gives a viewer to the shard that has the fewest.
    pub(super) async fn add(&self, viewer: NewViewer) {
        let load = |handle: &&Handle| handle.viewers.load(Ordering::Relaxed);
        if let Some(handle) = self.0.iter().min_by_key(load) {
            handle.viewers.fetch_add(1, Ordering::Relaxed);
            if handle.new.send(viewer).await.is_err() {
                tracing::debug!("a viewer came while the edge stops");
            }
        }
    }
}

struct Shard {
    clock: Clock,
    around: Surroundings,
    bell: Arc<Bell>,
    groups: HashMap<u64, Group>,
    /// The last number given to a group or viewer.
    last_number: u64,
    /// Kept for its memory.
    rung: Rung,
    /// Groups whose frames wait for more, and until when.
    waiting: Vec<(u64, Instant)>,
    scratch: Scratch,
}

impl Shard {
    async fn run(mut self, mut new: mpsc::Receiver<NewViewer>, stop: CancellationToken) {
        let bell = Arc::clone(&self.bell);
        let mut check = interval(CHECK);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next_flush = self.waiting.iter().map(|(_, at)| *at).min();
            tokio::select! {
                () = stop.cancelled() => return self.stop(),
                () = bell.notify.notified() => self.answer_bell(),
                () = wait_until(next_flush) => self.flush_waiting(),
                () = poll_fn(|context| unblock(&mut self.groups, context)) => self.resume(),
                viewer = new.recv() => match viewer {
                    Some(viewer) => self.add(viewer),
                    None => return,
                },
                _ = check.tick() => self.check(),
            }
        }
    }

    fn add(&mut self, new: NewViewer) {
        let now = self.clock.monotonic();
        let kind = Kind {
            stream: Arc::clone(&new.stream),
            format: new.format,
            selection: new.selection,
        };
        let known = self.groups.iter().find(|(_, group)| group.kind == kind);
        let id = match known {
            Some((id, _)) => *id,
            None => self.add_group(kind),
        };
        self.last_number += 1;
        let key = ViewerKey {
            group: id,
            viewer: self.last_number,
        };
        let mut viewer = Viewer::new(key.viewer, new, now);
        let bell = &self.bell;
        let orders = viewer.control().map(|control| control.adopt(bell, key));
        viewer.obey(orders.unwrap_or_default());
        if let Some(session) = viewer.session() {
            let bell = Arc::clone(bell);
            session.on_over(move || bell.ring_for(key));
        }
        if let Some(group) = self.groups.get_mut(&id) {
            group.add(viewer, &mut self.scratch, &self.around, now);
        }
        self.forget_empty();
    }

    fn add_group(&mut self, kind: Kind) -> u64 {
        self.last_number += 1;
        let link = Arc::new(Link {
            group: self.last_number,
            rung: AtomicBool::new(false),
            urgent: AtomicBool::new(false),
            bell: Arc::clone(&self.bell),
        });
        kind.stream.attach(Arc::clone(&link));
        let group = Group::new(kind, link, &self.around);
        self.groups.insert(self.last_number, group);
        self.last_number
    }

    /// Looks after the streams and viewers that have rung.
    fn answer_bell(&mut self) {
        let now = self.clock.monotonic();
        std::mem::swap(&mut self.rung, &mut *lock(&self.bell.rung));
        for key in self.rung.viewers.drain(..) {
            if let Some(group) = self.groups.get_mut(&key.group) {
                group.obey(key.viewer, &mut self.scratch, &self.around, now);
            }
        }
        for id in self.rung.groups.drain(..) {
            let Some(group) = self.groups.get_mut(&id) else {
                continue;
            };
            match group.due_at(now) {
                at if at <= now => {
                    self.waiting.retain(|(waiting, _)| *waiting != id);
                    group.flush(&mut self.scratch, &self.around, now);
                }
                at => self.waiting.push((id, at)),
            }
        }
        self.forget_empty();
    }

    /// Writes to groups whose frames have waited long enough.
    fn flush_waiting(&mut self) {
        let now = self.clock.monotonic();
        for (id, _) in self.waiting.extract_if(.., |(_, at)| *at <= now) {
            if let Some(group) = self.groups.get_mut(&id) {
                group.flush(&mut self.scratch, &self.around, now);
            }
        }
        self.forget_empty();
    }

    /// Goes on with viewers that were blocked.
    fn resume(&mut self) {
        let now = self.clock.monotonic();
        for group in self.groups.values_mut().filter(|group| group.unblocked) {
            group.resume(&mut self.scratch, &self.around, now);
        }
        self.forget_empty();
    }

    /// Closes viewers that have to go.
    fn check(&mut self) {
        let now = self.clock.monotonic();
        for group in self.groups.values_mut() {
            group.check(&self.around, now);
        }
        self.forget_empty();
    }

    /// Closes everybody.
    fn stop(&mut self) {
        for group in self.groups.values_mut() {
            group.close_all(Leave::Stopping, &self.around);
        }
        self.forget_empty();
    }

    fn forget_empty(&mut self) {
        self.groups.retain(|_, group| {
            let used = !group.viewers.is_empty();
            if !used {
                group.kind.stream.detach(&group.link);
            }
            used
        });
    }
}

async fn wait_until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Ready when a blocked viewer can go on; marks its group.
fn unblock(groups: &mut HashMap<u64, Group>, context: &mut Context<'_>) -> Poll<()> {
    let mut ready = Poll::Pending;
    for group in groups.values_mut() {
        if group.poll_unblock(context) {
            ready = Poll::Ready(());
        }
    }
    ready
}
