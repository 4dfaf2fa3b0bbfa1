//! The world: true time, the queue of what happens, all processes, the network and the database.
//!
//! Processes are state machines that neither know the true time nor each other: what they want goes
//! through here, by the clock and the network that the seed gave them.

mod database;
mod deliver;
mod disaster;
mod words;

pub(crate) use words::slot as slot_words;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::{Duration, Instant},
};

use headworks_duty::Desired;
use headworks_types::{
    CameraId, NodeId,
    edge::{Role, SlotKey, WatchMessage},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use uuid::Uuid;

use crate::{
    Keeps, Summary, Violation,
    check::Checker,
    database::Database,
    edge::{self, Edge},
    fault::{self, Fault, Size},
    network::Network,
    replica::{self, Peer, Query, Replica},
};

/// How long after the last fault all must be well again: a lease and its margin, the minute in which
/// the brake holds, and a watch that finds out late that nothing comes.
const BOUND: Duration = Duration::from_secs(110);
/// So often it is looked whether all is well, and so many times in a row it must be.
const LOOK: Duration = Duration::from_millis(500);
const LOOKS: u32 = 8;

/// Something that happens.
enum Event {
    Edge(usize, edge::Input),
    Controller(usize, replica::Input),
    /// A call of a controller gets to the database; the controller waits until then.
    Call(usize, u64, Box<Query>, Duration),
    Fault(Fault),
    /// It is looked whether all is well.
    Look,
}

struct Entry {
    at: Duration,
    number: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// The clock of a process.
#[derive(Debug, Clone, Copy)]
struct Clock {
    rate: f64,
    offset: Duration,
}

impl Clock {
    /// What it shows.
    fn at(self, base: Instant, now: Duration) -> Instant {
        base + self.offset + now.mul_f64(self.rate)
    }

    /// How long something takes that takes so long by this clock.
    fn truly(self, local: Duration) -> Duration {
        local.div_f64(self.rate)
    }
}

/// A process, whatever it runs.
pub(crate) struct Process<M, I> {
    pub(crate) machine: M,
    /// Which edge or controller it is.
    pub(crate) place: usize,
    pub(crate) alive: bool,
    pub(crate) paused: bool,
    /// What has come while it stood still.
    deferred: Vec<I>,
    clock: Clock,
}

/// A disk of an edge.
pub(crate) struct Disk {
    content: Option<Desired>,
    /// What is being written.
    writing: Option<Box<Desired>>,
}

/// The way of a watch's lines.
struct Stream {
    controller: usize,
    next: Duration,
    /// What was sent while nothing got through.
    held: Vec<WatchMessage>,
}

/// The database server.
#[derive(Default)]
struct Server {
    down: bool,
    stalled: Option<Duration>,
    /// By which its clock differs from the first one's.
    ahead: i64,
    started: i64,
    /// What a replica of it has got.
    replicated: Option<Database>,
}

impl Server {
    fn answers(&self) -> bool {
        !self.down && self.stalled.is_none()
    }
}

/// See the module's documentation.
pub struct World {
    seed: u64,
    keeps: Keeps,
    trace: bool,
    pub(crate) size: Size,
    base: Instant,
    pub(crate) now: Duration,
    numbers: u64,
    queue: BinaryHeap<Reverse<Entry>>,
    random: StdRng,
    pub(crate) database: Database,
    server: Server,
    pub(crate) edges: Vec<Process<Edge, edge::Input>>,
    /// By the number of the edge process.
    disks: Vec<Disk>,
    slow_disks: Vec<Duration>,
    controllers: Vec<Process<Replica, replica::Input>>,
    streams: BTreeMap<Peer, Stream>,
    network: Network,
    /// The next controller that is about to commit assignments will be paused for so long.
    ambush: Option<Duration>,
    pub(crate) checker: Checker,
    pub(crate) summary: Summary,
    ended: Option<Duration>,
    well: u32,
    violation: Option<String>,
}

/// The edge with this number as a node.
pub(crate) fn node(edge: usize) -> NodeId {
    NodeId::from(Uuid::from_u128(edge as u128 + 1))
}

/// The slot of this camera.
pub(crate) fn slot(camera: usize, role: Role) -> SlotKey {
    SlotKey {
        camera_id: CameraId::from(Uuid::from_u128(camera as u128 + 1)),
        role,
        ordinal: 0,
    }
}

impl World {
    /// A cluster before its start, and all that will go wrong in it.
    #[must_use]
    pub fn new(seed: u64, keeps: Keeps, trace: bool) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let size = Size::draw(&mut random);
        #[expect(clippy::disallowed_methods, reason = "some time to count from")]
        let base = Instant::now();
        let mut world = Self {
            seed,
            keeps,
            trace,
            size,
            base,
            now: Duration::ZERO,
            numbers: 0,
            queue: BinaryHeap::new(),
            random,
            database: Database::default(),
            server: Server::default(),
            edges: Vec::new(),
            disks: Vec::new(),
            slow_disks: vec![Duration::ZERO; size.edges],
            controllers: Vec::new(),
            streams: BTreeMap::new(),
            network: Network::default(),
            ambush: None,
            checker: Checker::new(size.edges),
            summary: Summary::default(),
            ended: None,
            well: 0,
            violation: None,
        };
        world.server.started = world.stamp();
        world.populate();
        let end = Duration::from_secs(world.random.random_range(30..90));
        for (at, fault) in fault::draw(size, end, &mut world.random) {
            world.push(at, Event::Fault(fault));
        }
        world
    }

    fn populate(&mut self) {
        // Sometimes leases are as short as they may be.
        if self.random.random_bool(0.5) {
            self.keeps.replica.lease = headworks_types::edge::STRICT_STOP;
            self.keeps.replica.suspect = Duration::from_secs(5);
        }
        let renew = [500, 1000, 2000][self.random.random_range(0..3)];
        self.keeps.edge.renew = Duration::from_millis(renew);
        let work = self.size.cameras + self.size.restreams;
        for edge in 0..self.size.edges {
            let alloc = self.random.random_range(1..=work + 2);
            let alloc = i64::try_from(alloc).unwrap_or(i64::MAX);
            let name = format!("edge-{edge}");
            self.database.node_insert(node(edge), &name, alloc);
        }
        for camera in 0..self.size.cameras {
            self.database.slot_insert(slot(camera, Role::Ingest));
            if camera < self.size.restreams {
                self.database.slot_insert(slot(camera, Role::Restream));
            }
        }
        for controller in 0..self.size.controllers {
            self.start_controller(controller);
        }
        for edge in 0..self.size.edges {
            self.start_edge(edge, None);
        }
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// The first violation.
    pub fn run(mut self) -> Result<Summary, Violation> {
        while let Some(Reverse(entry)) = self.queue.pop() {
            self.now = entry.at;
            self.summary.steps += 1;
            self.step(entry.event);
            if let Some(what) = self.violation.take() {
                self.say(|| format!("VIOLATION: {what}"));
                return Err(Violation {
                    seed: self.seed,
                    at: self.now.as_secs_f64(),
                    what,
                });
            }
            if self.well >= LOOKS {
                break;
            }
        }
        Ok(self.summary)
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Edge(process, input) => self.edge(process, input),
            Event::Controller(process, input) => self.controller(process, input),
            Event::Call(process, call, query, until) => self.called(process, call, query, until),
            Event::Fault(fault) => self.disaster(fault),
            Event::Look => self.look(),
        }
    }

    fn edge(&mut self, index: usize, input: edge::Input) {
        let process = &mut self.edges[index];
        if !process.alive {
            return;
        }
        if process.paused {
            process.deferred.push(input);
            return;
        }
        let is_told = matches!(input, edge::Input::Saved);
        if is_told && let Some(written) = self.disks[index].writing.take() {
            self.disks[index].content = Some(*written);
        }
        if self.trace
            && let Some(words) = words::edge(&input)
        {
            self.say(|| format!("{} {words}", self.edge_name(index)));
        }
        let process = &mut self.edges[index];
        let now = process.clock.at(self.base, self.now);
        let mut out = Vec::new();
        process
            .machine
            .handle(now, input, &mut self.random, &mut out);
        self.edge_effects(index, out);
        self.check_edge(index, is_told);
    }

    fn controller(&mut self, index: usize, input: replica::Input) {
        let process = &mut self.controllers[index];
        if !process.alive {
            return;
        }
        if process.paused {
            process.deferred.push(input);
            return;
        }
        let now = process.clock.at(self.base, self.now);
        let mut out = Vec::new();
        process.machine.handle(now, input, &mut out);
        self.controller_effects(index, out);
    }

    /// What the edge process pushes at this moment.
    pub(crate) fn emitting(&self, index: usize) -> Vec<SlotKey> {
        let process = &self.edges[index];
        if !process.alive || process.paused {
            return Vec::new();
        }
        let now = process.clock.at(self.base, self.now);
        process.machine.emitting(now).collect()
    }

    fn check_edge(&mut self, index: usize, is_told: bool) {
        let emitting: Vec<_> = (0..self.edges.len())
            .map(|index| self.emitting(index))
            .collect();
        let mut found = self.checker.pushes(&emitting, &mut self.summary.handovers);
        let process = &self.edges[index];
        if found.is_none() && process.alive {
            let edge = &process.machine;
            found = self.checker.epochs(index, edge);
            found = found.or_else(|| self.checker.media(index, edge, is_told));
        }
        self.fail(found);
    }

    fn look(&mut self) {
        let Some(ended) = self.ended else {
            return;
        };
        match self.unwell() {
            None => self.well += 1,
            Some(what) => {
                self.well = 0;
                if self.now > ended + BOUND {
                    let after = BOUND.as_secs();
                    self.fail(Some(format!("{after} s after the last fault {what}")));
                }
            }
        }
        self.push(self.now + LOOK, Event::Look);
    }

    fn fail(&mut self, found: Option<String>) {
        if self.violation.is_none() {
            self.violation = found;
        }
    }

    fn push(&mut self, at: Duration, event: Event) {
        self.numbers += 1;
        self.queue.push(Reverse(Entry {
            at,
            number: self.numbers,
            event,
        }));
    }

    /// The database's clock.
    pub(crate) fn stamp(&self) -> i64 {
        let passed = i64::try_from(self.now.as_micros()).unwrap_or(i64::MAX);
        1_000_000_000_000 + passed + self.server.ahead
    }

    pub(crate) fn keeps(&self) -> &Keeps {
        &self.keeps
    }

    /// Tells the story.
    #[expect(clippy::print_stdout, reason = "asked for")]
    fn say(&self, words: impl FnOnce() -> String) {
        if self.trace {
            println!("{:9.3} {}", self.now.as_secs_f64(), words());
        }
    }
}
