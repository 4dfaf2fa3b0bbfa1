//! The viewers of one stream in one format, at one shard.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Context,
};

use prometheus_client::metrics::counter::Counter;
use tokio::time::{Duration, Instant};

use super::{
    Config, Counters, Format, Leave, Selection, Stream,
    batch::{Batch, Position},
    entry::Entry,
    shard::Link,
    udp::{self, Sent},
    viewer::{Viewer, Wrote},
};
use crate::session::Session;

/// What a shard keeps to serve groups, so that serving one allocates nothing.
#[derive(Default)]
pub(super) struct Scratch {
    entries: Vec<Arc<Entry>>,
    batch: Batch,
    /// For a viewer that is not where the others are.
    single: Batch,
}

/// What a shard lends its groups.
pub(super) struct Surroundings {
    pub(super) config: Config,
    pub(super) counters: Counters,
    /// How many viewers the shard has.
    pub(super) viewers: Arc<AtomicUsize>,
}

/// What all viewers of a group have in common.
#[derive(Clone)]
pub(super) struct Kind {
    pub(super) stream: Arc<Stream>,
    pub(super) format: Format,
    pub(super) selection: Selection,
}

impl Kind {
    /// Takes the pieces of `entries`, which follow each other, for viewers that stand at `from`.
    fn fill(&self, batch: &mut Batch, from: Position, entries: &[Arc<Entry>]) {
        self.format
            .prepare(&self.stream, self.selection, from.next, entries);
        batch.fill(from, entries, self.format, self.selection);
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.stream, &other.stream)
            && self.format == other.format
            && self.selection == other.selection
    }
}

pub(super) struct Group {
    pub(super) kind: Kind,
    pub(super) link: Arc<Link>,
    pub(super) viewers: Vec<Viewer>,
    /// Where those stand that are up to date.
    at: Position,
    /// How long frames may wait for more.
    interval: Duration,
    /// How many viewers' sockets took no more.
    blocked: usize,
    /// True if a viewer can go on that was blocked.
    pub(super) unblocked: bool,
    /// What its format has sent.
    sent: Counter,
}

impl Group {
    pub(super) fn new(kind: Kind, link: Arc<Link>, around: &Surroundings) -> Self {
        Self {
            interval: kind.format.flush(&around.config.flush),
            sent: around.counters.sent(kind.format),
            at: newest(&kind.stream),
            kind,
            link,
            viewers: Vec::new(),
            blocked: 0,
            unblocked: false,
        }
    }

    /// Takes a viewer and gives it at once what is buffered, unless its session was ended before it
    /// came here.
    pub(super) fn add(
        &mut self,
        viewer: Viewer,
        scratch: &mut Scratch,
        around: &Surroundings,
        now: Instant,
    ) {
        let over = viewer.over();
        let index = self.viewers.len();
        self.viewers.push(viewer);
        match over {
            Some(leave) => self.close(index, leave, around),
            None => self.serve(index, scratch, around, now),
        }
    }

    /// When what has come is to be written: now, or later to save writes. Counted from the first
    /// frame that waits: so it is never kept longer, and 50 ms hold two pictures of 25 a second.
    pub(super) fn due_at(&self, now: Instant) -> Instant {
        if self.link.is_urgent() {
            return now;
        }
        now + self.interval
    }

    /// Writes what is new.
    pub(super) fn flush(&mut self, scratch: &mut Scratch, around: &Surroundings, now: Instant) {
        self.link.answer();
        let ended = self.kind.stream.has_ended().then_some(Leave::StreamEnded);
        let from = self.at;
        let mut batch = std::mem::take(&mut scratch.batch);
        let shared = self.collect(&mut batch, scratch);
        let vectors = batch.vectors();
        let mut volley = if shared {
            self.volley(from, &batch)
        } else {
            Vec::new()
        };
        let mut sent = 0;
        // Backwards, so that closing one moves only viewers that have been served.
        for index in (0..self.viewers.len()).rev() {
            let viewer = &mut self.viewers[index];
            let mut wrote = Wrote::default();
            if let Some((_, went)) = volley.pop_if(|(of, _)| *of == index) {
                wrote = viewer.note_datagrams(went, &batch, now);
            } else if shared && viewer.is_at(from) {
                if batch.pieces.is_empty() {
                    viewer.skip_to(batch.end);
                } else {
                    wrote = viewer.write(&batch, &vectors, now);
                }
            }
            if batch.is_last && viewer.is_at(batch.end) {
                wrote.leave = wrote.leave.or(Some(Leave::Changed));
            }
            let behind = !viewer.is_at(self.at) && !viewer.is_idle();
            if behind && wrote.leave.is_none() {
                wrote.add(self.catch_up(index, scratch, around, now));
            }
            sent += wrote.bytes;
            if let Some(leave) = wrote.leave.or(ended) {
                self.close(index, leave, around);
            }
        }
        if batch.is_last {
            // Who comes now is told of what follows.
            self.at = newest(&self.kind.stream);
        }
        batch.clear();
        scratch.batch = batch;
        self.sent.inc_by(sent);
        self.count_blocked();
    }

    /// Sends a batch to all who stand at its beginning and get datagrams, many of them with one
    /// system call. Returns the places of those viewers, in order, and how it went.
    fn volley(&self, from: Position, batch: &Batch) -> Vec<(usize, Sent)> {
        if batch.runs().next().is_none() {
            return Vec::new();
        }
        let all = self.viewers.iter().enumerate();
        let here = all.filter(|(_, viewer)| viewer.is_at(from));
        let (places, sinks): (Vec<_>, Vec<_>) = here
            .filter_map(|(place, viewer)| Some((place, viewer.datagrams()?)))
            .unzip();
        places
            .into_iter()
            .zip(udp::send(batch.runs(), &sinks))
            .collect()
    }

    /// Takes the pieces from where the group stands, and moves it behind them. False if the stream
    /// no longer has all of them; then each viewer has to look for itself.
    fn collect(&mut self, out: &mut Batch, scratch: &mut Scratch) -> bool {
        scratch.entries.clear();
        let complete = {
            let ring = self.kind.stream.ring();
            let complete = self.at.next >= ring.first();
            if !complete {
                self.at.next = ring.next();
            }
            let numbers = self.at.next..ring.next();
            let entries = numbers.filter_map(|number| ring.get(number).cloned());
            scratch.entries.extend(entries);
            complete
        };
        self.kind.fill(out, self.at, &scratch.entries);
        scratch.entries.clear();
        self.at = out.end;
        complete
    }

    /// Goes on with viewers that were blocked.
    pub(super) fn resume(&mut self, scratch: &mut Scratch, around: &Surroundings, now: Instant) {
        self.unblocked = false;
        for index in (0..self.viewers.len()).rev() {
            let viewer = &self.viewers[index];
            if !viewer.blocked && !viewer.is_at(self.at) {
                self.serve(index, scratch, around, now);
            }
        }
        self.count_blocked();
    }

    /// Does what a viewer's handle has ordered.
    pub(super) fn obey(
        &mut self,
        number: u64,
        scratch: &mut Scratch,
        around: &Surroundings,
        now: Instant,
    ) {
        let mut viewers = self.viewers.iter();
        if let Some(index) = viewers.position(|viewer| viewer.number == number) {
            let viewer = &mut self.viewers[index];
            let orders = viewer.control().map(super::Control::take);
            viewer.obey(orders.unwrap_or_default());
            match viewer.over() {
                Some(over) => self.close(index, over, around),
                None => self.serve(index, scratch, around, now),
            }
            self.count_blocked();
        }
    }

    /// Closes viewers that have to go.
    pub(super) fn check(&mut self, around: &Surroundings, now: Instant) {
        let ended = self.kind.stream.has_ended().then_some(Leave::StreamEnded);
        for index in (0..self.viewers.len()).rev() {
            let leave = self.viewers[index].check(&around.config, now);
            if let Some(leave) = leave.or(ended) {
                self.close(index, leave, around);
            }
        }
        self.count_blocked();
    }

    /// Polls blocked viewers; true if one can go on.
    pub(super) fn poll_unblock(&mut self, context: &mut Context<'_>) -> bool {
        if self.blocked > 0 {
            for viewer in &mut self.viewers {
                self.unblocked |= viewer.poll_unblock(context);
            }
        }
        self.unblocked
    }

    /// Brings one viewer up to date and closes it if it has to go.
    fn serve(&mut self, index: usize, scratch: &mut Scratch, around: &Surroundings, now: Instant) {
        if self.viewers[index].blocked {
            return;
        }
        let wrote = self.catch_up(index, scratch, around, now);
        self.sent.inc_by(wrote.bytes);
        self.blocked += usize::from(self.viewers[index].blocked);
        if let Some(leave) = wrote.leave {
            self.close(index, leave, around);
        }
    }

    /// Brings one viewer up to date, as far as its socket takes it.
    fn catch_up(
        &mut self,
        index: usize,
        scratch: &mut Scratch,
        around: &Surroundings,
        now: Instant,
    ) -> Wrote {
        let viewer = &mut self.viewers[index];
        let mut jump = viewer.last_jump();
        let mut total = Wrote::default();
        loop {
            total.add(viewer.write_rest(now));
            if viewer.blocked || total.leave.is_some() {
                break;
            }
            let from = {
                let ring = self.kind.stream.ring();
                viewer.due(&ring, &mut scratch.entries, around.config.viewer_jumps, now)
            };
            if viewer.last_jump() != jump {
                jump = viewer.last_jump();
                around.counters.jumps.inc();
            }
            let Some(from) = from else {
                total.leave = Some(Leave::Slow);
                break;
            };
            if scratch.entries.is_empty() {
                break;
            }
            let batch = &mut scratch.single;
            self.kind.fill(batch, from, &scratch.entries);
            if batch.pieces.is_empty() {
                viewer.skip_to(batch.end);
            } else {
                total.add(viewer.write(batch, &batch.vectors(), now));
            }
            if batch.is_last && viewer.is_at(batch.end) {
                total.leave = total.leave.or(Some(Leave::Changed));
            }
            // The next portion goes with the next frame.
            if viewer.is_lossy() || total.leave.is_some() {
                break;
            }
        }
        scratch.entries.clear();
        scratch.single.clear();
        total
    }

    fn count_blocked(&mut self) {
        self.blocked = self.viewers.iter().filter(|viewer| viewer.blocked).count();
    }

    /// Closes all viewers.
    pub(super) fn close_all(&mut self, leave: Leave, around: &Surroundings) {
        for index in (0..self.viewers.len()).rev() {
            self.close(index, leave, around);
        }
    }

    fn close(&mut self, index: usize, leave: Leave, around: &Surroundings) {
        let viewer = self.viewers.swap_remove(index);
        around.viewers.fetch_sub(1, Ordering::Relaxed);
        tracing::debug!(
            camera.id = %self.kind.stream.camera(),
            format = self.kind.format.label(),
            sent = viewer.session().map(Session::sent),
            reason = ?leave,
            "viewer closed"
        );
        if let Some(session) = viewer.session() {
            session.note_end(leave.as_str());
        }
        viewer.leave(leave, &self.kind.format.end(leave));
        if leave == Leave::Slow {
            around.counters.slow.inc();
        }
    }
}

/// Where somebody stands who knows nothing and waits for the next frame.
fn newest(stream: &Stream) -> Position {
    Position {
        next: stream.ring().next(),
        ..Position::default()
    }
}
