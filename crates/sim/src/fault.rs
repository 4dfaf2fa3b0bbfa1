//! What goes wrong, drawn from the seed before the world begins.

use std::time::Duration;

use rand::{RngExt as _, rngs::StdRng};

use crate::network::Place;

/// Something that goes wrong, or a change that somebody makes.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The edge is killed, and started anew after so long.
    KillEdge(usize, Duration),
    /// It ends in order, and is started anew after so long.
    StopEdge(usize, Duration),
    /// All its processes stand still for so long.
    PauseEdge(usize, Duration),
    /// A second process with its identity and a copy of its disk is started.
    CloneEdge(usize),
    /// The disk of the edge takes so long to write, from now on.
    SlowDisk(usize, Duration),
    /// An edge is started, if none runs.
    StartEdge(usize),
    /// It goes on.
    ResumeEdge(usize),
    /// The controller is killed, and started anew after so long.
    KillController(usize, Duration),
    /// It stands still for so long.
    PauseController(usize, Duration),
    /// It is started, if it does not run.
    StartController(usize),
    /// It goes on.
    ResumeController(usize),
    /// Nothing gets through from one to the other for so long.
    Cut(Place, Place, Duration),
    /// It does again.
    Heal(Place, Place),
    /// Messages get lost that often and may take that long.
    BadNetwork(f64, Duration),
    /// The network is well again, where it is not cut.
    GoodNetwork,
    /// The database answers nothing for so long, then everything.
    StallDatabase(Duration),
    /// The database is restarted, which takes so long.
    RestartDatabase(Duration),
    /// This is what a replica of the database has got.
    Replicate,
    /// The database is lost, and the replica is promoted, which takes so long; its clock differs by
    /// so many microseconds.
    Failover(Duration, i64),
    /// The database answers again.
    DatabaseUp,
    /// The camera with this number is enabled or not.
    Enable(usize, bool),
    /// The restream with this number is started or stopped.
    Push(usize, bool),
    /// From now on nothing goes wrong any more.
    End,
}

/// How large a world is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Edges.
    pub edges: usize,
    /// Controllers.
    pub controllers: usize,
    /// Cameras.
    pub cameras: usize,
    /// Restreams, of the first cameras.
    pub restreams: usize,
}

impl Size {
    /// A small one.
    pub fn draw(random: &mut StdRng) -> Self {
        let cameras = random.random_range(1..=6);
        Self {
            edges: random.random_range(2..=5),
            controllers: random.random_range(1..=3),
            cameras,
            restreams: random.random_range(1..=cameras.min(3)),
        }
    }
}

/// All faults of a run with their times.
pub fn draw(size: Size, end: Duration, random: &mut StdRng) -> Vec<(Duration, Fault)> {
    let mut faults = Vec::new();
    // Of all kinds a few, or of a few kinds many.
    let kinds: Vec<u32> = (0..random.random_range(1..=12))
        .map(|_| random.random_range(0..14))
        .collect();
    for _ in 0..random.random_range(3..=14) {
        let at = end.mul_f64(random.random_range(0.05..0.95));
        let kind = kinds[random.random_range(0..kinds.len())];
        draw_one(kind, at, size, random, &mut faults);
    }
    faults.push((end, Fault::End));
    faults
}

fn draw_one(
    kind: u32,
    at: Duration,
    size: Size,
    random: &mut StdRng,
    faults: &mut Vec<(Duration, Fault)>,
) {
    let edge = random.random_range(0..size.edges);
    let controller = random.random_range(0..size.controllers);
    let long = Duration::from_millis(random.random_range(100..40_000));
    let short = Duration::from_millis(random.random_range(50..6_000));
    let some = if random.random_bool(0.5) { long } else { short };
    let fault = match kind {
        0 => Fault::KillEdge(edge, some),
        1 => Fault::StopEdge(edge, some),
        2 => Fault::PauseEdge(edge, some),
        3 => Fault::CloneEdge(edge),
        4 => Fault::SlowDisk(edge, short),
        5 => Fault::KillController(controller, some),
        6 => Fault::PauseController(controller, some),
        7 => {
            return draw_partition(at, some, size, random, faults);
        }
        8 => {
            faults.push((at + some, Fault::GoodNetwork));
            Fault::BadNetwork(random.random_range(0.0..0.4), short)
        }
        9 => Fault::StallDatabase(some),
        10 => Fault::RestartDatabase(short),
        11 => {
            let lost = Duration::from_micros(random.random_range(0..1_000_000));
            faults.push((at.saturating_sub(lost), Fault::Replicate));
            Fault::Failover(some, random.random_range(-500_000..500_000))
        }
        12 => {
            let camera = random.random_range(0..size.cameras);
            faults.push((at + short, Fault::Enable(camera, true)));
            Fault::Enable(camera, false)
        }
        _ => {
            let restream = random.random_range(0..size.restreams);
            faults.push((at + short, Fault::Push(restream, true)));
            Fault::Push(restream, false)
        }
    };
    faults.push((at, fault));
}

/// One machine is cut off from all others of a kind, or from one, in one direction or both.
fn draw_partition(
    at: Duration,
    long: Duration,
    size: Size,
    random: &mut StdRng,
    faults: &mut Vec<(Duration, Fault)>,
) {
    let controllers = 0..size.controllers;
    let some = random.random_range(0..size.controllers);
    let edge = Place::Edge(random.random_range(0..size.edges));
    let pairs: Vec<_> = match random.random_range(0..4) {
        0 => controllers.map(|c| (edge, Place::Controller(c))).collect(),
        1 => vec![(edge, Place::Controller(some))],
        2 => vec![(Place::Database, Place::Controller(some))],
        _ => (0..size.edges)
            .map(|e| (Place::Edge(e), Place::Controller(some)))
            .collect(),
    };
    let directions = random.random_range(1..=3);
    for (one, other) in pairs {
        if directions & 1 != 0 {
            faults.push((at, Fault::Cut(one, other, long)));
        }
        if directions & 2 != 0 {
            faults.push((at, Fault::Cut(other, one, long)));
        }
    }
}
