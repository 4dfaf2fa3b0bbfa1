//! Declares nodes dead whose lease has run out, takes back those that return, and tells of both.
//!
//! `headworks_duty` decides who is dead, and how carefully. An operator may release its brake for some
//! time. Each change of a node's state is an event, written once, whichever replica sees it first.
//!
//! A database that does not answer in time, one whose clock does not move as ours does, and a
//! process that was stopped for a while are all outages.

use std::time::Duration;

use anyhow::Context as _;
use headworks_duty::{Census, Decided, Health};
use headworks_types::{EventKind, NodeId};
use sqlx::PgConnection;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    db::{
        cluster_state::{brake_apply, brake_get, brake_lift, outage_mark},
        era::era_begin,
        event::{NewEvent, event_insert, event_insert_many},
        lease::{OFTEN_WITHIN, Returned, lease_census, lease_extend_all, node_die, node_return},
        node::{Changed, node_changed_list, node_steady, node_tell},
        planner_lease::planner_ring,
        session::session_sweep,
    },
    state::State,
};

const MAX_PERIOD: Duration = Duration::from_secs(1);

/// What there is.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) census: Census,
    /// Why the brake holds, as it is written down.
    brake: Option<String>,
    /// Nodes in another state than was told.
    changed: Vec<Changed>,
}

/// What to write.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    lives: Decided,
    /// Whether what holds the brake is news.
    brake_changed: bool,
    /// Other changes that are to be told of.
    tell: Vec<Changed>,
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
    let now = state.clock.monotonic();
    let healthy = health.answered(now.into_std(), &listed.census, lease)?;
    let status = timeout(tolerance, act(state, decide(listed, healthy))).await;
    Ok(status.context("the database did not answer in time")??)
}

/// Counts the nodes; after an outage, with new leases. Looks whether the database is another one.
pub(crate) async fn list(state: &State, health: &mut Health) -> sqlx::Result<Listed> {
    let mut tx = state.pool.begin().await?;
    if era_begin(&mut tx).await? {
        tracing::warn!(
            "the database is a new one, which may have lost commits: all edges are told anew, and \
             pushes wait until every one from before has stopped"
        );
    }
    tx.commit().await?;
    if health.was_lost() {
        extend(state).await?;
        health.extended();
    }
    let mut conn = state.pool.acquire().await?;
    Ok(Listed {
        census: lease_census(&mut conn).await?,
        brake: brake_get(&mut conn).await?,
        changed: node_changed_list(&mut conn, state.config.lease_suspect).await?,
    })
}

/// Gives every node a new lease, and marks it, once for all replicas.
async fn extend(state: &State) -> sqlx::Result<()> {
    let mut tx = state.pool.begin().await?;
    let lease = state.config.lease_dead.as_secs_f64();
    let extended = lease_extend_all(&mut tx, lease).await?;
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
pub(crate) fn decide(listed: Listed, healthy: bool) -> Wanted {
    let lives = listed.census.decide(healthy);
    let mut tell = listed.changed;
    tell.retain(|change| change.now != "suspect" || (healthy && !lives.die.contains(&change.id)));
    Wanted {
        brake_changed: lives.brake != listed.brake,
        lives,
        tell,
    }
}

/// Writes it.
pub(crate) async fn act(state: &State, wanted: Wanted) -> sqlx::Result<Status> {
    let decided = wanted.lives;
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
    if wanted.brake_changed {
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
    if !wanted.tell.is_empty() {
        let told = node_tell(&mut tx, wanted.tell).await?;
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

    fn told(healthy: bool) -> Vec<u128> {
        let id = |n: u128| NodeId::from(Uuid::from_u128(n));
        let change = |n, now: &str| Changed {
            id: id(n),
            name: String::new(),
            told: Some("ready".to_owned()),
            now: now.to_owned(),
        };
        let listed = Listed {
            census: Census {
                living: 10,
                silent: vec![id(0)],
                ..Census::default()
            },
            brake: None,
            changed: vec![
                change(0, "suspect"),
                change(1, "suspect"),
                change(2, "ready"),
            ],
        };
        let tell = decide(listed, healthy).tell.into_iter();
        tell.map(|change| change.id.uuid().as_u128()).collect()
    }

    #[test]
    fn nobody_is_called_suspect_who_dies_or_whom_we_could_not_hear() {
        assert_eq!(told(true), [1, 2]);
        assert_eq!(told(false), [2]);
    }
}
