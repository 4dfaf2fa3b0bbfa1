//! Sessions: who watches, and who is to stop.

use headworks_types::{
    Action, EventKind, NodeId, Session, SessionId, User, UserId,
    edge::{SessionReceipt, SessionReport},
};

use super::{Begun, Caller, Error, Once, Result, revocation};
use crate::{
    db::{
        event::{NewEvent, event_insert},
        session::{SessionSight, session_get, session_report as report_insert},
        user::user_get,
    },
    state::State,
};

/// The sessions that the caller may see; refuses if it cannot be any.
pub(crate) fn session_sight(caller: &Caller) -> Result<SessionSight> {
    let sight = SessionSight {
        cameras: caller.sight_of_managed().ok(),
        users: caller.reach(Action::UserManage).ok(),
    };
    if sight.cameras.is_none() && sight.users.is_none() {
        return Err(Error::Forbidden(
            "this key has camera.manage on no camera and user.manage on no project".to_owned(),
        ));
    }
    Ok(sight)
}

/// Ends a session: its viewer is thrown out. While its token has not expired it may open another one;
/// by HLS, which has no connection that would tell viewers apart, it does not.
pub(crate) async fn session_end(
    state: &State,
    caller: &Caller,
    once: Once,
    id: SessionId,
) -> Result<Session> {
    let sight = session_sight(caller)?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(session) => return Ok(session),
    };
    let conn = write.conn();
    let session = session_get(conn, &sight, id)
        .await?
        .ok_or_else(|| Error::not_found(id))?;
    revocation::end_session(conn, id).await?;
    let event = NewEvent {
        project_id: Some(session.project_id),
        kind: EventKind::SessionEnded,
        subject: id.to_string(),
        actor: &caller.identity.to_string(),
        message: format!("{} watches {} no more", session.subject, session.camera_id),
    };
    event_insert(conn, event).await?;
    write.commit(&session).await?;
    Ok(session)
}

/// Ends all sessions of a user, and makes its tokens worthless.
pub(crate) async fn user_revoke_sessions(
    state: &State,
    caller: &Caller,
    once: Once,
    id: UserId,
) -> Result<User> {
    let reach = caller.reach(Action::UserManage)?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(user) => return Ok(user),
    };
    let conn = write.conn();
    let user = user_get(conn, &reach, id)
        .await?
        .ok_or_else(|| Error::not_found(id))?
        .thing;
    revocation::end_subject(conn, id.into()).await?;
    let event = NewEvent {
        project_id: Some(user.project_id),
        kind: EventKind::UserSessionsRevoked,
        subject: id.to_string(),
        actor: &caller.identity.to_string(),
        message: format!("all sessions of user `{}` were ended", user.name),
    };
    event_insert(conn, event).await?;
    write.commit(&user).await?;
    Ok(user)
}

/// Takes what an edge reports of its viewers.
pub(crate) async fn session_report(
    state: &State,
    node: NodeId,
    report: &SessionReport,
) -> Result<SessionReceipt> {
    let mut tx = state.pool.begin().await?;
    let taken = report_insert(&mut tx, node, report).await?;
    tx.commit().await?;
    if taken && !report.opened.is_empty() {
        let opened = report.opened.iter().map(|opened| opened.id);
        state.wake.sessions_opened(opened);
    }
    Ok(SessionReceipt { taken })
}
