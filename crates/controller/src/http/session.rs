//! `/v1/sessions`: who watches.

use axum::Json;
use headworks_types::{CameraId, NodeId, Page, PageQuery, Session, SessionId, User, UserId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    error::Result,
    extract::{Nothing, Path, Post, Query},
    page::Cursor,
};
use crate::{
    app::{self, Caller, Error, session::session_sight},
    db::{
        self,
        session::{SessionFilter, session_get},
    },
    state::State,
};

/// What a list of sessions takes.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SessionListQuery {
    /// How many items a page has, 1 to 1000. Default 50.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
    /// Only who watches this camera.
    camera: Option<CameraId>,
    /// Only what this user watches.
    user: Option<UserId>,
    /// Only who watches on this node.
    node: Option<NodeId>,
}

/// List sessions
///
/// Who watches now, over the whole cluster: viewers of the cameras on which the caller has
/// `camera.manage`, and what those users watch on whose project it has `user.manage`. It is a
/// second or two old.
#[utoipa::path(
    get, path = "/v1/sessions", operation_id = "session_list", tag = "session",
    params(SessionListQuery),
    responses((status = 200, description = "A page of sessions.", body = Page<Session>))
)]
pub(crate) async fn session_list(
    state: State,
    caller: Caller,
    Query(query): Query<SessionListQuery>,
) -> Result<Json<Page<Session>>> {
    let (limit, page_token) = (query.limit, query.page_token);
    let cursor = Cursor::<SessionId>::new(&PageQuery { limit, page_token })?;
    let filter = SessionFilter {
        id: None,
        camera: query.camera,
        user: query.user,
        node: query.node,
    };
    let sight = session_sight(&caller)?;
    let mut conn = state.pool.acquire().await?;
    let (after, rows) = (cursor.after(), cursor.rows());
    let sessions = db::session::session_list(&mut conn, &sight, &filter, after, rows).await?;
    Ok(Json(cursor.page(sessions, |session| session.id)))
}

/// View a session
///
/// Needs `camera.manage` on its camera, or `user.manage` on the project of its user.
#[utoipa::path(
    get, path = "/v1/sessions/{session_id}", operation_id = "session_view", tag = "session",
    params(("session_id" = SessionId, Path)),
    responses((status = 200, description = "The session.", body = Session))
)]
pub(crate) async fn session_view(
    state: State,
    caller: Caller,
    Path(id): Path<SessionId>,
) -> Result<Json<Session>> {
    let sight = session_sight(&caller)?;
    let mut conn = state.pool.acquire().await?;
    let session = session_get(&mut conn, &sight, id).await?;
    Ok(Json(session.ok_or_else(|| Error::not_found(id))?))
}

/// End a session
///
/// Its viewer is thrown out within two seconds. Until its token expires it may open another one
/// (by HLS none from the same address); revoke it, too, if that must not be. Needs what viewing the session needs.
#[utoipa::path(
    post, path = "/v1/sessions/{session_id}/~end", operation_id = "session_end", tag = "session",
    params(("session_id" = SessionId, Path)),
    responses((status = 200, description = "The session as it was.", body = Session))
)]
pub(crate) async fn session_end(
    state: State,
    caller: Caller,
    Path(id): Path<SessionId>,
    post: Post<Nothing>,
) -> Result<Json<Session>> {
    let session = app::session::session_end(&state, &caller, post.once, id).await?;
    Ok(Json(session))
}

/// End all sessions of a user
///
/// Whoever watches with one of its tokens is thrown out within two seconds, and no token that was
/// issued until now opens anything any more. New ones do. Needs `user.manage` on its project.
#[utoipa::path(
    post, path = "/v1/users/{user_id}/~revoke_sessions", operation_id = "user_revoke_sessions",
    tag = "user",
    params(("user_id" = UserId, Path)),
    responses((status = 200, description = "The user.", body = User))
)]
pub(crate) async fn user_revoke_sessions(
    state: State,
    caller: Caller,
    Path(id): Path<UserId>,
    post: Post<Nothing>,
) -> Result<Json<User>> {
    let user = app::session::user_revoke_sessions(&state, &caller, post.once, id).await?;
    Ok(Json(user))
}
