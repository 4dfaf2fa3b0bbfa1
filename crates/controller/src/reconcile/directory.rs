//! Reads what has changed of the directory, once for all watches of this replica.
//!
//! It wakes when the feed's doorbell rings and every two seconds. While there is always something
//! new it takes its time, up to a second, so that edges are told of many changes together.

#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::{
    task::spawn_blocking,
    time::{sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::edge::SLACK,
    db::directory::{Changes, Horizon, directory_changes, directory_list, horizon_get},
    state::State,
};

const PERIOD: Duration = Duration::from_secs(2);
/// How long the database may take to answer.
const DEADLINE: Duration = Duration::from_secs(30);
/// How soon after a turn the next one may come: twice as late after each that has found something.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What was read.
pub(crate) struct Listed {
    pub(crate) horizon: Horizon,
    /// True if it is everything.
    pub(crate) whole: bool,
    pub(crate) changes: Changes,
}

/// Reads until the controller stops.
pub(super) async fn run(state: State, stop: CancellationToken) {
    let mut pause = FIRST_PAUSE;
    loop {
        let next = state.clock.monotonic() + PERIOD;
        let turn = timeout(DEADLINE, turn(&state)).await;
        match turn.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
            Ok(true) => pause = (pause * 2).min(LONGEST_PAUSE),
            Ok(false) => pause = FIRST_PAUSE,
            Err(error) => {
                tracing::warn!(%error, "the directory cannot be read; it is tried again");
                pause = LONGEST_PAUSE;
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep(pause) => {}
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = state.edges.directory.called() => {}
            () = sleep_until(next) => {}
        }
    }
}

/// One turn; true if there was something new.
pub(crate) async fn turn(state: &State) -> sqlx::Result<bool> {
    let feed = state.edges.directory.clone();
    let reading = feed.begin();
    let listed = list(state, reading.known).await?;
    let taken = spawn_blocking(move || {
        let Listed {
            horizon,
            whole,
            changes,
        } = listed;
        feed.take(&reading, horizon, whole, changes)
    });
    taken.await.map_err(|_| sqlx::Error::WorkerCrashed)
}

/// Reads what has changed since `known`, or everything: at first, after so long that changes are
/// forgotten, and when the database is not what it was.
pub(crate) async fn list(state: &State, known: Option<Horizon>) -> sqlx::Result<Listed> {
    let mut tx = state.pool.snapshot().await?;
    let horizon = horizon_get(&mut tx).await?;
    let since = known.filter(|known| horizon.reaches(known.line, known.xact));
    let changes = match since {
        Some(known) => directory_changes(&mut tx, known.xact.saturating_sub(SLACK)).await?,
        None => directory_list(&mut tx).await?,
    };
    tx.commit().await?;
    Ok(Listed {
        horizon,
        whole: since.is_none(),
        changes,
    })
}
