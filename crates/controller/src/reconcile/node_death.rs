//! Declares nodes dead whose lease has run out, and takes back those that return.
//!
//! A wrong death costs more than a late one: every camera of the node is interrupted. So a death is
//! declared only by a replica that has seen a healthy database for as long as a lease lasts (within
//! which every living node must have renewed), after an outage all leases start anew, and the brake
//! holds when so many nodes are silent at once that it is more likely us or the network.
//!
//! A database that does not answer in time, one whose clock does not move as ours does, and a
//! process that was stopped for a while are all outages.

use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use headworks_types::{EventKind, NodeId};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    db::{
        event::{NewEvent, event_insert_many},
        lease::{Census, Changed, lease_census, lease_extend_all, node_die, node_return},
        session::session_sweep,
    },
    state::State,
};

const MAX_PERIOD: Duration = Duration::from_secs(1);
/// The brake lets so many nodes die within a minute in any case, and this share of a larger fleet.
const BRAKE_MIN: usize = 3;
const BRAKE_PERCENT: usize = 30;

/// Since when the database answers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Health {
    since: Option<Instant>,
    /// When it answered last, by our clock and by its own.
    last: Option<(Instant, DateTime<Utc>)>,
    /// True from an outage until the leases have been extended.
    outage: bool,
}

impl Health {
    /// There was an outage.
    pub(crate) fn lost() -> Self {
        Self {
            outage: true,
            ..Self::default()
        }
    }

    /// The database has answered; false if something was wrong since it did so before, by more
    /// than `tolerance`.
    fn answered(&mut self, now: Instant, database: DateTime<Utc>, tolerance: Duration) -> bool {
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
pub(crate) struct Decided {
    pub(crate) die: Vec<NodeId>,
    pub(crate) return_: Vec<NodeId>,
    /// Why nobody is declared dead although nodes are silent.
    pub(crate) brake: Option<String>,
}

/// What a turn did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) died: usize,
    pub(crate) returned: usize,
    pub(crate) brake: Option<String>,
}

/// Looks after the nodes until the controller stops.
pub(super) async fn run(state: State, stop: CancellationToken) {
    let period = (state.config.lease_renew / 4).min(MAX_PERIOD);
    let mut health = Health::default();
    let mut brake = None;
    loop {
        match turn(&state, &mut health).await {
            Ok(status) => {
                if status.died + status.returned > 0 {
                    state.wake.planner();
                }
                report_brake(&brake, &status.brake);
                brake = status.brake;
            }
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "nodes cannot be looked after; it is tried again"
                );
                health = Health::lost();
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep(period) => {}
        }
    }
}

fn report_brake(before: &Option<String>, now: &Option<String>) {
    match (before, now) {
        (None, Some(brake)) => tracing::error!(brake, "no node is declared dead"),
        (Some(_), None) => tracing::info!("the brake is off: nodes are declared dead again"),
        _ => {}
    }
}

/// One turn: list, decide, act. An error means that the database is not healthy.
pub(crate) async fn turn(state: &State, health: &mut Health) -> anyhow::Result<Status> {
    let lease = state.config.lease_dead;
    let tolerance = lease / 2;
    let census = timeout(tolerance, list(state, health))
        .await
        .context("the database did not answer in time")??;
    let now = state.clock.monotonic();
    if !health.answered(now, census.now, tolerance) {
        bail!("the clocks say that nobody could renew a lease for a while");
    }
    let database_age = (census.now - census.database_started).to_std();
    let healthy = health.since.is_some_and(|since| now - since >= lease)
        && database_age.is_ok_and(|age| age >= lease);
    let decided = decide(&census, healthy);
    let status = timeout(tolerance, act(state, decided)).await;
    Ok(status.context("the database did not answer in time")??)
}

/// Counts the nodes; after an outage, with new leases.
pub(crate) async fn list(state: &State, health: &mut Health) -> sqlx::Result<Census> {
    if health.outage {
        let lease = state.config.lease_dead.as_secs_f64();
        let mut tx = state.pool.begin().await?;
        let extended = lease_extend_all(&mut tx, lease).await?;
        tx.commit().await?;
        health.outage = false;
        tracing::info!(extended, "the database is back; all leases were extended");
    }
    lease_census(&mut *state.pool.acquire().await?).await
}

/// Decides who is dead, where `healthy` says that the database has been so for long enough.
pub(crate) fn decide(census: &Census, healthy: bool) -> Decided {
    let brake = brake(census);
    let die = if healthy && brake.is_none() {
        census.silent.clone()
    } else {
        Vec::new()
    };
    Decided {
        die,
        return_: census.returned.clone(),
        brake,
    }
}

/// Why nobody is declared dead, if too many are silent at once.
pub(crate) fn brake(census: &Census) -> Option<String> {
    let limit = (census.living * BRAKE_PERCENT / 100).max(BRAKE_MIN);
    let gone = census.died + census.silent.len();
    (gone > limit && !census.silent.is_empty()).then(|| {
        format!(
            "not declared dead, because {gone} of {} nodes went silent within a minute and at most \
             {limit} may be declared dead in that time",
            census.living
        )
    })
}

/// Writes it.
pub(crate) async fn act(state: &State, decided: Decided) -> sqlx::Result<Status> {
    let mut status = Status {
        brake: decided.brake,
        ..Status::default()
    };
    if decided.die.is_empty() && decided.return_.is_empty() {
        return Ok(status);
    }
    let mut tx = state.pool.begin().await?;
    let died = node_die(&mut tx, &decided.die).await?;
    let returned = node_return(&mut tx, &decided.return_).await?;
    session_sweep(&mut tx, &decided.die).await?;
    status.died = died.len();
    status.returned = returned.len();
    let died = died.iter().map(|node| {
        event(
            node,
            EventKind::NodeDied,
            "has not renewed its lease and is declared dead",
        )
    });
    let returned = returned
        .iter()
        .map(|node| event(node, EventKind::NodeReturned, "renews its lease again"));
    let events: Vec<_> = died.chain(returned).collect();
    for event in &events {
        tracing::warn!(node.id = event.subject, "{}", event.message);
    }
    event_insert_many(&mut tx, events).await?;
    tx.commit().await?;
    Ok(status)
}

fn event(node: &Changed, kind: EventKind, what: &str) -> NewEvent<'static> {
    NewEvent {
        project_id: None,
        kind,
        subject: node.id.to_string(),
        actor: "controller",
        message: format!("{} {what}", node.name),
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
            let decided = decide(&census(living, died, silent), true);
            assert_eq!(decided.brake.is_some(), held, "{living} {died} {silent}");
            assert_eq!(decided.die.len(), if held { 0 } else { silent });
        }
    }

    #[test]
    fn gaps_and_jumps_are_outages() {
        let tolerance = Duration::from_secs(5);
        let clock = headworks_bootstrap::Clock::manual(DateTime::UNIX_EPOCH);
        let start = (clock.monotonic(), DateTime::UNIX_EPOCH);
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
                health.answered(start.0, start.1, tolerance),
                "the first time"
            );
            let now = start.0 + Duration::from_secs(ours);
            let database = start.1 + chrono::TimeDelta::seconds(its);
            assert_eq!(
                health.answered(now, database, tolerance),
                good,
                "{ours} {its}"
            );
        }
    }

    #[test]
    fn nobody_dies_before_the_database_was_healthy_for_long() {
        let decided = decide(&census(10, 0, 2), false);
        assert_eq!(decided, Decided::default());
    }
}
