//! Declares nodes dead whose lease has run out, and takes back those that return.
//!
//! A wrong death costs more than a late one: every camera of the node is interrupted. So a death is
//! declared only by a replica that has seen a healthy database for as long as a lease lasts (within
//! which every living node must have renewed), after an outage all leases start anew, and the brake
//! holds when so many nodes are silent at once that it is more likely us or the network. An operator
//! may release it for some time.
//!
//! Each change of a node's state is an event, written once, whichever replica sees it first.
//!
//! A database that does not answer in time, one whose clock does not move as ours does, and a
//! process that was stopped for a while are all outages.

use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use headworks_types::{EventKind, NodeId};
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    db::{
        cluster_state::{brake_apply, brake_lift, outage_mark},
        event::{NewEvent, event_insert, event_insert_many},
        lease::{
            Census, OFTEN_WITHIN, Returned, lease_census, lease_extend_all, node_die, node_return,
        },
        node::{Changed, node_changed_list, node_steady, node_tell},
        planner_lease::planner_ring,
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
    /// Whether that is news.
    pub(crate) brake_changed: bool,
    /// Other changes that are to be told of.
    pub(crate) tell: Vec<Changed>,
}

/// What there is.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(crate) census: Census,
    pub(crate) changed: Vec<Changed>,
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
    let listed = timeout(tolerance, list(state, health))
        .await
        .context("the database did not answer in time")??;
    let census = &listed.census;
    let now = state.clock.monotonic();
    if !health.answered(now, census.now, tolerance) {
        bail!("the clocks say that nobody could renew a lease for a while");
    }
    let database_age = (census.now - census.database_started).to_std();
    let healthy = health.since.is_some_and(|since| now - since >= lease)
        && database_age.is_ok_and(|age| age >= lease);
    let decided = decide(listed, healthy);
    let status = timeout(tolerance, act(state, decided)).await;
    Ok(status.context("the database did not answer in time")??)
}

/// Counts the nodes; after an outage, with new leases.
pub(crate) async fn list(state: &State, health: &mut Health) -> sqlx::Result<Listed> {
    let mut conn = state.pool.acquire().await?;
    if health.outage {
        extend(&mut conn, state.config.lease_dead).await?;
        health.outage = false;
    }
    Ok(Listed {
        census: lease_census(&mut conn).await?,
        changed: node_changed_list(&mut conn, state.config.lease_suspect).await?,
    })
}

/// Gives every node a new lease, and marks it, once for all replicas.
async fn extend(conn: &mut PgConnection, lease: Duration) -> sqlx::Result<()> {
    let mut tx = conn.begin().await?;
    let extended = lease_extend_all(&mut tx, lease.as_secs_f64()).await?;
    if outage_mark(&mut tx).await? {
        let message = "the database was away; all nodes got a new lease".to_owned();
        let event = of_cluster(EventKind::ClusterLeasesExtended, message);
        event_insert(&mut tx, event).await?;
    }
    tx.commit().await?;
    tracing::info!(extended, "the database is back; all leases were extended");
    Ok(())
}

/// Decides who is dead, where `healthy` says that the database has been so for long enough. Nor is
/// anybody called suspect before that.
pub(crate) fn decide(listed: Listed, healthy: bool) -> Decided {
    let Listed {
        census,
        mut changed,
    } = listed;
    let brake = brake(&census);
    let die = if healthy && brake.is_none() {
        census.silent
    } else {
        Vec::new()
    };
    changed.retain(|change| change.now != "suspect" || (healthy && !die.contains(&change.id)));
    Decided {
        die,
        return_: census.returned,
        brake_changed: brake != census.brake,
        brake,
        tell: changed,
    }
}

/// Why nobody is declared dead, if too many are silent at once and no operator lets them die.
pub(crate) fn brake(census: &Census) -> Option<String> {
    let limit = (census.living * BRAKE_PERCENT / 100).max(BRAKE_MIN);
    let gone = census.died + census.silent.len();
    (gone > limit && !census.silent.is_empty() && !census.released).then(|| {
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
        brake: decided.brake.clone(),
        ..Status::default()
    };
    let mut tx = state.pool.begin().await?;
    let mut events: Vec<_> = node_steady(&mut tx)
        .await?
        .into_iter()
        .map(steady)
        .collect();
    if decided.brake_changed {
        events.extend(write_brake(&mut tx, decided.brake.as_deref()).await?);
    }
    if !decided.die.is_empty() || !decided.return_.is_empty() {
        let died = node_die(&mut tx, &decided.die).await?;
        let returned = node_return(&mut tx, &decided.return_).await?;
        session_sweep(&mut tx, &decided.die).await?;
        status.died = died.len();
        status.returned = returned.len();
        let words = "has not renewed its lease and is declared dead";
        let died = died.iter();
        events.extend(died.map(|node| event(node.id, &node.name, EventKind::NodeDied, words)));
        events.extend(returned.iter().flat_map(back));
        planner_ring(&mut tx).await?;
    }
    if !decided.tell.is_empty() {
        let told = node_tell(&mut tx, decided.tell).await?;
        events.extend(told.iter().map(tell));
    }
    for event in &events {
        tracing::warn!(subject = event.subject, "{}", event.message);
    }
    if !events.is_empty() {
        event_insert_many(&mut tx, events).await?;
    }
    tx.commit().await?;
    Ok(status)
}

/// Writes down how the brake is. The event, if it changed for the first of the replicas.
async fn write_brake(
    conn: &mut PgConnection,
    brake: Option<&str>,
) -> sqlx::Result<Option<NewEvent<'static>>> {
    let event = match brake {
        Some(message) => brake_apply(conn, message).await?.then(|| {
            of_cluster(
                EventKind::ClusterBrakeOn,
                format!("the brake holds: {message}"),
            )
        }),
        None => brake_lift(conn).await?.then(|| {
            let message = "the brake is off: silent nodes are declared dead again".to_owned();
            of_cluster(EventKind::ClusterBrakeOff, message)
        }),
    };
    Ok(event)
}

fn back(node: &Returned) -> Vec<NewEvent<'static>> {
    let (id, name) = (node.id, &node.name);
    let mut events = vec![event(
        id,
        name,
        EventKind::NodeReturned,
        "renews its lease again",
    )];
    if let Some(seconds) = node.unsteady {
        let words = format!(
            "died {} times within {} min: it takes no new work for {seconds} s",
            node.deaths,
            OFTEN_WITHIN / 60.0
        );
        events.push(event(id, name, EventKind::NodeUnsteady, &words));
    }
    events
}

fn steady((id, name): (NodeId, String)) -> NewEvent<'static> {
    event(id, &name, EventKind::NodeSteady, "takes new work again")
}

fn tell(change: &Changed) -> NewEvent<'static> {
    let (kind, words) = match change.now.as_str() {
        "suspect" => (EventKind::NodeSuspect, "has missed renewals of its lease"),
        "stopped" => (EventKind::NodeStopped, "said goodbye"),
        _ if change.told.is_none() => (EventKind::NodeReady, "has come"),
        _ => (EventKind::NodeReady, "renews its lease again"),
    };
    event(change.id, &change.name, kind, words)
}

fn event(id: NodeId, name: &str, kind: EventKind, what: &str) -> NewEvent<'static> {
    NewEvent {
        project_id: None,
        kind,
        subject: id.to_string(),
        actor: "controller",
        message: format!("{name} {what}"),
    }
}

fn of_cluster(kind: EventKind, message: String) -> NewEvent<'static> {
    NewEvent {
        project_id: None,
        kind,
        subject: "cluster".to_owned(),
        actor: "controller",
        message,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn listed(living: usize, died: usize, silent: usize) -> Listed {
        let census = Census {
            living,
            died,
            silent: (0..silent)
                .map(|n| NodeId::from(Uuid::from_u128(n as u128)))
                .collect(),
            ..Census::default()
        };
        Listed {
            census,
            changed: Vec::new(),
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
            let decided = decide(listed(living, died, silent), true);
            assert_eq!(decided.brake.is_some(), held, "{living} {died} {silent}");
            assert_eq!(decided.die.len(), if held { 0 } else { silent });
        }
    }

    #[test]
    fn an_operator_may_let_them_all_die() {
        let mut silent = listed(4, 0, 4);
        silent.census.brake = Some("it held".to_owned());
        silent.census.released = true;
        let decided = decide(silent, true);
        assert_eq!((decided.die.len(), decided.brake), (4, None));
        assert!(decided.brake_changed, "it is noted that it does not hold");
    }

    #[test]
    fn nobody_is_called_suspect_who_dies_or_whom_we_could_not_hear() {
        let change = |n: u128, now: &str| Changed {
            id: Uuid::from_u128(n).into(),
            name: String::new(),
            told: Some("ready".to_owned()),
            now: now.to_owned(),
        };
        let told = |healthy| {
            let mut listed = listed(10, 0, 1);
            listed.changed = vec![
                change(0, "suspect"),
                change(1, "suspect"),
                change(2, "ready"),
            ];
            let tell = decide(listed, healthy).tell;
            tell.into_iter()
                .map(|change| change.id.uuid().as_u128())
                .collect::<Vec<_>>()
        };
        assert_eq!(told(true), [1, 2]);
        assert_eq!(told(false), [2]);
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
        let decided = decide(listed(10, 0, 2), false);
        assert_eq!(decided, Decided::default());
    }
}
