//! Asks the database what has changed, once for all watches of this replica.
//!
//! A notification is only a doorbell, and one that may be lost (a proxy between us and PostgreSQL
//! does not pass it on); the period is what can be relied on.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use headworks_types::NodeId;
use sqlx::postgres::PgListener;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    app::edge::bundle_line,
    db::{
        node::{DOORBELL, revision_list},
        planner_lease::PLAN,
    },
    state::State,
};

const PERIOD: Duration = Duration::from_secs(2);
/// The same where nobody can listen.
const DEAF: Duration = Duration::from_millis(500);
/// How long the database may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// How soon after a turn the next one may come: rings in between count as one.
const PAUSE: Duration = Duration::from_millis(20);

/// What is to be announced.
pub(crate) struct Listed {
    pub(crate) revisions: HashMap<NodeId, i64>,
    /// The bundle's line.
    pub(crate) bundle: Bytes,
    /// When reading began.
    pub(crate) read_at: Instant,
}

/// Announces until the controller stops.
pub(super) async fn run(state: State, stop: CancellationToken) {
    let mut doorbell = None;
    let period = if state.pool.can_listen() {
        PERIOD
    } else {
        tracing::info!("behind a pooler there is no doorbell; edges are told within {DEAF:?}");
        DEAF
    };
    loop {
        if doorbell.is_none() {
            doorbell = in_time(state.pool.listen(DOORBELL))
                .await
                .inspect_err(
                    |error| tracing::warn!(%error, "no doorbell; edges are told within {period:?}"),
                )
                .unwrap_or_default();
        }
        let next = state.clock.monotonic() + period;
        match in_time(list(&state)).await {
            Ok(listed) => act(&state, listed),
            Err(error) => tracing::warn!(%error, "revisions cannot be read; it is tried again"),
        }
        tokio::select! {
            () = stop.cancelled() => break,
            rung = rung(&mut doorbell, next) => match rung {
                Rung::Plan => {
                    state.edges.directory.call();
                    state.wake.planner();
                }
                Rung::Yes => state.edges.directory.call(),
                Rung::No => {}
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep(PAUSE) => {}
        }
    }
}

async fn in_time<T>(asked: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    timeout(DEADLINE, asked)
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// How the bell rang.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rung {
    /// Not at all; it is time anyway.
    No,
    Yes,
    /// Also for whoever plans.
    Plan,
}

/// Returns when the bell rings or it is time anyway. Takes all rings that have come.
async fn rung(doorbell: &mut Option<PgListener>, next: Instant) -> Rung {
    let Some(bell) = doorbell else {
        sleep_until(next).await;
        return Rung::No;
    };
    let rung = tokio::time::timeout_at(next, bell.try_recv()).await;
    match rung {
        Ok(Ok(Some(first))) => {
            let mut plan = first.payload() == PLAN;
            while let Some(more) = bell.next_buffered() {
                plan |= more.payload() == PLAN;
            }
            if plan { Rung::Plan } else { Rung::Yes }
        }
        // The connection was lost: what was rung meanwhile is found by asking.
        Ok(Ok(None)) => Rung::Yes,
        Err(_) => Rung::No,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the doorbell is broken; it is connected anew");
            *doorbell = None;
            Rung::No
        }
    }
}

/// Reads the revisions of the nodes that watch here, and the bundle.
pub(crate) async fn list(state: &State) -> sqlx::Result<Listed> {
    let watched = state.edges.feeds.watched();
    let read_at = state.clock.monotonic();
    let mut conn = state.pool.acquire().await?;
    let revisions = revision_list(&mut conn, &watched).await?;
    Ok(Listed {
        revisions: revisions.into_iter().collect(),
        bundle: bundle_line(&mut conn).await?,
        read_at,
    })
}

/// Announces them.
pub(crate) fn act(state: &State, listed: Listed) {
    for (node, revision) in listed.revisions {
        state.edges.feeds.announce_revision(node, revision);
    }
    state
        .edges
        .feeds
        .announce_bundle(listed.bundle, listed.read_at);
}
