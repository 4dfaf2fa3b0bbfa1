//! Declares nodes dead whose lease has run out, and takes back those that return.
//!
//! `headworks_duty` decides who is dead, and how carefully.
//!
//! A database that does not answer in time, one whose clock does not move as ours does, and a
//! process that was stopped for a while are all outages.

use std::time::Duration;

use anyhow::Context as _;
use headworks_duty::{Census, Decided, Health};
use headworks_types::EventKind;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    db::{
        event::{NewEvent, event_insert_many},
        lease::{Changed, lease_census, lease_extend_all, node_die, node_return},
        session::session_sweep,
    },
    state::State,
};

const MAX_PERIOD: Duration = Duration::from_secs(1);

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
    let healthy = health.answered(now.into_std(), &census, lease)?;
    let decided = census.decide(healthy);
    let status = timeout(tolerance, act(state, decided)).await;
    Ok(status.context("the database did not answer in time")??)
}

/// Counts the nodes; after an outage, with new leases.
pub(crate) async fn list(state: &State, health: &mut Health) -> sqlx::Result<Census> {
    let mut conn = state.pool.acquire().await?;
    if health.was_lost() {
        let lease = state.config.lease_dead.as_secs_f64();
        let extended = lease_extend_all(&mut conn, lease).await?;
        health.extended();
        tracing::info!(extended, "the database is back; all leases were extended");
    }
    lease_census(&mut conn).await
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
