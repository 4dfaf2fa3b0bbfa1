//! What goes wrong, and how it is mended.

use std::time::Duration;

use headworks_types::{NodeId, edge::Role};
use rand::RngExt as _;
use uuid::Uuid;

use super::{Clock, Disk, Event, Process, World, node, slot};
use crate::{
    edge::{self, Edge},
    fault::{Fault, Partition, Target},
    network::Place,
    replica::{self, Replica},
};

/// By how much clocks of edges and of controllers run wrong at most.
const EDGE_RATE: f64 = 0.15;
const CONTROLLER_RATE: f64 = 0.01;
/// Who has been well for this much longer than a lease does not die.
const CERTAIN: Duration = Duration::from_secs(6);

impl World {
    pub(super) fn disaster(&mut self, fault: Fault) {
        if self.ended.is_some() {
            return;
        }
        self.say(|| format!("-- {fault:?}"));
        match fault {
            Fault::KillEdge(target, long) => {
                let edge = self.target(target);
                for process in self.edges_at(edge) {
                    self.kill(process);
                }
                self.later(long, Fault::StartEdge(edge));
            }
            Fault::StopEdge(target, long) => {
                let edge = self.target(target);
                for process in self.edges_at(edge) {
                    self.push(self.now, Event::Edge(process, edge::Input::Terminate));
                }
                self.later(long + Duration::from_secs(4), Fault::StartEdge(edge));
            }
            Fault::PauseEdge(target, long) => {
                let edge = self.target(target);
                for process in self.edges_at(edge) {
                    self.edges[process].paused = true;
                }
                self.later(long, Fault::ResumeEdge(edge));
            }
            Fault::CloneEdge(target) => {
                let edge = self.target(target);
                let process = self.edges_at(edge).pop();
                self.start_edge(edge, process);
            }
            Fault::SlowDisk(target, slow) => {
                let edge = self.target(target);
                self.slow_disks[edge] = slow;
            }
            Fault::Resize(target, units) => {
                let edge = self.target(target);
                self.resize(edge, i64::try_from(units).unwrap_or(i64::MAX));
            }
            Fault::Intake(target, intake) => {
                let edge = self.target(target);
                if self.server.answers()
                    && let Some(row) = self.database.nodes.get_mut(&node(edge))
                {
                    row.intake = intake;
                    self.call_planner();
                }
            }
            Fault::StartEdge(edge) => {
                self.trouble(edge);
                if self.edges_at(edge).is_empty() {
                    let last = self.edges.iter().rposition(|one| one.place == edge);
                    self.start_edge(edge, last);
                }
            }
            Fault::ResumeEdge(edge) => {
                self.trouble(edge);
                self.resume_edge(edge);
            }
            Fault::Partition(partition, directions, long) => {
                self.partition(partition, directions, long);
            }
            Fault::Heal(from, to) => {
                self.trouble_at([from, to]);
                self.network.heal(from, to);
                self.release_streams();
            }
            Fault::Enable(camera, enabled) => self.enable(camera, enabled),
            Fault::Push(camera, started) => {
                let is_enabled = self.is_wanted(camera, Role::Ingest);
                self.want(&[slot(camera, Role::Restream)], started && is_enabled);
            }
            Fault::End => self.end(),
            fault => self.disaster_of_all(fault),
        }
        self.check_pushes();
    }

    /// What everybody notices.
    fn disaster_of_all(&mut self, fault: Fault) {
        match fault {
            Fault::KillController(controller, long) => self.kill_controller(controller, long),
            Fault::KillControllers(long) => {
                for controller in 0..self.size.controllers {
                    self.kill_controller(controller, long);
                }
            }
            Fault::PauseController(controller, long) => {
                if let Some(process) = self.controller_at(controller) {
                    self.pause_controller(process, long);
                }
            }
            Fault::PausePlanner(long) => self.ambush = Some(long),
            Fault::StartController(controller) => {
                if self.controller_at(controller).is_none() {
                    self.start_controller(controller);
                }
            }
            Fault::ResumeController(controller) => {
                self.checker.trouble_of_all(self.now);
                self.resume_controller(controller);
            }
            Fault::BadNetwork(loss, slow) => {
                self.checker.trouble_of_all(self.now);
                self.network.loss = loss;
                self.network.slow = slow;
            }
            Fault::GoodNetwork => {
                self.checker.trouble_of_all(self.now);
                self.network.loss = 0.0;
                self.network.slow = Duration::ZERO;
            }
            Fault::StallDatabase(long) => {
                self.server.stalled = Some(self.now + long);
                self.later(long, Fault::DatabaseUp);
            }
            Fault::RestartDatabase(long) => {
                self.server.down = true;
                self.server.started = self.stamp();
                self.later(long, Fault::DatabaseUp);
            }
            Fault::Replicate => self.server.replicated = Some(self.database.clone()),
            Fault::Failover(long, ahead) => {
                if let Some(replicated) = self.server.replicated.take() {
                    self.checker.lost(&self.database, &replicated);
                    self.summary.lost += u64::from(self.database.slots != replicated.slots);
                    let timeline = self.database.timeline + 1;
                    self.database = replicated;
                    self.database.timeline = timeline;
                    self.server.ahead += ahead;
                }
                self.server.down = true;
                self.later(long, Fault::DatabaseUp);
            }
            _ => {
                self.server.down = false;
                self.server.stalled = None;
            }
        }
    }

    fn kill_controller(&mut self, controller: usize, long: Duration) {
        if let Some(process) = self.controller_at(controller) {
            self.controllers[process].alive = false;
            let of = |stream: &super::Stream| stream.controller == process;
            let streams = self.streams.iter().filter(|(_, stream)| of(stream));
            let peers: Vec<_> = streams.map(|(peer, _)| *peer).collect();
            for peer in peers {
                self.end_stream(peer);
            }
        }
        self.later(long, Fault::StartController(controller));
    }

    pub(super) fn pause_controller(&mut self, process: usize, long: Duration) {
        self.checker.trouble_of_all(self.now);
        self.controllers[process].paused = true;
        let place = self.controllers[process].place;
        self.later(long, Fault::ResumeController(place));
    }

    fn partition(&mut self, partition: Partition, directions: [bool; 2], long: Duration) {
        let controllers = (0..self.size.controllers).map(Place::Controller);
        let pairs: Vec<_> = match partition {
            Partition::Edge(target) => {
                let edge = Place::Edge(self.target(target));
                controllers.map(|controller| (edge, controller)).collect()
            }
            Partition::Pair(target, controller) => {
                let edge = Place::Edge(self.target(target));
                vec![(edge, Place::Controller(controller))]
            }
            Partition::Controller(controller) => (0..self.size.edges)
                .map(|edge| (Place::Edge(edge), Place::Controller(controller)))
                .collect(),
            Partition::Database(controller) => {
                vec![(Place::Controller(controller), Place::Database)]
            }
        };
        for (one, other) in pairs {
            self.trouble_at([one, other]);
            let both = [(one, other), (other, one)];
            for ((from, to), is_cut) in both.into_iter().zip(directions) {
                if is_cut {
                    self.network.cut(from, to);
                    self.later(long, Fault::Heal(from, to));
                }
            }
        }
    }

    /// The edge that is meant; something is wrong with it from now on.
    fn target(&mut self, target: Target) -> usize {
        let edge = match target {
            Target::Edge(edge) => edge,
            Target::Pusher(restream) => {
                let row = self.database.slots.get(&slot(restream, Role::Restream));
                let holder = row.and_then(|row| row.node_id);
                let edges = 0..self.size.edges;
                let found = edges.into_iter().find(|edge| holder == Some(node(*edge)));
                found.unwrap_or(0)
            }
        };
        self.trouble(edge);
        edge
    }

    /// The edge says that it takes so much, if the database answers.
    fn resize(&mut self, edge: usize, units: i64) {
        if self.server.answers() {
            self.database.node_resize(node(edge), units);
            self.call_planner();
        }
    }

    /// Who has changed something wakes the planner of his controller.
    fn call_planner(&mut self) {
        let place = self.random.random_range(0..self.size.controllers);
        if let Some(process) = self.controller_at(place) {
            let called = replica::Input::PlanCalled;
            self.push(self.now, Event::Controller(process, called));
        }
    }

    /// All goes well from now on. One edge may stay away.
    fn end(&mut self) {
        self.network.heal_all();
        self.ambush = None;
        self.release_streams();
        self.server.down = false;
        self.server.stalled = None;
        self.slow_disks.fill(Duration::ZERO);
        self.checker.trouble_of_all(self.now);
        for controller in 0..self.size.controllers {
            self.resume_controller(controller);
            if self.controller_at(controller).is_none() {
                self.start_controller(controller);
            }
        }
        let away = (self.size.edges > 2 && self.random.random_bool(0.2)).then_some(0);
        for edge in 0..self.size.edges {
            self.trouble(edge);
            self.resume_edge(edge);
            let mut processes = self.edges_at(edge);
            let last = processes.pop();
            processes.into_iter().for_each(|process| self.kill(process));
            match last {
                Some(process) if away == Some(edge) => self.kill(process),
                Some(_) => {}
                None if away == Some(edge) => {}
                None => {
                    let last = self.edges.iter().rposition(|one| one.place == edge);
                    self.start_edge(edge, last);
                }
            }
        }
        self.ended = Some(self.now);
        self.push(self.now, Event::Look);
    }

    fn later(&mut self, wait: Duration, fault: Fault) {
        self.push(self.now + wait, Event::Fault(fault));
    }

    /// Starts a process on a copy of another one's disk.
    pub(super) fn start_edge(&mut self, edge: usize, before: Option<usize>) {
        let index = self.edges.len();
        let content = before.and_then(|before| self.disks[before].content.clone());
        if let Some(before) = before {
            self.checker.inherit(before, index);
        }
        let mut out = Vec::new();
        let micros = self.now.as_micros();
        let instance = Uuid::from_u128((micros << 32) + index as u128);
        let rules = self.keeps.edge;
        let machine = Edge::start(node(edge), instance, rules, content.clone(), &mut out);
        self.disks.push(Disk {
            content,
            writing: None,
        });
        let clock = self.clock(EDGE_RATE);
        self.edges.push(Process {
            machine,
            place: edge,
            alive: true,
            paused: false,
            deferred: Vec::new(),
            clock,
        });
        self.edge_effects(index, out);
        self.say(|| format!("{} starts", self.edge_name(index)));
        self.check_edge(index, true);
    }

    pub(super) fn start_controller(&mut self, controller: usize) {
        let index = self.controllers.len();
        let mut out = Vec::new();
        let me = Uuid::from_u128(index as u128 + 1000);
        let machine = Replica::start(me, self.keeps.replica, &mut out);
        let clock = self.clock(CONTROLLER_RATE);
        self.controllers.push(Process {
            machine,
            place: controller,
            alive: true,
            paused: false,
            deferred: Vec::new(),
            clock,
        });
        self.controller_effects(index, out);
    }

    fn clock(&mut self, rate: f64) -> Clock {
        Clock {
            // Mostly well, else wrong by anything.
            rate: if self.random.random_bool(0.4) {
                1.0
            } else {
                1.0 + self.random.random_range(-rate..rate)
            },
            offset: Duration::from_secs(self.random.random_range(0..10_000)),
        }
    }

    pub(super) fn kill(&mut self, process: usize) {
        self.edges[process].alive = false;
        self.edges[process].deferred.clear();
        self.disks[process].writing = None;
        let peers: Vec<_> = self
            .streams
            .range((process, 0)..=(process, u64::MAX))
            .map(|(peer, _)| *peer)
            .collect();
        for peer in peers {
            self.hang_up(peer);
        }
        self.say(|| format!("{} is gone", self.edge_name(process)));
    }

    fn resume_edge(&mut self, edge: usize) {
        for process in self.edges_at(edge) {
            self.edges[process].paused = false;
            for input in std::mem::take(&mut self.edges[process].deferred) {
                self.push(self.now, Event::Edge(process, input));
            }
        }
    }

    fn resume_controller(&mut self, controller: usize) {
        if let Some(process) = self.controller_at(controller) {
            self.controllers[process].paused = false;
            for input in std::mem::take(&mut self.controllers[process].deferred) {
                self.push(self.now, Event::Controller(process, input));
            }
        }
    }

    fn enable(&mut self, camera: usize, enabled: bool) {
        let mut keys = vec![slot(camera, Role::Ingest)];
        let restream = slot(camera, Role::Restream);
        if self.database.slots.contains_key(&restream) {
            keys.push(restream);
        }
        self.want(&keys, enabled);
    }

    /// A change through the API, if the database answers.
    fn want(&mut self, keys: &[headworks_types::edge::SlotKey], wanted: bool) {
        if self.server.answers() {
            self.database.slot_want(keys, wanted);
            self.committed();
            self.call_planner();
        }
    }

    fn is_wanted(&self, camera: usize, role: Role) -> bool {
        let slot = self.database.slots.get(&slot(camera, role));
        slot.is_some_and(|slot| slot.wanted)
    }

    /// The live processes of the edge, the oldest first.
    pub(crate) fn edges_at(&self, edge: usize) -> Vec<usize> {
        (0..self.edges.len())
            .filter(|process| self.edges[*process].alive && self.edges[*process].place == edge)
            .collect()
    }

    pub(super) fn controller_at(&self, controller: usize) -> Option<usize> {
        self.controllers
            .iter()
            .position(|process| process.alive && process.place == controller)
    }

    fn check_pushes(&mut self) {
        for index in 0..self.edges.len() {
            if self.edges[index].alive {
                self.check_edge(index, false);
            }
        }
    }

    fn trouble(&mut self, edge: usize) {
        self.checker.trouble(edge, self.now);
    }

    fn trouble_at(&mut self, places: [Place; 2]) {
        for place in places {
            match place {
                Place::Edge(edge) => self.trouble(edge),
                Place::Controller(_) | Place::Database => self.checker.trouble_of_all(self.now),
            }
        }
    }

    /// The edge's number, if the node lives and has been in touch with controllers that live for longer
    /// than a lease. That all were away, or the database, is no reason for it to die.
    pub(super) fn is_fine(&self, node: NodeId) -> Option<usize> {
        let edge = (0..self.size.edges).find(|edge| super::node(*edge) == node)?;
        let lease = self.keeps.replica.lease;
        let [process] = self.edges_at(edge)[..] else {
            return None;
        };
        let is_reached = (0..self.size.controllers).all(|controller| {
            let (edge, controller) = (Place::Edge(edge), Place::Controller(controller));
            let cut = |from, to| self.network.is_cut(from, to);
            !cut(edge, controller)
                && !cut(controller, edge)
                && !cut(controller, Place::Database)
                && !cut(Place::Database, controller)
                && self.controllers.iter().all(|one| !one.paused)
        });
        let is_fine = !self.edges[process].paused
            && !self.edges[process].machine.is_off()
            && self.network.loss == 0.0
            && self.network.slow.is_zero()
            && is_reached
            && self.checker.untroubled(edge, self.now) > lease + CERTAIN;
        is_fine.then_some(edge)
    }
}
