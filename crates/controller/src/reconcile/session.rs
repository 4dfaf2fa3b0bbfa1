//! Ends the sessions of those who may not watch any more, and the newest of those who watch too
//! much at once.
//!
//! Rights are judged for all sessions at once, whenever somebody comes to watch or rights change,
//! and each second in any case: time windows close by themselves, and what was changed through
//! another replica wakes nobody here. Only one replica looks in each second. A session that is to
//! end is revoked, and told to its edge like every revocation; its subject's tokens open nothing
//! any more either, since what they say is no longer so. Nor do those of whom time has taken
//! something from since the last look, whether they watch or not.

use std::{collections::HashSet, time::Duration};

use headworks_types::{Action, edge::RevocationKind};
use sqlx::PgConnection;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{
        access::{self, Question},
        revocation,
    },
    db::{
        revocation::{NewRevocation, revocation_insert},
        session::{Live, Refused, session_list_live, session_list_over_limit, session_review},
        subject::subject_list_of_time,
    },
    state::State,
};

const PERIOD: Duration = Duration::from_secs(1);
/// How long the database may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// How soon after a turn the next one may come: calls in between count as one.
const PAUSE: Duration = Duration::from_millis(100);
/// How many questions are answered at once.
const QUESTIONS: usize = 5000;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Sessions of those who may not watch any more.
    pub(crate) unallowed: Vec<Refused>,
    /// Sessions beyond what a token or user may have at once.
    pub(crate) over_limit: Vec<Refused>,
}

/// What a turn did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) unallowed: usize,
    pub(crate) over_limit: usize,
}

/// Looks until the controller stops.
pub(super) async fn run(state: State, stop: CancellationToken) {
    let mut called = true;
    loop {
        match timeout(DEADLINE, turn(&state, called)).await {
            Ok(Ok(status)) if status != Status::default() => {
                let Status {
                    unallowed,
                    over_limit,
                } = status;
                tracing::info!(unallowed, over_limit, "sessions are ended");
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "sessions cannot be judged; it is tried again");
            }
            Err(_) => tracing::warn!("sessions cannot be judged in time; it is tried again"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(PAUSE) => {}
        }
        called = tokio::select! {
            () = stop.cancelled() => return,
            () = state.wake.sessions_called() => true,
            () = sleep(PERIOD - PAUSE) => false,
        };
    }
}

/// One turn. If nobody has called, only if nobody else looks.
pub(crate) async fn turn(state: &State, called: bool) -> sqlx::Result<Status> {
    if !look_back(state).await? && !called {
        return Ok(Status::default());
    }
    let listed = list(state).await?;
    act(state, listed).await
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

/// Finds the sessions that may not go on.
pub(crate) async fn list(state: &State) -> sqlx::Result<Listed> {
    let mut conn = state.pool.acquire().await?;
    let live = session_list_live(&mut conn).await?;
    Ok(Listed {
        unallowed: judge(&mut conn, live).await?,
        over_limit: session_list_over_limit(&mut conn).await?,
    })
}

/// Those who may not watch the camera any more, from where they watch it.
async fn judge(conn: &mut PgConnection, live: Vec<Live>) -> sqlx::Result<Vec<Refused>> {
    let questions: HashSet<_> = live.iter().flat_map(questions_of).collect();
    let questions: Vec<_> = questions.into_iter().collect();
    let mut allowed = HashSet::new();
    for questions in questions.chunks(QUESTIONS) {
        let answers = access::allowed(conn, questions, None).await?;
        let answers = questions.iter().copied().zip(answers);
        allowed.extend(answers.filter_map(|(question, is_allowed)| is_allowed.then_some(question)));
    }
    let may_go_on = |live: &Live| match live.principal {
        Some(_) => questions_of(live).all(|question| allowed.contains(&question)),
        None => live.within_bounds,
    };
    let refused = live.into_iter().filter(|live| !may_go_on(live));
    Ok(refused.map(|live| live.refused).collect())
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

/// Revokes them.
pub(crate) async fn act(state: &State, listed: Listed) -> sqlx::Result<Status> {
    let all = listed.unallowed.iter().chain(&listed.over_limit);
    let ids: Vec<_> = all.map(|refused| refused.id.to_string()).collect();
    let mut new: Vec<_> = ids
        .iter()
        .map(|id| NewRevocation {
            kind: RevocationKind::Session,
            value: id,
            project: None,
            ends_sessions: true,
        })
        .collect();
    new.extend(listed.unallowed.iter().map(|refused| NewRevocation {
        kind: RevocationKind::Subject,
        value: &refused.subject,
        project: None,
        ends_sessions: false,
    }));
    if !new.is_empty() {
        let mut tx = state.pool.begin().await?;
        revocation_insert(&mut tx, &new).await?;
        tx.commit().await?;
    }
    Ok(Status {
        unallowed: listed.unallowed.len(),
        over_limit: listed.over_limit.len(),
    })
}
