//! Transactions that overlap, two replicas that read when they like, a standby that takes over and
//! has lost the last of it, and edges that go from replica to replica: in the end, every edge knows
//! what there is.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Transactions are so far apart that nothing is right only because it is told twice.
const STRIDE: u64 = 2 * SLACK;

#[derive(Debug, Clone)]
enum Step {
    /// A transaction changes, adds or removes a camera.
    Begin {
        camera: u8,
        epoch: Option<i64>,
    },
    Commit(usize),
    Abort(usize),
    Read(usize),
    /// An edge watches a replica, which it may have watched before.
    Watch {
        edge: usize,
        replica: usize,
    },
    /// A watching edge is told what is new.
    Tell(usize),
    /// All changes are forgotten.
    Sweep,
    /// The standby has everything until now.
    Sync,
    /// The standby takes over.
    Failover,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u8..5, proptest::option::weighted(0.8, 0_i64..9))
            .prop_map(|(camera, epoch)| Step::Begin { camera, epoch }),
        6 => (0_usize..4).prop_map(Step::Commit),
        1 => (0_usize..4).prop_map(Step::Abort),
        4 => (0_usize..2).prop_map(Step::Read),
        3 => (0_usize..3, 0_usize..2).prop_map(|(edge, replica)| Step::Watch { edge, replica }),
        3 => (0_usize..3).prop_map(Step::Tell),
        1 => Just(Step::Sweep),
        1 => Just(Step::Sync),
        1 => Just(Step::Failover),
    ]
}

#[derive(Clone)]
struct Database {
    line: u16,
    next: u64,
    floor: u64,
    routes: BTreeMap<u8, i64>,
    /// Committed.
    marks: Vec<(u8, u64)>,
    running: Vec<(u64, u8, Option<i64>)>,
}

impl Database {
    fn new() -> Self {
        Self {
            line: 1,
            next: STRIDE,
            floor: 0,
            routes: BTreeMap::new(),
            marks: Vec::new(),
            running: Vec::new(),
        }
    }

    fn begin(&mut self, camera: u8, epoch: Option<i64>) {
        // Its row is locked.
        if self.running.iter().all(|(_, other, _)| *other != camera) {
            self.running.push((self.next, camera, epoch));
            self.next += STRIDE;
        }
    }

    fn end(&mut self, index: usize, commits: bool) {
        if index >= self.running.len() {
            return;
        }
        let (xact, camera, epoch) = self.running.remove(index);
        if commits {
            self.marks.push((camera, xact));
            match epoch {
                Some(epoch) => self.routes.insert(camera, epoch),
                None => self.routes.remove(&camera),
            };
        }
    }

    fn sweep(&mut self) {
        let newest = self.marks.iter().map(|(_, xact)| *xact).max();
        self.floor = self.floor.max(newest.unwrap_or_default());
        self.marks.clear();
    }

    fn read(&self, feed: &DirectoryFeed) {
        let reading = feed.begin();
        let open = self.running.iter().map(|(xact, ..)| *xact).min();
        let horizon = Horizon {
            line: self.line,
            xact: open.unwrap_or(self.next),
            floor: self.floor,
        };
        let since = reading
            .known
            .filter(|known| horizon.reaches(known.line, known.xact));
        let from = since.map_or(0, |known| known.xact);
        let mut changes = Changes::default();
        for (camera, xact) in self.marks.iter().filter(|(_, xact)| *xact >= from) {
            let changed = changes.cameras.entry(id(*camera)).or_default();
            *changed = (*changed).max(*xact);
        }
        let routes = self.routes.iter().map(|(camera, epoch)| Route {
            camera_id: id(*camera),
            epoch: *epoch,
            ..route(0)
        });
        let wanted = routes
            .filter(|route| since.is_none() || changes.cameras.contains_key(&route.camera_id));
        changes.routes = wanted.collect();
        feed.take(&reading, horizon, since.is_none(), changes);
    }
}

fn id(camera: u8) -> CameraId {
    CameraId::from(Uuid::from_u128(camera.into()))
}

#[derive(Default)]
struct Edge {
    cursor: i64,
    routes: BTreeMap<CameraId, i64>,
    watch: Option<(usize, Stage)>,
}

impl Edge {
    fn watch(&mut self, replica: usize, database: &Database, feed: &DirectoryFeed) {
        let claim = Cursor::parse(self.cursor).map_or(From::Nothing, From::Claim);
        let is_seen = |claim| {
            feed.known()
                .as_ref()
                .is_some_and(|known| known.judge(claim) == claim)
        };
        if !is_seen(claim) {
            // As its reader waits.
            database.read(feed);
        }
        self.take(replica, feed, claim);
    }

    fn tell(&mut self, feeds: &[DirectoryFeed]) {
        if let Some((replica, stage)) = self.watch {
            self.take(replica, &feeds[replica], From::Stage(stage));
        }
    }

    fn take(&mut self, replica: usize, feed: &DirectoryFeed, from: From) {
        let told = feed
            .known()
            .as_ref()
            .expect("was read")
            .tell(from)
            .expect("is written");
        for line in &told.lines {
            let update = update(line);
            if update.complete {
                self.routes.clear();
            }
            self.cursor = update.cursor;
            for camera in update.removed_routes {
                self.routes.remove(&camera);
            }
            let routes = update.routes.iter();
            self.routes
                .extend(routes.map(|route| (route.camera_id, route.epoch)));
        }
        self.watch = Some((replica, told.stage));
    }
}

fn play(steps: Vec<Step>) -> (BTreeMap<CameraId, i64>, Vec<Edge>) {
    let mut database = Database::new();
    let mut standby = database.clone();
    let feeds = [DirectoryFeed::default(), DirectoryFeed::default()];
    let mut edges = [Edge::default(), Edge::default(), Edge::default()];
    for step in steps {
        match step {
            Step::Begin { camera, epoch } => database.begin(camera, epoch),
            Step::Commit(index) => database.end(index, true),
            Step::Abort(index) => database.end(index, false),
            Step::Read(replica) => database.read(&feeds[replica]),
            Step::Watch { edge, replica } => {
                edges[edge].watch(replica, &database, &feeds[replica]);
            }
            Step::Tell(edge) => edges[edge].tell(&feeds),
            Step::Sweep => database.sweep(),
            Step::Sync => standby = database.clone(),
            Step::Failover => {
                let line = database.line + 1;
                database = Database {
                    line,
                    running: Vec::new(),
                    ..standby.clone()
                };
                standby = database.clone();
            }
        }
    }
    while !database.running.is_empty() {
        database.end(0, true);
    }
    for feed in &feeds {
        database.read(feed);
    }
    for edge in &mut edges {
        match edge.watch {
            Some(_) => edge.tell(&feeds),
            None => edge.watch(0, &database, &feeds[0]),
        }
    }
    let truth = database
        .routes
        .iter()
        .map(|(camera, epoch)| (id(*camera), *epoch));
    (truth.collect(), edges.into())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn in_the_end_every_edge_knows_what_there_is(
        steps in proptest::collection::vec(step(), 1..80)
    ) {
        let (truth, edges) = play(steps);
        for edge in edges {
            prop_assert_eq!(&edge.routes, &truth);
        }
    }
}
