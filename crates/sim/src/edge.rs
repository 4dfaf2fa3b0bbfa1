//! An edge process: lease loop, watch loop and applier of `edge/src/agent`, and pushes that wait for
//! the fence as `edge/src/restream/worker.rs` does.
//!
//! What decides is the real code of `headworks_duty`: [`Desired`], [`diff`] and [`Fence`]. Here is
//! only what calls it, in the order of the real loops.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use headworks_duty::{Change, Desired, Fence, Permit, Slots, diff};
use headworks_types::{
    NodeId,
    edge::{DesiredSlot, Fencing, SlotKey, WatchMessage},
};
use rand::{RngExt as _, rngs::StdRng};
use uuid::Uuid;

use crate::database::{Renewal, Report};

/// See `agent/lease.rs`.
const RETRY: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(3);
/// See `agent/watch.rs`, and `IDLE_DEADLINE` of the client.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const MOST_WAIT: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(35);
/// See `restream/worker.rs`.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What an edge keeps to; tests take a rule away to see that the simulation misses it.
#[derive(Debug, Clone, Copy)]
pub struct EdgeRules {
    /// A revision is reported as applied only when strict work has stopped.
    pub waits_for_strict: bool,
    /// Strict work asks the fence.
    pub fenced: bool,
    /// The epochs that were seen count when it is told everything anew.
    pub keeps_epochs: bool,
    /// How often controllers tell it to renew.
    pub renew: Duration,
}

impl Default for EdgeRules {
    fn default() -> Self {
        Self {
            waits_for_strict: true,
            fenced: true,
            keeps_epochs: true,
            renew: Duration::from_secs(2),
        }
    }
}

/// What happens to an edge.
#[derive(Debug, Clone)]
pub enum Input {
    /// It is time to renew the lease.
    RenewDue,
    /// The renewal with this number has taken too long.
    RenewDeadline(u64),
    /// It is answered: with a revision, or refused since another process is the node.
    Granted(u64, Result<i64, Refusal>),
    /// It is time to watch.
    WatchDue,
    /// A line of the watch with this number.
    Watched(u64, WatchMessage),
    /// That watch has ended.
    WatchEnded(u64),
    /// Nothing has come since this line of the watch.
    WatchIdle(u64, u64),
    /// What was to be saved is on disk.
    Saved,
    /// The push with this number has no connection any more.
    PushEnded(u64),
    /// A signal tells it to stop in order.
    Terminate,
}

/// Why a renewal was not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A newer process is the node.
    Doubled,
    /// The controller cannot say.
    Unavailable,
}

/// What an edge does to the world.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Hears this after so long, by its clock.
    After(Duration, Input),
    /// Asks a controller to renew, with this number.
    Renew(u64, Renewal, Vec<Report>),
    /// Asks a controller for a watch with this number, from this revision.
    Watch(u64, i64),
    /// Ends the watch with this number.
    EndWatch(u64),
    /// Saves it; [`Input::Saved`] tells when it is done.
    Save(Box<Desired>),
    /// The process ends.
    Exit,
}

/// One push of a strict slot to somebody else's server.
#[derive(Debug)]
struct Push {
    number: u64,
    key: SlotKey,
    permit: Option<Permit>,
    ending: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Applying {
    Nothing,
    Saving,
    /// Waits until what had to stop has stopped, of this revision.
    Stopping(i64),
}

/// An edge process.
#[derive(Debug)]
pub struct Edge {
    /// Which node it is.
    pub node: NodeId,
    /// Which of the processes that want to be that node.
    pub instance: Uuid,
    rules: EdgeRules,
    numbers: u64,
    // Lease loop.
    renewal: Option<(u64, Instant)>,
    interval: Duration,
    refused: bool,
    // Watch loop.
    watch: Option<u64>,
    lines: u64,
    wait: Duration,
    target: Desired,
    stopped: bool,
    // Applier.
    dirty: bool,
    applying: Applying,
    next: Option<Box<Desired>>,
    running: Slots,
    overtaken: BTreeMap<SlotKey, i64>,
    reported: i64,
    // Strict work.
    fence: Fence,
    pushes: Vec<Push>,
    terminating: bool,
}

impl Edge {
    /// A process that knows from disk what to do; starts it at once, without anybody.
    pub fn start(
        node: NodeId,
        instance: Uuid,
        rules: EdgeRules,
        disk: Option<Desired>,
        out: &mut Vec<Effect>,
    ) -> Self {
        let desired = disk.unwrap_or_default();
        let mut edge = Self {
            node,
            instance,
            rules,
            numbers: 0,
            renewal: None,
            interval: RETRY,
            refused: false,
            watch: None,
            lines: 0,
            wait: FIRST_WAIT,
            target: desired.clone(),
            stopped: false,
            dirty: false,
            applying: Applying::Nothing,
            next: None,
            running: Slots::new(),
            overtaken: desired.overtaken.clone(),
            reported: desired.revision,
            fence: Fence::default(),
            pushes: Vec::new(),
            terminating: false,
        };
        edge.apply(&desired.slots, out, None);
        edge.fence.applied(desired.revision);
        out.push(Effect::After(Duration::ZERO, Input::RenewDue));
        out.push(Effect::After(Duration::ZERO, Input::WatchDue));
        edge
    }

    /// Takes what happens at `now` of its clock.
    pub fn handle(
        &mut self,
        now: Instant,
        input: Input,
        random: &mut StdRng,
        out: &mut Vec<Effect>,
    ) {
        match input {
            Input::RenewDue => self.renew(now, out),
            Input::RenewDeadline(number) => {
                if self.is_awaited(number).is_some() {
                    self.renewed(now, now, Err(Refusal::Unavailable), random, out);
                }
            }
            Input::Granted(number, granted) => {
                if let Some(sent) = self.is_awaited(number) {
                    self.renewed(now, sent, granted, random, out);
                }
            }
            Input::WatchDue => self.begin_watch(out),
            Input::Watched(number, message) => {
                if self.watch == Some(number) {
                    self.watched(number, message, random, out);
                }
            }
            Input::WatchEnded(number) => self.watch_ended(number, random, out),
            Input::WatchIdle(number, lines) => {
                if self.watch == Some(number) && self.lines == lines {
                    out.push(Effect::EndWatch(number));
                    self.watch_ended(number, random, out);
                }
            }
            Input::Saved => self.saved(random, out),
            Input::PushEnded(number) => self.pushes.retain(|push| push.number != number),
            Input::Terminate => {
                self.terminating = true;
                self.watch = None;
                self.end_pushes(|_| true, random, out);
            }
        }
        self.go_on(now, out);
    }

    /// What follows from what has just changed.
    fn go_on(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.settle(now);
        if self.terminating {
            if self.pushes.is_empty() {
                self.say_goodbye(out);
            }
            return;
        }
        if let Applying::Stopping(revision) = self.applying
            && self.has_stopped()
        {
            self.applying = Applying::Nothing;
            // At 0 nothing is to be done.
            if revision != 0 {
                self.fence.applied(revision);
            }
            self.reported = revision;
            self.settle(now);
        }
        if self.applying == Applying::Nothing && self.dirty {
            self.dirty = false;
            self.applying = Applying::Saving;
            let mut desired = Box::new(self.target.clone());
            if self.stopped {
                // What is on disk stays.
                desired = Box::default();
                out.push(Effect::After(Duration::ZERO, Input::Saved));
            } else {
                out.push(Effect::Save(desired.clone()));
            }
            self.next = Some(desired);
        }
    }

    // Lease loop.

    fn renew(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if self.terminating {
            return;
        }
        self.numbers += 1;
        self.renewal = Some((self.numbers, now));
        out.push(Effect::Renew(
            self.numbers,
            self.says(false),
            self.reports(),
        ));
        out.push(Effect::After(DEADLINE, Input::RenewDeadline(self.numbers)));
    }

    fn says(&self, goodbye: bool) -> Renewal {
        Renewal {
            node_id: self.node,
            instance: self.instance,
            goodbye,
            revision: self.reported,
        }
    }

    fn reports(&self) -> Vec<Report> {
        let slots = self.running.values().map(|slot| (slot.key, slot.epoch));
        slots.chain(self.overtaken.clone()).collect()
    }

    fn is_awaited(&mut self, number: u64) -> Option<Instant> {
        let (_, sent) = self.renewal.take_if(|(awaited, _)| *awaited == number)?;
        Some(sent)
    }

    fn renewed(
        &mut self,
        now: Instant,
        sent: Instant,
        granted: Result<i64, Refusal>,
        random: &mut StdRng,
        out: &mut Vec<Effect>,
    ) {
        if self.terminating {
            return;
        }
        let wait = match granted {
            Ok(revision) => {
                self.fence.renewed(now, sent, revision);
                if std::mem::take(&mut self.refused) {
                    out.push(Effect::After(Duration::ZERO, Input::WatchDue));
                }
                self.interval = self.rules.renew;
                self.interval.mul_f64(random.random_range(0.9..=1.0))
            }
            Err(refusal) => {
                if refusal == Refusal::Doubled && !std::mem::replace(&mut self.refused, true) {
                    self.stop_all(out);
                }
                self.interval.min(RETRY)
            }
        };
        out.push(Effect::After(wait, Input::RenewDue));
    }

    fn say_goodbye(&mut self, out: &mut Vec<Effect>) {
        self.numbers += 1;
        out.push(Effect::Renew(self.numbers, self.says(true), self.reports()));
        out.push(Effect::Exit);
    }

    // Watch loop.

    fn begin_watch(&mut self, out: &mut Vec<Effect>) {
        if self.terminating || self.refused || self.watch.is_some() {
            return;
        }
        self.numbers += 1;
        self.watch = Some(self.numbers);
        self.lines += 1;
        out.push(Effect::Watch(self.numbers, self.target.revision));
        let idle = Input::WatchIdle(self.numbers, self.lines);
        out.push(Effect::After(IDLE, idle));
    }

    fn watched(
        &mut self,
        number: u64,
        message: WatchMessage,
        random: &mut StdRng,
        out: &mut Vec<Effect>,
    ) {
        self.lines += 1;
        out.push(Effect::After(IDLE, Input::WatchIdle(number, self.lines)));
        let taken = match message {
            WatchMessage::Snapshot { revision, slots } => {
                if !self.rules.keeps_epochs {
                    self.target = Desired::default();
                }
                self.target.snapshot(revision, slots);
                self.dirty = true;
                self.stopped = false;
                true
            }
            WatchMessage::Delta {
                revision,
                upsert,
                remove,
            } => {
                let follows = self.target.revision > 0;
                if follows {
                    self.target.delta(revision, upsert, &remove);
                    self.dirty = true;
                    self.stopped = false;
                }
                follows
            }
            WatchMessage::Bookmark { revision, .. } => self.target.compare(revision).is_ok(),
            WatchMessage::Bundle(_) | WatchMessage::Directory(_) => true,
        };
        if taken {
            self.wait = FIRST_WAIT;
        } else {
            out.push(Effect::EndWatch(number));
            self.watch_ended(number, random, out);
        }
    }

    fn watch_ended(&mut self, number: u64, random: &mut StdRng, out: &mut Vec<Effect>) {
        if self.watch != Some(number) {
            return;
        }
        self.watch = None;
        let wait = self.wait.mul_f64(random.random_range(0.5..=1.0));
        self.wait = (self.wait * 2).min(MOST_WAIT);
        out.push(Effect::After(wait, Input::WatchDue));
    }

    /// Another process is the node: nothing is to be done.
    fn stop_all(&mut self, out: &mut Vec<Effect>) {
        self.target.revision = 0;
        self.stopped = true;
        self.dirty = true;
        if let Some(number) = self.watch.take() {
            out.push(Effect::EndWatch(number));
        }
    }

    // Applier.

    fn saved(&mut self, random: &mut StdRng, out: &mut Vec<Effect>) {
        if self.applying != Applying::Saving {
            return;
        }
        let Some(desired) = self.next.take() else {
            return;
        };
        self.fence.applying();
        self.apply(&desired.slots, out, Some(random));
        self.overtaken.clone_from(&desired.overtaken);
        self.applying = Applying::Stopping(desired.revision);
    }

    /// At the start nothing runs, so that nothing stops and `random` is not needed.
    fn apply(&mut self, desired: &Slots, out: &mut Vec<Effect>, random: Option<&mut StdRng>) {
        let mut stops = Vec::new();
        for change in diff(&self.running, desired) {
            match change {
                Change::Stop(key) => {
                    self.running.remove(&key);
                    stops.push(key);
                }
                Change::Update(slot) => {
                    self.running.insert(slot.key, slot);
                }
                Change::Start(slot) => self.begin(slot),
            }
        }
        if let Some(random) = random {
            self.end_pushes(|key| stops.contains(&key), random, out);
        }
    }

    fn begin(&mut self, slot: DesiredSlot) {
        // What is started while all ends, ends at once.
        if slot.key.role.fencing() == Fencing::Strict && !self.terminating {
            self.numbers += 1;
            self.pushes.push(Push {
                number: self.numbers,
                key: slot.key,
                permit: None,
                ending: false,
            });
        }
        self.running.insert(slot.key, slot);
    }

    fn has_stopped(&self) -> bool {
        !self.rules.waits_for_strict || !self.pushes.iter().any(|push| push.ending)
    }

    // Strict work.

    fn end_pushes(
        &mut self,
        which: impl Fn(SlotKey) -> bool,
        random: &mut StdRng,
        out: &mut Vec<Effect>,
    ) {
        for push in &mut self.pushes {
            if !push.ending && which(push.key) {
                push.ending = true;
                let wait = LAST_WORDS.mul_f64(random.random_range(0.0..=1.0));
                out.push(Effect::After(wait, Input::PushEnded(push.number)));
            }
        }
    }

    /// Lets go of permits that have lapsed, and takes new ones.
    fn settle(&mut self, now: Instant) {
        for index in 0..self.pushes.len() {
            let push = &self.pushes[index];
            let is_first = !self.pushes[..index].iter().any(|one| one.key == push.key);
            let held = push.permit.filter(|permit| self.fence.holds(*permit, now));
            let may_start = is_first && !push.ending;
            let permit = held.or_else(|| may_start.then(|| self.fence.permit(now)).flatten());
            self.pushes[index].permit = permit;
        }
    }

    // For those who check.

    /// The strict slots that it pushes at this moment.
    pub fn emitting(&self, now: Instant) -> impl Iterator<Item = SlotKey> + '_ {
        let emits = move |push: &&Push| {
            let holds = push
                .permit
                .is_some_and(|permit| self.fence.holds(permit, now));
            holds || (!self.rules.fenced && !push.ending)
        };
        self.pushes.iter().filter(emits).map(|push| push.key)
    }

    /// What runs, with the epochs under which it does.
    pub fn running(&self) -> impl Iterator<Item = Report> + '_ {
        self.running.values().map(|slot| (slot.key, slot.epoch))
    }

    /// True if it runs all that it has been told.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.applying == Applying::Nothing && !self.dirty
    }

    /// True while another process is the node, or it was told to end.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.refused || self.stopped || self.terminating
    }
}
