//! The invariants of the design, checked after each step.
//!
//! * I1, one holder per slot, and epochs only rise: in the rows, and no epoch is ever given to two
//!   nodes. A database that lost its last second may give an epoch again that it had given there; what
//!   must hold then is in [`Checker::lost`].
//! * I2, nothing accepts a lower epoch than it has seen: edges, over restarts and copies of disks.
//! * I3, strict slots never emit twice at once, in true time: only while no commit was lost.
//! * I4, media needs no controller: what an edge runs changes only by what it was told.
//! * I6, a deposed planner never commits: checked where it commits, in `world`.

use std::{collections::BTreeMap, time::Duration};

use headworks_types::{NodeId, edge::SlotKey};

use crate::{
    database::{Database, Report},
    edge::Edge,
    world::slot_words as words,
};

/// What has been seen so far.
#[derive(Debug)]
pub struct Checker {
    /// The epoch of each slot's row.
    rows: BTreeMap<SlotKey, i64>,
    /// The highest that was reported of it to the database.
    reported: BTreeMap<SlotKey, i64>,
    /// To whom each epoch was given.
    given: BTreeMap<(SlotKey, i64), NodeId>,
    /// The highest epoch that each edge process, or one before it, has run.
    seen: BTreeMap<(usize, SlotKey), i64>,
    /// What each edge process runs since it was told last.
    running: BTreeMap<usize, Vec<Report>>,
    /// Who pushed each slot last.
    pushers: BTreeMap<SlotKey, usize>,
    /// The sum of all revisions at the last bell.
    revisions: i64,
    /// When something was wrong with each edge, and with controllers or the database.
    trouble: Vec<Duration>,
    trouble_of_all: Duration,
}

impl Checker {
    /// Nothing has been seen.
    #[must_use]
    pub fn new(edges: usize) -> Self {
        Self {
            rows: BTreeMap::new(),
            reported: BTreeMap::new(),
            given: BTreeMap::new(),
            seen: BTreeMap::new(),
            running: BTreeMap::new(),
            pushers: BTreeMap::new(),
            revisions: 0,
            trouble: vec![Duration::ZERO; edges],
            trouble_of_all: Duration::ZERO,
        }
    }

    /// I1, and that the capacity is counted well.
    pub fn rows(&mut self, database: &Database) -> Option<String> {
        for (key, row) in &database.slots {
            let before = self.rows.insert(*key, row.epoch).unwrap_or(0);
            if row.epoch < before {
                let slot = words(*key);
                return Some(format!(
                    "I1: {slot} went from epoch {before} to {}",
                    row.epoch
                ));
            }
            let reported = self.reported.insert(*key, row.reported_epoch).unwrap_or(0);
            if row.epoch != before && row.epoch <= reported {
                let (slot, epoch) = (words(*key), row.epoch);
                return Some(format!(
                    "I1: {slot} is given under {epoch}, but {reported} was seen"
                ));
            }
            let Some(node) = row.node_id else {
                continue;
            };
            let given = *self.given.entry((*key, row.epoch)).or_insert(node);
            if given != node {
                let slot = words(*key);
                return Some(format!("I1: epoch {} of {slot} was given twice", row.epoch));
            }
        }
        database.nodes.iter().find_map(|(id, node)| {
            let held = database.slots.values();
            let held: i64 = held
                .filter(|slot| slot.node_id == Some(*id))
                .map(|slot| slot.cost)
                .sum();
            (held != node.used).then(|| {
                let (name, used) = (&node.name, node.used);
                format!("{name} uses {held}, counted as {used}")
            })
        })
    }

    /// True if a revision has risen since it was asked before.
    pub fn has_rung(&mut self, database: &Database) -> bool {
        let sum = database.nodes.values().map(|node| node.revision).sum();
        std::mem::replace(&mut self.revisions, sum) != sum
    }

    /// The database was replaced by one that did not get its last commits. What it gave in these it may
    /// give again, to another node. Then both may run the slot, until the first has heard; at the end
    /// of the run nobody may run what is not his.
    pub fn lost(&mut self, old: &Database, new: &Database) {
        for (key, row) in &new.slots {
            self.rows.insert(*key, row.epoch);
            self.reported.insert(*key, row.reported_epoch);
        }
        let epoch = |key: &SlotKey| new.slots.get(key).map_or(0, |row| row.epoch);
        let held = |key: &SlotKey| old.slots.get(key) != new.slots.get(key);
        self.given
            .retain(|(key, given), _| *given <= epoch(key) || !held(key));
    }

    /// A process begins on a copy of another one's disk.
    pub fn inherit(&mut self, before: usize, process: usize) {
        let seen: Vec<_> = self
            .seen
            .iter()
            .filter(|((other, _), _)| *other == before)
            .map(|((_, key), epoch)| (*key, *epoch))
            .collect();
        for (key, epoch) in seen {
            self.seen.insert((process, key), epoch);
        }
    }

    /// I2: no slot runs under a lower epoch than before.
    pub fn epochs(&mut self, process: usize, edge: &Edge) -> Option<String> {
        edge.running().find_map(|(key, epoch)| {
            let before = self.seen.insert((process, key), epoch).unwrap_or(epoch);
            (epoch < before).then(|| {
                let slot = words(key);
                format!("I2: process {process} runs {slot} under {epoch} after {before}")
            })
        })
    }

    /// I4: what it runs changes only when it is told, or starts.
    pub fn media(&mut self, process: usize, edge: &Edge, is_told: bool) -> Option<String> {
        let running: Vec<_> = edge.running().collect();
        let before = self.running.insert(process, running);
        let is_same = before.as_ref() == self.running.get(&process);
        (!is_told && !is_same).then(|| {
            format!("I4: process {process} does not run what it did, and nobody has said so")
        })
    }

    /// I3, of all that the processes push at this moment.
    pub fn pushes(&mut self, emitting: &[Vec<SlotKey>], handovers: &mut u64) -> Option<String> {
        let mut pushed: BTreeMap<SlotKey, usize> = BTreeMap::new();
        for (process, keys) in emitting.iter().enumerate() {
            for key in keys {
                if let Some(other) = pushed.insert(*key, process)
                    && other != process
                {
                    let slot = words(*key);
                    return Some(format!(
                        "I3: processes {other} and {process} emit {slot} at once"
                    ));
                }
            }
        }
        for (key, process) in pushed {
            let before = self.pushers.insert(key, process);
            *handovers += u64::from(before.is_some_and(|before| before != process));
        }
        None
    }

    /// Something is wrong with this edge.
    pub fn trouble(&mut self, edge: usize, now: Duration) {
        self.trouble[edge] = now;
    }

    /// Something is wrong with all.
    pub fn trouble_of_all(&mut self, now: Duration) {
        self.trouble_of_all = now;
    }

    /// For how long nothing has been wrong with the edge.
    #[must_use]
    pub fn untroubled(&self, edge: usize, now: Duration) -> Duration {
        now - self.trouble[edge].max(self.trouble_of_all)
    }
}
