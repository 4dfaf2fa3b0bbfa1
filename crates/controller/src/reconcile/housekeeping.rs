//! Removes what has been kept long enough. Idempotency keys sweep themselves, where they are used.

use std::time::Duration;

use chrono::TimeDelta;
use futures::{FutureExt, future::BoxFuture};
use sqlx::PgConnection;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    app::auth::throttle::FORGET_SECONDS,
    db::{
        audit::audit_sweep, directory::directory_sweep, event::event_sweep,
        join_token::join_token_sweep, oidc::oidc_state_sweep, revocation::revocation_sweep,
        sign_in::sign_in_sweep, sign_in_throttle::throttle_sweep, slot::move_sweep,
    },
    state::State,
};

const PERIOD: Duration = Duration::from_secs(600);
/// How long events are kept, and moves of slots.
const EVENT_DAYS: i32 = 90;
/// How long join tokens are kept that work no more.
const JOIN_TOKEN_DAYS: i32 = 1;
/// How long sign-ins are kept that have expired.
const SIGN_IN_DAYS: i32 = 1;
/// How long changes of the directory are kept.
const DIRECTORY_HOURS: i32 = 24;
/// How many rows one statement deletes, so that it never holds anything up.
const BATCH: i64 = 10_000;

/// What a turn did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) events: u64,
    pub(crate) moves: u64,
    pub(crate) join_tokens: u64,
    pub(crate) audit: u64,
    /// Sign-ins, and what was counted and remembered on the way to them.
    pub(crate) sign_ins: u64,
    /// Changes of the directory.
    pub(crate) directory: u64,
}

/// Keeps house until the controller stops.
pub(super) async fn run(state: State, stop: CancellationToken) {
    loop {
        match turn(&state).await {
            Ok(status) if status == Status::default() => {}
            Ok(status) => tracing::info!(?status, "removed what is old"),
            Err(error) => tracing::warn!(%error, "housekeeping failed; it is tried again"),
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep(PERIOD) => {}
        }
    }
}

/// One turn.
pub(crate) async fn turn(state: &State) -> sqlx::Result<Status> {
    let mut status = Status {
        events: sweep(state, |conn| event_sweep(conn, EVENT_DAYS, BATCH).boxed()).await?,
        sign_ins: sweep(state, |conn| sign_in_batch(conn).boxed()).await?,
        join_tokens: sweep(state, |conn| {
            join_token_sweep(conn, JOIN_TOKEN_DAYS).boxed()
        })
        .await?,
        directory: sweep(state, |conn| {
            directory_sweep(conn, DIRECTORY_HOURS, BATCH).boxed()
        })
        .await?,
        moves: sweep(state, |conn| move_sweep(conn, EVENT_DAYS, BATCH).boxed()).await?,
        audit: 0,
    };
    sweep(state, |conn| revocation_sweep(conn).boxed()).await?;
    if let Ok(kept) = TimeDelta::from_std(state.config.audit_retention) {
        let until = state.clock.now() - kept;
        status.audit = sweep(state, |conn| audit_sweep(conn, until, BATCH).boxed()).await?;
    }
    Ok(status)
}

async fn sign_in_batch(conn: &mut PgConnection) -> sqlx::Result<u64> {
    Ok(sign_in_sweep(conn, SIGN_IN_DAYS, BATCH).await?
        + throttle_sweep(conn, FORGET_SECONDS, BATCH).await?
        + oidc_state_sweep(conn, BATCH).await?)
}

/// Deletes batch after batch, each in a transaction, until one is not full. Returns how many rows
/// that was.
async fn sweep(
    state: &State,
    batch: impl for<'c> Fn(&'c mut PgConnection) -> BoxFuture<'c, sqlx::Result<u64>>,
) -> sqlx::Result<u64> {
    let mut all = 0;
    loop {
        let mut tx = state.pool.begin().await?;
        let swept = batch(&mut tx).await?;
        tx.commit().await?;
        all += swept;
        if swept < BATCH.unsigned_abs() {
            return Ok(all);
        }
    }
}
