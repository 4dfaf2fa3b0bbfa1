//! `/v1/playback_keys`: customers' own keys for playback tokens.

use axum::Json;
use headworks_types::{Action, Page, PageQuery, PlaybackKey, PlaybackKeyCreate, PlaybackKeyId};

use super::{
    answer::Created,
    error::Result,
    extract::{Nothing, Path, Post, Query},
    page::Cursor,
};
use crate::{
    app::{self, Caller, Error},
    db,
    state::State,
};

/// List playback keys
///
/// Those of the projects on which the caller has `project.manage`, also revoked ones.
#[utoipa::path(
    get, path = "/v1/playback_keys", operation_id = "playback_key_list", tag = "playback_key",
    params(PageQuery),
    responses((status = 200, description = "A page of keys.", body = Page<PlaybackKey>))
)]
pub(crate) async fn playback_key_list(
    state: State,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<PlaybackKey>>> {
    let cursor = Cursor::<PlaybackKeyId>::new(&query)?;
    let reach = caller.reach(Action::ProjectManage)?;
    let mut conn = state.pool.acquire().await?;
    let (after, rows) = (cursor.after(), cursor.rows());
    let keys = db::playback_key::playback_key_list(&mut conn, &reach, after, rows).await?;
    Ok(Json(cursor.page(keys, |key| key.id)))
}

/// Register a playback key
///
/// A public key of your own: whatever its private half signs opens cameras within the bounds, and
/// no edge asks anybody. Needs `project.manage` on the project, and there also every action that
/// the bounds name.
#[utoipa::path(
    post, path = "/v1/playback_keys", operation_id = "playback_key_create", tag = "playback_key",
    request_body = PlaybackKeyCreate,
    responses((status = 201, description = "The key.", body = PlaybackKey))
)]
pub(crate) async fn playback_key_create(
    state: State,
    caller: Caller,
    post: Post<PlaybackKeyCreate>,
) -> Result<Created<PlaybackKey>> {
    let Post { once, body } = post;
    let key = app::playback_key::playback_key_create(&state, &caller, once, body).await?;
    Ok(Created(key))
}

/// View a playback key
///
/// Needs `project.manage` on its project.
#[utoipa::path(
    get, path = "/v1/playback_keys/{playback_key_id}", operation_id = "playback_key_view",
    tag = "playback_key",
    params(("playback_key_id" = PlaybackKeyId, Path)),
    responses((status = 200, description = "The key.", body = PlaybackKey))
)]
pub(crate) async fn playback_key_view(
    state: State,
    caller: Caller,
    Path(id): Path<PlaybackKeyId>,
) -> Result<Json<PlaybackKey>> {
    let reach = caller.reach(Action::ProjectManage)?;
    let mut conn = state.pool.acquire().await?;
    let key = db::playback_key::playback_key_get(&mut conn, &reach, id).await?;
    Ok(Json(key.ok_or_else(|| Error::not_found(id))?))
}

/// Revoke a playback key
///
/// Its tokens open nothing any more, and whoever watches with one is thrown out within two
/// seconds. Needs `project.manage` on its project.
#[utoipa::path(
    post, path = "/v1/playback_keys/{playback_key_id}/~revoke",
    operation_id = "playback_key_revoke", tag = "playback_key",
    params(("playback_key_id" = PlaybackKeyId, Path)),
    responses((status = 200, description = "The key.", body = PlaybackKey))
)]
pub(crate) async fn playback_key_revoke(
    state: State,
    caller: Caller,
    Path(id): Path<PlaybackKeyId>,
    post: Post<Nothing>,
) -> Result<Json<PlaybackKey>> {
    let key = app::playback_key::playback_key_revoke(&state, &caller, post.once, id).await?;
    Ok(Json(key))
}
