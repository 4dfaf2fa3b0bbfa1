//! Whether all is well: nothing is left to do, and every edge does what it should.

use headworks_duty::Life;
use headworks_planner::{Fleet, Intake, Policy, plan};
use headworks_types::{NodeState, edge::Role};

use crate::{
    database::{NodeRow, Report},
    world::{World, node, slot_words as words},
};

impl World {
    /// What is not well, if anything.
    pub(crate) fn unwell(&self) -> Option<String> {
        self.unwell_nodes()
            .or_else(|| self.unwell_plan())
            .or_else(|| self.unwell_edges())
    }

    /// Who lives is not dead, and who does not is.
    fn unwell_nodes(&self) -> Option<String> {
        let suspect = self.keeps().replica.suspect;
        (0..self.size.edges).find_map(|edge| {
            let lives = !self.edges_at(edge).is_empty();
            let life: Life = self.database.life(self.stamp(), node(edge));
            let state = life.state(suspect);
            let is_right = match state {
                NodeState::Ready => lives,
                NodeState::Suspect => false,
                NodeState::Dead => !lives,
            };
            // Who never came is not missed.
            let never = life.silence.is_none() && !lives;
            (!is_right && !never).then(|| format!("edge-{edge} is {state:?}; it lives: {lives}"))
        })
    }

    /// The planner has nothing to do, and nothing that is wanted is nowhere for no reason.
    fn unwell_plan(&self) -> Option<String> {
        let (now, keeps) = (self.stamp(), self.keeps());
        let slots = self.database.slot_fleet(now, &keeps.database);
        let fleet = Fleet {
            nodes: self.database.node_fleet(now, keeps.replica.suspect),
            slots: slots.into_iter().map(|(slot, ..)| slot).collect(),
        };
        let plan = plan(&fleet, &Policy::default());
        if let Some(one) = plan.moves.first() {
            return Some(format!("{} has yet to move", words(one.slot)));
        }
        if let Some(one) = plan.releases.first() {
            return Some(format!("{} has yet to be released", words(one.slot)));
        }
        // Who is emptied keeps only what nobody else can take.
        let is_ready = |edge| !self.edges_at(edge).is_empty();
        let has_room = |edge: usize| {
            let row = self.database.nodes.get(&node(edge));
            let is_open = |row: &NodeRow| row.used < row.alloc && row.intake == Intake::Open;
            is_ready(edge) && row.is_some_and(is_open)
        };
        let used = |edge: usize| {
            self.database
                .nodes
                .get(&node(edge))
                .map_or(0, |row| row.used)
        };
        let has_room_for = |edge: usize, units: i64| {
            let row = self.database.nodes.get(&node(edge));
            has_room(edge) && row.is_some_and(|row| row.used + units <= row.alloc)
        };
        let is_emptied = |edge: usize| {
            let row = self.database.nodes.get(&node(edge));
            let is_draining = row.is_some_and(|row| row.intake == Intake::Draining);
            is_draining && is_ready(edge) && used(edge) > 0
        };
        let edges = 0..self.size.edges;
        if let Some(edge) = edges.clone().find(|edge| is_emptied(*edge))
            && let Some(other) = edges.clone().find(|other| has_room_for(*other, used(edge)))
        {
            return Some(format!(
                "edge-{edge} is not empty yet, although edge-{other} has room for all of it"
            ));
        }
        plan.refusals.iter().find_map(|refusal| {
            let key = refusal.slot;
            // Who is where he was has no better place.
            self.database
                .slots
                .get(&key)
                .filter(|row| row.node_id.is_none())?;
            // A camera goes where its restream has room, too.
            let beside = headworks_types::edge::SlotKey {
                role: Role::Restream,
                ..key
            };
            let beside = self.database.slots.get(&beside);
            let units = 1 + i64::from(beside.is_some_and(|row| row.wanted));
            let room = match key.role {
                Role::Ingest => (0..self.size.edges).find(|edge| has_room_for(*edge, units)),
                Role::Restream => {
                    let leader = headworks_types::edge::SlotKey {
                        role: Role::Ingest,
                        ..key
                    };
                    let holder = self.database.slots.get(&leader)?.node_id;
                    (0..self.size.edges).find(|edge| holder == Some(node(*edge)) && has_room(*edge))
                }
            };
            let edge = room?;
            Some(format!(
                "{} is nowhere, although edge-{edge} has room: {}",
                words(key),
                refusal.reason
            ))
        })
    }

    /// Every edge does what the rows say, and pushes what it should.
    fn unwell_edges(&self) -> Option<String> {
        (0..self.size.edges).find_map(|edge| {
            let process = *self.edges_at(edge).first()?;
            let machine = &self.edges[process].machine;
            let desired = self.database.desired_list(node(edge));
            let running: Vec<Report> = machine.running().collect();
            if desired != running || !machine.is_settled() {
                return Some(format!("edge-{edge} runs {running:?} and not {desired:?}"));
            }
            let mut emitting = self.emitting(process);
            emitting.sort_unstable();
            let wanted = desired.iter().map(|(key, _)| *key);
            let wanted: Vec<_> = wanted.filter(|key| key.role == Role::Restream).collect();
            (emitting != wanted)
                .then(|| format!("edge-{edge} pushes {emitting:?} and not {wanted:?}"))
        })
    }
}
