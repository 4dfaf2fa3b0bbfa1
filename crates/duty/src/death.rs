//! Who is dead, decided carefully: a wrong death costs more than a late one, since every camera of
//! the node is interrupted.
//!
//! A death is declared only by a replica that has seen a healthy database for as long as a lease
//! lasts (within which every living node must have renewed), after an outage all leases start anew,
//! and the brake holds when so many nodes are silent at once that it is more likely us or the network.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use headworks_types::NodeId;

/// The brake lets so many nodes die within a minute in any case, and this share of a larger fleet.
const BRAKE_MIN: usize = 3;
const BRAKE_PERCENT: usize = 30;

/// What has to be known before a node may be declared dead.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Census {
    /// Nodes that were not dead a minute ago.
    pub living: usize,
    /// How many of these have been declared dead since.
    pub died: usize,
    /// Nodes whose lease has run out and that are not declared dead.
    pub silent: Vec<NodeId>,
    /// Nodes that are declared dead and renew their lease.
    pub returned: Vec<NodeId>,
    /// What time it is for the database.
    pub now: DateTime<Utc>,
    /// When the database server started.
    pub database_started: DateTime<Utc>,
    /// An operator has released the brake.
    pub released: bool,
}

/// Since when the database answers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Health {
    since: Option<Instant>,
    /// When it answered last, by our clock and by its own.
    last: Option<(Instant, DateTime<Utc>)>,
    /// True from an outage until the leases have been extended.
    outage: bool,
}

/// The clocks say that nobody could renew a lease for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the clocks say that nobody could renew a lease for a while")]
pub struct Outage;

impl Health {
    /// There was an outage.
    #[must_use]
    pub fn lost() -> Self {
        Self {
            outage: true,
            ..Self::default()
        }
    }

    /// True from an outage until the leases have been extended.
    #[must_use]
    pub fn was_lost(&self) -> bool {
        self.outage
    }

    /// The leases have been extended.
    pub fn extended(&mut self) {
        self.outage = false;
    }

    /// The database has answered with this census, where leases run for `lease`. True if it has been
    /// healthy for so long that who is silent in it is silent for certain.
    ///
    /// # Errors
    /// If something was wrong since it answered before.
    pub fn answered(
        &mut self,
        now: Instant,
        census: &Census,
        lease: Duration,
    ) -> Result<bool, Outage> {
        if !self.is_steady(now, census.now, lease / 2) {
            return Err(Outage);
        }
        let database_age = (census.now - census.database_started).to_std();
        Ok(self.since.is_some_and(|since| now - since >= lease)
            && database_age.is_ok_and(|age| age >= lease))
    }

    /// False if something was wrong since the last answer, by more than `tolerance`.
    fn is_steady(&mut self, now: Instant, database: DateTime<Utc>, tolerance: Duration) -> bool {
        self.since.get_or_insert(now);
        let Some((then, database_then)) = self.last.replace((now, database)) else {
            return true;
        };
        let passed = now - then;
        let database_passed = (database - database_then).to_std().unwrap_or_default();
        passed <= tolerance && passed.abs_diff(database_passed) <= tolerance
    }
}

/// What to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decided {
    /// Nodes to declare dead.
    pub die: Vec<NodeId>,
    /// Nodes to take back.
    pub return_: Vec<NodeId>,
    /// Why nobody is declared dead although nodes are silent.
    pub brake: Option<String>,
}

impl Census {
    /// Decides who is dead, where `healthy` says that the database has been so for long enough.
    #[must_use]
    pub fn decide(&self, healthy: bool) -> Decided {
        let brake = self.brake();
        let die = if healthy && brake.is_none() {
            self.silent.clone()
        } else {
            Vec::new()
        };
        Decided {
            die,
            return_: self.returned.clone(),
            brake,
        }
    }

    /// Why nobody is declared dead, if too many are silent at once and no operator lets them die.
    #[must_use]
    pub fn brake(&self) -> Option<String> {
        let limit = (self.living * BRAKE_PERCENT / 100).max(BRAKE_MIN);
        let gone = self.died + self.silent.len();
        let holds = gone > limit && !self.silent.is_empty() && !self.released;
        holds.then(|| {
            format!(
                "not declared dead, because {gone} of {} nodes went silent within a minute and at \
                 most {limit} may be declared dead in that time",
                self.living
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn census(living: usize, died: usize, silent: usize) -> Census {
        Census {
            living,
            died,
            silent: (0..silent)
                .map(|n| NodeId::from(Uuid::from_u128(n as u128)))
                .collect(),
            ..Census::default()
        }
    }

    #[test]
    fn few_silent_nodes_die_and_many_do_not() {
        for (living, died, silent, held) in [
            (1, 0, 1, false),
            (3, 0, 3, false),
            (4, 0, 4, true),
            (10, 0, 3, false),
            (10, 3, 1, true),
            (20, 0, 6, false),
            (20, 0, 7, true),
            (20, 6, 0, false),
        ] {
            let decided = census(living, died, silent).decide(true);
            assert_eq!(decided.brake.is_some(), held, "{living} {died} {silent}");
            assert_eq!(decided.die.len(), if held { 0 } else { silent });
        }
    }

    #[test]
    fn an_operator_may_let_them_all_die() {
        let released = Census {
            released: true,
            ..census(4, 0, 4)
        };
        let decided = released.decide(true);
        assert_eq!((decided.die.len(), decided.brake), (4, None));
        assert_eq!(released.decide(false).die, [], "not before it is certain");
    }

    #[test]
    fn gaps_and_jumps_are_outages() {
        let tolerance = Duration::from_secs(5);
        #[expect(clippy::disallowed_methods, reason = "some time to start from")]
        let start = (Instant::now(), DateTime::UNIX_EPOCH);
        for (ours, its, good) in [
            (1, 1, true),
            (4, 1, true),
            (1, 7, false),
            (1, -60, true),
            (5, -60, true),
            (6, 6, false),
        ] {
            let mut health = Health::default();
            assert!(
                health.is_steady(start.0, start.1, tolerance),
                "the first time"
            );
            let now = start.0 + Duration::from_secs(ours);
            let database = start.1 + chrono::TimeDelta::seconds(its);
            assert_eq!(
                health.is_steady(now, database, tolerance),
                good,
                "{ours} {its}"
            );
        }
    }

    #[test]
    fn nobody_dies_before_the_database_was_healthy_for_long() {
        let decided = census(10, 0, 2).decide(false);
        assert_eq!(decided, Decided::default());
    }
}
