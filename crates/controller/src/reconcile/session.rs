//! Ends the sessions of those who may not watch any more, and the newest of those who watch too
//! much at once.
//!
//! All sessions are judged whenever rights change, and each second in any case: time windows close
//! by themselves, and what was changed through another replica wakes nobody here. Of replicas that
//! nobody has called only one looks in each second. Who has just come is judged at once, and alone.
//!
//! Sessions are judged page by page, and those of a page are ended before the next is read. So it
//! takes a page's time, not that of all, until something happens; and where a page cannot be judged,
//! the others still are. At least as long as it has judged, a replica then rests.
//!
//! A session that is to end is revoked, and told to its edge like every revocation. A user's tokens
//! open nothing any more either, since what they say is no longer so. Of a key, API's or customer's,
//! only the session's own token does not: the same key stands for all viewers of a customer. Nor do
//! the tokens of those of whom time has taken something since the last look, whether they watch or
//! not.

use std::{collections::HashSet, time::Duration};

use headworks_types::{Action, UserId, edge::RevocationKind};
use sqlx::PgConnection;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{
        access::{self, Question},
        revocation,
    },
    db::{
        revocation::{NewRevocation, revocation_insert},
        session::{
            Judged, Live, Refused, session_list_live, session_list_over_limit, session_review,
        },
        subject::subject_list_of_time,
    },
    state::{State, ToJudge},
};

const PERIOD: Duration = Duration::from_secs(1);
/// How long the database may take for one page.
const DEADLINE: Duration = Duration::from_secs(5);
/// How soon after a turn the next one may come: calls in between count as one.
const PAUSE: Duration = Duration::from_millis(100);
/// How many sessions are judged at once.
const PAGE: i64 = 2000;

/// Why sessions are ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// Who may not watch any more.
    Unallowed,
    /// Beyond what a token or user may have at once.
    OverLimit,
}

/// What a turn did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) unallowed: usize,
    pub(crate) over_limit: usize,
    /// Pages that could not be judged.
    pub(crate) failed: usize,
}

/// Looks until the controller stops.
pub(super) async fn run(state: State, stop: CancellationToken) {
    let mut called = ToJudge {
        all: true,
        ..ToJudge::default()
    };
    loop {
        let began = state.clock.monotonic();
        match turn(&state, &called, PAGE).await {
            Ok(status) if status != Status::default() => {
                tracing::info!(?status, "sessions were judged");
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "sessions cannot be judged; it is tried again");
            }
        }
        let taken = state.clock.monotonic() - began;
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(taken.max(PAUSE)) => {}
        }
        called = tokio::select! {
            () = stop.cancelled() => return,
            called = state.wake.sessions_called() => called,
            () = sleep_until(began + PERIOD) => ToJudge::default(),
        };
    }
}

/// One turn, in pages of so many. If nobody has called, only if nobody else looks.
pub(crate) async fn turn(state: &State, called: &ToJudge, page: i64) -> sqlx::Result<Status> {
    let mut status = Status::default();
    if !called.opened.is_empty() && !called.all {
        let opened = list(state, Judged::These(&called.opened));
        status.unallowed = end_unallowed(state, in_time(opened).await?).await?;
    }
    if in_time(look_back(state)).await? || called.all {
        review(state, page, &mut status).await?;
    }
    Ok(status)
}

/// Takes back what time has ended since the last look. False if that was just now.
async fn look_back(state: &State) -> sqlx::Result<bool> {
    let mut tx = state.pool.begin().await?;
    let share = PERIOD.mul_f64(0.9).as_secs_f64();
    let Some(period) = session_review(&mut tx, share).await? else {
        return Ok(false);
    };
    let subjects = subject_list_of_time(&mut tx, period).await?;
    revocation::narrow_subjects(&mut tx, &subjects).await?;
    tx.commit().await?;
    Ok(true)
}

/// Judges all sessions.
async fn review(state: &State, page: i64, status: &mut Status) -> sqlx::Result<()> {
    let mut after = None;
    loop {
        let live = in_time(list(state, Judged::Page(after, page))).await?;
        let Some(last) = live.last() else { break };
        after = Some(last.refused.id);
        match end_unallowed(state, live).await {
            Ok(ended) => status.unallowed += ended,
            Err(error) => {
                tracing::error!(%error, "a page of sessions cannot be judged");
                status.failed += 1;
            }
        }
    }
    let over_limit = in_time(list_over_limit(state)).await?;
    status.over_limit = in_time(act(state, over_limit, Why::OverLimit)).await?;
    Ok(())
}

async fn end_unallowed(state: &State, live: Vec<Live>) -> sqlx::Result<usize> {
    let unallowed = in_time(decide(state, live)).await?;
    in_time(act(state, unallowed, Why::Unallowed)).await
}

async fn in_time<T>(asked: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    timeout(DEADLINE, asked)
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// The sessions to judge.
async fn list(state: &State, judged: Judged<'_>) -> sqlx::Result<Vec<Live>> {
    let mut conn = state.pool.acquire().await?;
    session_list_live(&mut conn, judged).await
}

async fn list_over_limit(state: &State) -> sqlx::Result<Vec<Refused>> {
    session_list_over_limit(&mut *state.pool.acquire().await?).await
}

/// Those who may not watch the camera any more, from where they watch it.
pub(crate) async fn decide(state: &State, live: Vec<Live>) -> sqlx::Result<Vec<Refused>> {
    let mut conn = state.pool.acquire().await?;
    let allowed = allowed(&mut conn, &live).await?;
    let is_allowed = |live: &Live| match live.principal {
        Some(_) => questions_of(live).all(|question| allowed.contains(&question)),
        None => live.within_bounds,
    };
    let may_go_on = |live: &Live| live.issuer_works && is_allowed(live);
    let refused = live.into_iter().filter(|live| !may_go_on(live));
    Ok(refused.map(|live| live.refused).collect())
}

/// Those questions of the sessions to which the answer is yes.
async fn allowed(conn: &mut PgConnection, live: &[Live]) -> sqlx::Result<HashSet<Question>> {
    let questions: HashSet<_> = live.iter().flat_map(questions_of).collect();
    let questions: Vec<_> = questions.into_iter().collect();
    let answers = access::allowed(conn, &questions, None).await?;
    let answers = questions.into_iter().zip(answers);
    Ok(answers
        .filter_map(|(question, is_allowed)| is_allowed.then_some(question))
        .collect())
}

/// What has to be allowed for the session to go on; nothing of a customer's key, which has its
/// bounds.
fn questions_of(live: &Live) -> impl Iterator<Item = Question> {
    let sound = live.sound.then_some(Action::CameraViewAudio);
    let actions = [Action::CameraViewLive].into_iter().chain(sound);
    let question = |principal, action| Question {
        principal,
        camera: live.camera,
        action,
        address: live.address,
    };
    let asked = |principal| actions.map(move |action| question(principal, action));
    live.principal.map(asked).into_iter().flatten()
}

fn is_user(refused: &Refused) -> bool {
    refused.subject.starts_with(UserId::PREFIX)
}

/// Revokes them; says how many.
pub(crate) async fn act(state: &State, refused: Vec<Refused>, why: Why) -> sqlx::Result<usize> {
    let ids: Vec<_> = refused.iter().map(|one| one.id.to_string()).collect();
    let mut new: Vec<_> = ids
        .iter()
        .map(|id| NewRevocation {
            kind: RevocationKind::Session,
            value: id,
            project: None,
            ends_sessions: true,
        })
        .collect();
    if why == Why::Unallowed {
        new.extend(refused.iter().filter_map(of_token));
    }
    if !new.is_empty() {
        let mut tx = state.pool.begin().await?;
        revocation_insert(&mut tx, &new).await?;
        tx.commit().await?;
    }
    Ok(refused.len())
}

/// What its viewer may have in hand opens nothing any more.
fn of_token(refused: &Refused) -> Option<NewRevocation<'_>> {
    let (kind, value, project) = if is_user(refused) {
        (RevocationKind::Subject, &refused.subject, None)
    } else {
        let token = refused.token.as_ref()?;
        (RevocationKind::Token, token, Some(refused.project))
    };
    Some(NewRevocation {
        kind,
        value,
        project,
        ends_sessions: false,
    })
}

#[cfg(test)]
mod tests;
