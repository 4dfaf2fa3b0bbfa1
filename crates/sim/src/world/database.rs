//! Calls of controllers to the database.

use std::time::Duration;

use chrono::DateTime;
use headworks_duty::Census;
use rand::RngExt as _;

use super::{Event, World};
use crate::{
    database::{Outcome, stamp},
    network::Place,
    replica::{Answer, Failed, Input, Query},
};

impl World {
    /// A call gets to the database.
    pub(super) fn called(&mut self, process: usize, call: u64, query: Box<Query>, until: Duration) {
        let place = Place::Controller(self.controllers[process].place);
        let refused = Input::Answered(call, Err(Failed));
        if self.server.down {
            let at = self.now + self.network.latency(&mut self.random);
            self.push(at, Event::Controller(process, refused));
            return;
        }
        if let Some(stalled) = self.server.stalled {
            if until <= stalled {
                self.push(until, Event::Controller(process, refused));
                // Nobody waits any more, but what was asked may be done all the same.
                if self.random.random_bool(0.5) {
                    return;
                }
            }
            self.push(stalled, Event::Call(process, call, query, until));
            return;
        }
        let answer = self.execute(process, &query);
        match self.network.delay(Place::Database, place, &mut self.random) {
            Some(delay) if self.now + delay < until => {
                let answered = Input::Answered(call, Ok(answer));
                self.push(self.now + delay, Event::Controller(process, answered));
            }
            // It is done, but the controller does not know.
            _ => self.push(until.max(self.now), Event::Controller(process, refused)),
        }
    }

    /// One transaction.
    fn execute(&mut self, process: usize, query: &Query) -> Answer {
        let now = self.stamp();
        let rules = self.keeps.database;
        let database = &mut self.database;
        match query {
            Query::Renew(renewals, lease) => {
                let mut counted = Vec::new();
                for renewal in renewals {
                    if database.lease_renew(now, &rules, renewal, stamp(*lease)) {
                        let node = renewal.node_id;
                        counted.push((node, database.lease_held(now, &rules, node)));
                    }
                }
                Answer::Renewed(counted)
            }
            Query::Revisions(nodes) => {
                let revision = |node| Some((node, database.revision_get(node)?));
                Answer::Revisions(nodes.iter().copied().filter_map(revision).collect())
            }
            Query::Report(reports) => {
                database.slot_report(reports);
                self.committed();
                Answer::Done
            }
            Query::Acquire(me, lease) => {
                let term = database.planner_acquire(now, *me, stamp(*lease));
                Answer::Term(term)
            }
            Query::NodeFleet(suspect) => Answer::Nodes(database.node_fleet(now, *suspect)),
            Query::SlotFleet => Answer::Slots(database.slot_fleet(now, &rules)),
            Query::Assign(me, term, steps) => {
                if !database.planner_hold(&rules, *me, *term) {
                    return Answer::Assigned(None);
                }
                let deposed = !database.is_planner(*me, *term);
                let outcomes = database.slot_assign(now, &rules, steps);
                self.assigned(process, steps, &outcomes, deposed);
                Answer::Assigned(Some(outcomes))
            }
            Query::Explain(me, term, reasons) => {
                let holds = database.planner_hold(&rules, *me, *term);
                if holds {
                    database.slot_explain(reasons);
                }
                Answer::Explained(holds)
            }
            Query::Extend(lease) => {
                database.lease_extend_all(now, stamp(*lease));
                Answer::Done
            }
            Query::Census => {
                if database.era_begin(now, &rules) {
                    self.say(|| "a new era of the database begins".to_owned());
                    self.committed();
                }
                Answer::Census(Box::new(self.census()))
            }
            Query::Die(die, return_) => {
                let died = database.node_die(now, die);
                let returned = database.node_return(now, return_);
                let changed = died.len() + returned.len();
                self.died(&died);
                Answer::Died(changed)
            }
            Query::Begin(node) => Answer::Begun {
                revision: database.revision_get(*node).unwrap_or(0),
                desired: database.desired_list(*node),
                era_is_over: database.era_is_over(&rules),
            },
            Query::Revision(node) => {
                Answer::Watched(database.revision_get(*node).unwrap_or(0), Vec::new())
            }
            Query::Desired(node) => Answer::Watched(0, database.desired_list(*node)),
        }
    }

    fn census(&self) -> Census {
        let now = self.stamp();
        let count = self.database.lease_census(now);
        let time = |stamp| DateTime::from_timestamp_micros(stamp).unwrap_or_default();
        Census {
            living: count.living,
            died: count.died,
            silent: count.silent,
            returned: count.returned,
            now: time(now),
            database_started: time(self.server.started),
            ..Census::default()
        }
    }

    fn assigned(
        &mut self,
        process: usize,
        steps: &[crate::database::Step],
        outcomes: &[Outcome],
        deposed: bool,
    ) {
        for (step, outcome) in steps.iter().zip(outcomes) {
            let Outcome::Done(epoch) = outcome else {
                continue;
            };
            self.summary.assignments += 1;
            self.say(|| {
                let slot = super::words::slot(step.slot);
                let name = |node| self.node_name(node);
                let to = step.to.map_or("nobody".to_owned(), name);
                let by = self.controller_name(process);
                format!(
                    "{by} gives {slot} to {to} under epoch {epoch}: {}",
                    step.reason
                )
            });
        }
        if deposed {
            let name = self.controller_name(process);
            self.fail(Some(format!("I6: {name} was deposed, but has committed")));
        }
        self.committed();
    }

    /// Assignments may have changed: the bell rings, and what is written is checked.
    pub(super) fn committed(&mut self) {
        let found = self.checker.rows(&self.database);
        self.fail(found);
        if !self.checker.has_rung(&self.database) {
            return;
        }
        for process in 0..self.controllers.len() {
            let place = Place::Controller(self.controllers[process].place);
            if self.controllers[process].alive
                && let Some(delay) = self.network.delay(Place::Database, place, &mut self.random)
            {
                let bell = Event::Controller(process, Input::Doorbell);
                self.push(self.now + delay, bell);
            }
        }
    }

    fn died(&mut self, died: &[headworks_types::NodeId]) {
        for node in died {
            self.summary.deaths += 1;
            let name = self.node_name(*node);
            self.say(|| format!("{name} is declared dead"));
            if let Some(edge) = self.is_fine(*node) {
                self.fail(Some(format!(
                    "edge-{edge} is declared dead, although nothing was wrong with it or with us"
                )));
            }
        }
    }
}
