//! Removes what has been kept long enough. Idempotency keys sweep themselves, where they are used.

use std::time::Duration;

use chrono::TimeDelta;
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
    let mut conn = state.pool.acquire().await?;
    let mut events = 0;
    loop {
        let swept = event_sweep(&mut conn, EVENT_DAYS, BATCH).await?;
        events += swept;
        if swept < BATCH.unsigned_abs() {
            break;
        }
    }
    let mut moves = 0;
    loop {
        let swept = move_sweep(&mut conn, EVENT_DAYS, BATCH).await?;
        moves += swept;
        if swept < BATCH.unsigned_abs() {
            break;
        }
    }
    revocation_sweep(&mut conn).await?;
    let mut sign_ins = 0;
    loop {
        let swept = sign_in_sweep(&mut conn, SIGN_IN_DAYS, BATCH).await?
            + throttle_sweep(&mut conn, FORGET_SECONDS, BATCH).await?
            + oidc_state_sweep(&mut conn, BATCH).await?;
        sign_ins += swept;
        if swept < BATCH.unsigned_abs() {
            break;
        }
    }
    let mut audit = 0;
    if let Ok(kept) = TimeDelta::from_std(state.config.audit_retention) {
        let until = state.clock.now() - kept;
        loop {
            let swept = audit_sweep(&mut conn, until, BATCH).await?;
            audit += swept;
            if swept < BATCH.unsigned_abs() {
                break;
            }
        }
    }
    let mut directory = 0;
    loop {
        let swept = directory_sweep(&mut conn, DIRECTORY_HOURS, BATCH).await?;
        directory += swept;
        if swept < BATCH.unsigned_abs() {
            break;
        }
    }
    Ok(Status {
        events,
        moves,
        directory,
        audit,
        join_tokens: join_token_sweep(&mut conn, JOIN_TOKEN_DAYS).await?,
        sign_ins,
    })
}
