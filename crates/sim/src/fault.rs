//! What goes wrong, drawn from the seed before the world begins.

use std::time::Duration;

use headworks_planner::Intake;
use rand::{RngExt as _, rngs::StdRng};

use crate::network::Place;

/// Which edge.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// The one with this number.
    Edge(usize),
    /// The one that has this restream at that moment: there it hurts most.
    Pusher(usize),
}

/// Who is cut off from whom.
#[derive(Debug, Clone, Copy)]
pub enum Partition {
    /// The edge from all controllers.
    Edge(Target),
    /// The edge from one controller.
    Pair(Target, usize),
    /// The controller from all edges.
    Controller(usize),
    /// The controller from the database.
    Database(usize),
}

/// Something that goes wrong, or a change that somebody makes.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// The edge is killed, and started anew after so long.
    KillEdge(Target, Duration),
    /// It ends in order, and is started anew after so long.
    StopEdge(Target, Duration),
    /// All its processes stand still for so long.
    PauseEdge(Target, Duration),
    /// A second process with its identity and a copy of its disk is started.
    CloneEdge(Target),
    /// The disk of the edge takes so long to write, from now on.
    SlowDisk(Target, Duration),
    /// The edge takes so many units from now on.
    Resize(Target, usize),
    /// An operator closes the edge, empties it, or opens it again.
    Intake(Target, Intake),
    /// An edge is started, if none runs.
    StartEdge(usize),
    /// It goes on.
    ResumeEdge(usize),
    /// The controller is killed, and started anew after so long.
    KillController(usize, Duration),
    /// It stands still for so long.
    PauseController(usize, Duration),
    /// The next controller that is about to commit assignments stands still for so long.
    PausePlanner(Duration),
    /// All controllers are killed, and started anew after so long.
    KillControllers(Duration),
    /// It is started, if it does not run.
    StartController(usize),
    /// It goes on.
    ResumeController(usize),
    /// Nothing gets through for so long; in the first direction, in the second, or in both.
    Partition(Partition, [bool; 2], Duration),
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
        .map(|_| random.random_range(0..18))
        .collect();
    for _ in 0..random.random_range(3..=24) {
        let at = end.mul_f64(random.random_range(0.05..0.95));
        let kind = kinds[random.random_range(0..kinds.len())];
        draw_one(kind, at, size, random, &mut faults);
    }
    faults.push((end, Fault::End));
    faults
}

fn target(size: Size, random: &mut StdRng) -> Target {
    if random.random_bool(0.5) {
        Target::Edge(random.random_range(0..size.edges))
    } else {
        Target::Pusher(random.random_range(0..size.restreams))
    }
}

fn draw_one(
    kind: u32,
    at: Duration,
    size: Size,
    random: &mut StdRng,
    faults: &mut Vec<(Duration, Fault)>,
) {
    let edge = target(size, random);
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
        7 | 8 => {
            let partition = match random.random_range(0..5) {
                0 | 1 => Partition::Edge(edge),
                2 => Partition::Pair(edge, controller),
                3 => Partition::Controller(controller),
                _ => Partition::Database(controller),
            };
            let directions = [[true, false], [false, true], [true, true]];
            Fault::Partition(partition, directions[random.random_range(0..3)], some)
        }
        9 => {
            faults.push((at + some, Fault::GoodNetwork));
            Fault::BadNetwork(random.random_range(0.0..0.4), short)
        }
        10 => Fault::StallDatabase(some),
        11 => Fault::RestartDatabase(short),
        12 | 13 => return draw_failover(at, some, edge, size, random, faults),
        14 => {
            let camera = random.random_range(0..size.cameras);
            faults.push((at + short, Fault::Enable(camera, true)));
            Fault::Enable(camera, false)
        }
        15 => {
            let restream = random.random_range(0..size.restreams);
            faults.push((at + short, Fault::Push(restream, true)));
            Fault::Push(restream, false)
        }
        16 if random.random_bool(0.6) => {
            let intakes = [Intake::Open, Intake::Cordoned, Intake::Draining];
            Fault::Intake(edge, intakes[random.random_range(0..3)])
        }
        16 => Fault::Resize(edge, random.random_range(0..=size.cameras + 2)),
        _ if random.random_bool(0.7) => Fault::PausePlanner(long),
        _ => Fault::KillControllers(some),
    };
    faults.push((at, fault));
}

/// The database is lost just after something has changed, and whom it concerned is restarted.
fn draw_failover(
    at: Duration,
    long: Duration,
    edge: Target,
    size: Size,
    random: &mut StdRng,
    faults: &mut Vec<(Duration, Fault)>,
) {
    let mut before = |most| at.saturating_sub(Duration::from_micros(random.random_range(0..most)));
    let (replicated, changed) = (before(1_000_000), before(1_500_000));
    faults.push((replicated, Fault::Replicate));
    let camera = random.random_range(0..size.cameras);
    let restream = random.random_range(0..size.restreams);
    match random.random_range(0..6) {
        // Several assignments are lost together.
        5 => {
            let mut at = replicated;
            for turn in 0..4 {
                at += Duration::from_millis(random.random_range(20..200));
                faults.push((at, Fault::Enable(camera, turn % 2 == 1)));
            }
        }
        0 => faults.push((changed, Fault::Enable(camera, false))),
        1 => faults.push((changed, Fault::Enable(camera, true))),
        2 => faults.push((changed, Fault::Push(restream, random.random_bool(0.5)))),
        3 => faults.push((changed, Fault::Resize(edge, random.random_range(0..=4)))),
        _ => {}
    }
    if random.random_bool(0.3) {
        let long = Duration::from_millis(random.random_range(100..5000));
        faults.push((at, Fault::KillEdge(edge, long)));
    }
    let down = if random.random_bool(0.5) {
        Duration::from_millis(random.random_range(10..500))
    } else {
        long
    };
    let ahead = random.random_range(-500_000..500_000);
    faults.push((at, Fault::Failover(down, ahead)));
}
