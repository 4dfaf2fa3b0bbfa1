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
    Config, Counters, NewViewer, Stream, lock,
    viewer::{Leave, Piece, Viewer, Wrote, pieces},
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
    due: AtomicBool,
    bell: Arc<Bell>,
}

/// Wakes a shard and tells it for which groups. Bounded: a group is in it once.
#[derive(Default)]
struct Bell {
    due: Mutex<Vec<u64>>,
    notify: Notify,
}

impl Link {
    /// The stream has something new.
    pub(super) fn wake(&self) {
        if !self.due.swap(true, Ordering::AcqRel) {
            lock(&self.bell.due).push(self.group);
            self.bell.notify.notify_one();
        }
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
                config,
                clock: clock.clone(),
                counters: counters.clone(),
                viewers: Arc::clone(&viewers),
                bell: Arc::default(),
                groups: HashMap::new(),
                last_group: 0,
                due: Vec::new(),
                pieces: Vec::new(),
            };
            tasks.spawn("flv shard", shard.run(queue, tasks.token()));
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
    config: Config,
    clock: Clock,
    counters: Counters,
    viewers: Arc<AtomicUsize>,
    bell: Arc<Bell>,
    groups: HashMap<u64, Group>,
    last_group: u64,
    /// Kept for their memory.
    due: Vec<u64>,
    pieces: Vec<Piece>,
}

/// The viewers of one stream.
struct Group {
    stream: Arc<Stream>,
    link: Arc<Link>,
    viewers: Vec<Viewer>,
    /// The number of the next frame for those that are up to date.
    head: u64,
    /// The description of the frame before it.
    description: u64,
    /// True if a viewer can go on that was blocked.
    unblocked: bool,
}

impl Shard {
    async fn run(mut self, mut new: mpsc::Receiver<NewViewer>, stop: CancellationToken) {
        let bell = Arc::clone(&self.bell);
        let mut check = interval(CHECK);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut flush_at: Option<Instant> = None;
        let mut last_flush = self.clock.monotonic();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = bell.notify.notified() => {
                    let at = last_flush + self.config.flv_flush;
                    if self.config.flv_flush.is_zero() || at <= self.clock.monotonic() {
                        self.flush();
                        last_flush = self.clock.monotonic();
                    } else {
                        flush_at = Some(at);
                    }
                }
                () = sleep_until(flush_at.unwrap_or(last_flush)), if flush_at.is_some() => {
                    flush_at = None;
                    self.flush();
                    last_flush = self.clock.monotonic();
                }
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
        let stream = Arc::clone(&new.stream);
        let known = self
            .groups
            .iter()
            .find(|(_, group)| Arc::ptr_eq(&group.stream, &stream));
        let id = match known {
            Some((id, _)) => *id,
            None => self.add_group(&stream),
        };
        if let Some(group) = self.groups.get_mut(&id) {
            group.viewers.push(Viewer::new(new, now));
            let index = group.viewers.len() - 1;
            let wrote = group.catch_up(index, &self.config, &self.counters, now);
            self.counters.sent.inc_by(wrote.bytes);
            if let Some(leave) = wrote.leave {
                group.close(index, leave, &self.counters, &self.viewers);
            }
        }
    }

    fn add_group(&mut self, stream: &Arc<Stream>) -> u64 {
        self.last_group += 1;
        let link = Arc::new(Link {
            group: self.last_group,
            due: AtomicBool::new(false),
            bell: Arc::clone(&self.bell),
        });
        stream.attach(Arc::clone(&link));
        let group = Group {
            stream: Arc::clone(stream),
            link,
            viewers: Vec::new(),
            head: 0,
            description: 0,
            unblocked: false,
        };
        self.groups.insert(self.last_group, group);
        self.last_group
    }

    /// Writes what is new in the streams that have rung.
    fn flush(&mut self) {
        let now = self.clock.monotonic();
        std::mem::swap(&mut self.due, &mut *lock(&self.bell.due));
        let mut sent = 0;
        for id in self.due.drain(..) {
            let Some(group) = self.groups.get_mut(&id) else {
                continue;
            };
            // Before looking, so that what comes meanwhile rings again.
            group.link.due.store(false, Ordering::Release);
            let ended = group.stream.has_ended();
            let (head, description) = (group.head, group.description);
            let shared = group.collect(&mut self.pieces);
            // Backwards, so that closing one moves only viewers that have been served.
            for index in (0..group.viewers.len()).rev() {
                let viewer = &mut group.viewers[index];
                let wrote = if shared && viewer.is_at(head, description) {
                    viewer.write(&self.pieces, now)
                } else if viewer.blocked {
                    Wrote::default()
                } else {
                    group.catch_up(index, &self.config, &self.counters, now)
                };
                sent += wrote.bytes;
                let over = ended.then_some(Leave::StreamEnded);
                if let Some(leave) = wrote.leave.or(over) {
                    group.close(index, leave, &self.counters, &self.viewers);
                }
            }
        }
        self.pieces.clear();
        self.counters.sent.inc_by(sent);
        self.forget_empty();
    }

    /// Goes on with viewers that were blocked.
    fn resume(&mut self) {
        let now = self.clock.monotonic();
        for group in self.groups.values_mut().filter(|group| group.unblocked) {
            group.unblocked = false;
            for index in (0..group.viewers.len()).rev() {
                let viewer = &group.viewers[index];
                if viewer.blocked || viewer.is_at(group.head, group.description) {
                    continue;
                }
                let wrote = group.catch_up(index, &self.config, &self.counters, now);
                self.counters.sent.inc_by(wrote.bytes);
                if let Some(leave) = wrote.leave {
                    group.close(index, leave, &self.counters, &self.viewers);
                }
            }
        }
        self.forget_empty();
    }

    /// Closes viewers that have to go.
    fn check(&mut self) {
        let now = self.clock.monotonic();
        for group in self.groups.values_mut() {
            let ended = group.stream.has_ended().then_some(Leave::StreamEnded);
            for index in (0..group.viewers.len()).rev() {
                let leave = group.viewers[index].check(&self.config, now);
                if let Some(leave) = leave.or(ended) {
                    group.close(index, leave, &self.counters, &self.viewers);
                }
            }
        }
        self.forget_empty();
    }

    fn forget_empty(&mut self) {
        self.groups.retain(|_, group| {
            let used = !group.viewers.is_empty();
            if !used {
                group.stream.detach(&group.link);
            }
            used
        });
    }
}

impl Group {
    /// Writes the pieces from `head` on into `out` and moves `head` behind them. False if the
    /// stream no longer has all of them; then each viewer has to look for itself.
    fn collect(&mut self, out: &mut Vec<Piece>) -> bool {
        out.clear();
        let (complete, entries) = {
            let ring = self.stream.ring();
            let complete = self.head >= ring.first();
            let entries: Vec<_> = (self.head.max(ring.first())..ring.next())
                .filter_map(|sequence| ring.get(sequence).cloned())
                .collect();
            (complete, entries)
        };
        if complete {
            pieces(out, self.head, &entries, self.description);
            self.head += entries.len() as u64;
        } else {
            self.head = self.stream.ring().next();
        }
        if let Some(last) = entries.last() {
            self.description = last.description.number;
        }
        complete
    }

    /// Brings one viewer up to date, as far as its socket takes it.
    fn catch_up(
        &mut self,
        index: usize,
        config: &Config,
        counters: &Counters,
        now: Instant,
    ) -> Wrote {
        let viewer = &mut self.viewers[index];
        let before = viewer.last_jump();
        let mut total = Wrote::default();
        let mut due = Vec::new();
        loop {
            let entries = viewer.due(&self.stream.ring(), config.viewer_jumps, now);
            if viewer.last_jump() != before {
                counters.jumps.inc();
            }
            let Some(entries) = entries else {
                total.leave = Some(Leave::Slow);
                return total;
            };
            due.clear();
            pieces(&mut due, viewer.next, &entries, viewer.description);
            if due.is_empty() && !viewer.has_rest() {
                return total;
            }
            let wrote = viewer.write(&due, now);
            total.bytes += wrote.bytes;
            total.leave = wrote.leave;
            if viewer.blocked || total.leave.is_some() {
                return total;
            }
        }
    }

    fn close(&mut self, index: usize, leave: Leave, counters: &Counters, viewers: &AtomicUsize) {
        self.viewers.swap_remove(index);
        viewers.fetch_sub(1, Ordering::Relaxed);
        if leave == Leave::Slow {
            counters.slow.inc();
        }
        tracing::debug!(camera.id = %self.stream.camera(), reason = ?leave, "viewer closed");
    }
}

/// Ready when a blocked viewer can go on; marks its group.
fn unblock(groups: &mut HashMap<u64, Group>, context: &mut Context<'_>) -> Poll<()> {
    let mut ready = Poll::Pending;
    for group in groups.values_mut() {
        for viewer in &mut group.viewers {
            if viewer.poll_unblock(context) {
                group.unblocked = true;
                ready = Poll::Ready(());
            }
        }
    }
    ready
}
