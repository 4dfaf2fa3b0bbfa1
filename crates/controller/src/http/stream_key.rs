//! `/v1/cameras/{camera_id}/stream_keys` and `/v1/stream_keys`.

use axum::Json;
use headworks_types::{
    CameraId, Page, PageQuery, StreamKey, StreamKeyCreate, StreamKeyCreated, StreamKeyId,
    StreamKeyRotate, StreamKeyUpdate,
};

use super::{
    answer::Created,
    error::Result,
    extract::{IfMatch, Json as Body, Nothing, Path, Post, Query},
    page::Cursor,
};
use crate::{
    app::{self, Caller, Versioned, camera::require_managed},
    db,
    state::State,
};

/// List a camera's stream keys
///
/// Also revoked and expired ones. Needs `camera.manage` on the camera.
#[utoipa::path(
    get, path = "/v1/cameras/{camera_id}/stream_keys", operation_id = "stream_key_list",
    tag = "stream_key",
    params(("camera_id" = CameraId, Path), PageQuery),
    responses((status = 200, description = "A page of keys.", body = Page<StreamKey>))
)]
pub(crate) async fn stream_key_list(
    state: State,
    caller: Caller,
    Path(camera): Path<CameraId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<StreamKey>>> {
    let cursor = Cursor::<StreamKeyId>::new(&query)?;
    let sight = caller.sight()?;
    let mut conn = state.pool.acquire().await?;
    let project = require_managed(&mut conn, &sight, camera).await?;
    let (after, rows) = (cursor.after(), cursor.rows());
    let keys = db::stream_key::stream_key_list(&mut conn, project, camera, after, rows).await?;
    Ok(Json(cursor.page(keys, |key| key.id)))
}

/// Create a stream key
///
/// A camera may have several, at most 100 that work. The secret is shown this once. Needs `camera.manage` on the camera.
#[utoipa::path(
    post, path = "/v1/cameras/{camera_id}/stream_keys", operation_id = "stream_key_create",
    tag = "stream_key",
    params(("camera_id" = CameraId, Path)),
    request_body = StreamKeyCreate,
    responses((status = 201, description = "The key and its secret.", body = StreamKeyCreated))
)]
pub(crate) async fn stream_key_create(
    state: State,
    caller: Caller,
    Path(camera): Path<CameraId>,
    post: Post<StreamKeyCreate>,
) -> Result<Created<StreamKeyCreated>> {
    let Post { once, body } = post;
    let created = app::stream_key::stream_key_create(&state, &caller, once, camera, body).await?;
    Ok(Created(created))
}

/// View a stream key
///
/// Without its secret. Needs `camera.manage` on the camera.
#[utoipa::path(
    get, path = "/v1/stream_keys/{stream_key_id}", operation_id = "stream_key_view",
    tag = "stream_key",
    params(("stream_key_id" = StreamKeyId, Path)),
    responses((status = 200, description = "The key.", body = StreamKey,
        headers(("ETag" = String, description = "Its version, for `If-Match`."))))
)]
pub(crate) async fn stream_key_view(
    state: State,
    caller: Caller,
    Path(id): Path<StreamKeyId>,
) -> Result<Versioned<StreamKey>> {
    let mut conn = state.pool.acquire().await?;
    Ok(app::stream_key::stream_key_view(&mut conn, &caller, id).await?)
}

/// Change a stream key
///
/// A JSON merge patch of a key that works. A publisher that does not fit any more, by its network or
/// its protocol, is thrown out at once. Needs `camera.manage` on the camera.
#[utoipa::path(
    patch, path = "/v1/stream_keys/{stream_key_id}", operation_id = "stream_key_update",
    tag = "stream_key",
    params(("stream_key_id" = StreamKeyId, Path), IfMatch),
    request_body = StreamKeyUpdate,
    responses((status = 200, description = "The key as it is now.", body = StreamKey,
        headers(("ETag" = String, description = "Its version, for `If-Match`."))))
)]
pub(crate) async fn stream_key_update(
    state: State,
    caller: Caller,
    Path(id): Path<StreamKeyId>,
    IfMatch(expected): IfMatch,
    Body(change): Body<StreamKeyUpdate>,
) -> Result<Versioned<StreamKey>> {
    Ok(app::stream_key::stream_key_update(&state, &caller, id, expected, change).await?)
}

/// Exchange a stream key for a new one
///
/// The new one has the same name and bounds. The old one goes on working for `grace_seconds`. Needs `camera.manage` on the camera.
#[utoipa::path(
    post, path = "/v1/stream_keys/{stream_key_id}/~rotate", operation_id = "stream_key_rotate",
    tag = "stream_key",
    params(("stream_key_id" = StreamKeyId, Path)),
    request_body = StreamKeyRotate,
    responses((status = 201, description = "The new key and its secret.", body = StreamKeyCreated))
)]
pub(crate) async fn stream_key_rotate(
    state: State,
    caller: Caller,
    Path(id): Path<StreamKeyId>,
    post: Post<StreamKeyRotate>,
) -> Result<Created<StreamKeyCreated>> {
    let Post { once, body } = post;
    let created = app::stream_key::stream_key_rotate(&state, &caller, once, id, body).await?;
    Ok(Created(created))
}

/// Revoke a stream key
///
/// It works no more. Needs `camera.manage` on the camera.
#[utoipa::path(
    post, path = "/v1/stream_keys/{stream_key_id}/~revoke", operation_id = "stream_key_revoke",
    tag = "stream_key",
    params(("stream_key_id" = StreamKeyId, Path)),
    responses((status = 200, description = "The key.", body = StreamKey))
)]
pub(crate) async fn stream_key_revoke(
    state: State,
    caller: Caller,
    Path(id): Path<StreamKeyId>,
    post: Post<Nothing>,
) -> Result<Json<StreamKey>> {
    let key = app::stream_key::stream_key_revoke(&state, &caller, post.once, id).await?;
    Ok(Json(key))
}
