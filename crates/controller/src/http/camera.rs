//! `/v1/cameras`.

use axum::{Json, http::StatusCode};
use headworks_types::{
    Camera, CameraBulkCreate, CameraBulkResult, CameraCreate, CameraGroupId, CameraId,
    CameraUpdate, Page, PageQuery,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    answer::Created,
    error::Result,
    extract::{IfMatch, Json as Body, Path, Post, Query},
    page::{Cursor, label_filter, text_filter},
};
use crate::{
    app::{self, Caller, Error, Versioned},
    db::{self, camera::CameraFilter},
    state::State,
};

/// What a list of cameras takes.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CameraListQuery {
    /// How many items a page has, 1 to 1000. Default 50.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
    /// Only cameras with all of these labels: `site=lyon,floor=2`.
    labels: Option<String>,
    /// Only the camera with this `external_id`.
    external_id: Option<String>,
    /// Only cameras in this group and everywhere below it.
    group_id: Option<CameraGroupId>,
}

/// List cameras
///
/// Those on which the key has `camera.view_live` or `camera.manage`: by a grant on the camera, a
/// group above it, its project or the cluster, and no grant on any of these that denies it.
#[utoipa::path(
    get, path = "/v1/cameras", operation_id = "camera_list", tag = "camera",
    params(CameraListQuery),
    responses((status = 200, description = "A page of cameras.", body = Page<Camera>))
)]
pub(crate) async fn camera_list(
    state: State,
    caller: Caller,
    Query(query): Query<CameraListQuery>,
) -> Result<Json<Page<Camera>>> {
    let (limit, page_token) = (query.limit, query.page_token);
    let cursor = Cursor::<CameraId>::new(&PageQuery { limit, page_token })?;
    let filter = CameraFilter {
        labels: label_filter(query.labels)?,
        external_id: text_filter("external_id", query.external_id)?,
        group: query.group_id,
    };
    let sight = caller.sight()?;
    let mut conn = state.pool.acquire().await?;
    let (suspect, after, rows) = (state.config.lease_suspect, cursor.after(), cursor.rows());
    let cameras = db::camera::camera_list(&mut conn, &sight, suspect, &filter, after, rows).await?;
    Ok(Json(cursor.page(cameras, |camera| camera.id)))
}

/// Create a camera
///
/// In the key's own project. Needs `camera.manage` on the group it is put into, or else on the
/// project.
#[utoipa::path(
    post, path = "/v1/cameras", operation_id = "camera_create", tag = "camera",
    request_body = CameraCreate,
    responses((status = 201, description = "The new camera.", body = Camera))
)]
pub(crate) async fn camera_create(
    state: State,
    caller: Caller,
    post: Post<CameraCreate>,
) -> Result<Created<Camera>> {
    let camera = app::camera::camera_create(&state, &caller, post.once, post.body).await?;
    Ok(Created(camera))
}

/// Create many cameras
///
/// Up to 1000 at once in the key's own project; each item succeeds or fails by itself. Each needs
/// `camera.manage` on the group it is put into, or else on the project.
#[utoipa::path(
    post, path = "/v1/cameras:bulk_create", operation_id = "camera_bulk_create", tag = "camera",
    request_body = CameraBulkCreate,
    responses((status = 200, description = "What became of each.", body = CameraBulkResult))
)]
pub(crate) async fn camera_bulk_create(
    state: State,
    caller: Caller,
    post: Post<CameraBulkCreate>,
) -> Result<Json<CameraBulkResult>> {
    let result =
        app::camera_bulk::camera_bulk_create(&state, &caller, post.once, post.body).await?;
    Ok(Json(result))
}

/// View a camera
///
/// Needs `camera.view_live` or `camera.manage` on it.
#[utoipa::path(
    get, path = "/v1/cameras/{camera_id}", operation_id = "camera_view", tag = "camera",
    params(("camera_id" = CameraId, Path)),
    responses((status = 200, description = "The camera.", body = Camera,
        headers(("ETag" = String, description = "Its version, for `If-Match`."))))
)]
pub(crate) async fn camera_view(
    state: State,
    caller: Caller,
    Path(id): Path<CameraId>,
) -> Result<Versioned<Camera>> {
    let sight = caller.sight()?;
    let mut conn = state.pool.acquire().await?;
    let suspect = state.config.lease_suspect;
    let camera = db::camera::camera_get(&mut conn, &sight, suspect, id).await?;
    Ok(camera.ok_or_else(|| Error::not_found(id))?)
}

/// Change a camera
///
/// A JSON merge patch. Needs `camera.manage` on it, and to move it to another group also on both
/// groups; out of any group is on the project.
#[utoipa::path(
    patch, path = "/v1/cameras/{camera_id}", operation_id = "camera_update", tag = "camera",
    params(("camera_id" = CameraId, Path), IfMatch),
    request_body = CameraUpdate,
    responses((status = 200, description = "The camera as it is now.", body = Camera,
        headers(("ETag" = String, description = "Its version, for `If-Match`."))))
)]
pub(crate) async fn camera_update(
    state: State,
    caller: Caller,
    Path(id): Path<CameraId>,
    IfMatch(expected): IfMatch,
    Body(change): Body<CameraUpdate>,
) -> Result<Versioned<Camera>> {
    Ok(app::camera::camera_update(&state, &caller, id, expected, change).await?)
}

/// Delete a camera
///
/// With its stream keys and the grants on it. Needs `camera.manage` on it.
#[utoipa::path(
    delete, path = "/v1/cameras/{camera_id}", operation_id = "camera_delete", tag = "camera",
    params(("camera_id" = CameraId, Path), IfMatch),
    responses((status = 204, description = "It is gone."))
)]
pub(crate) async fn camera_delete(
    state: State,
    caller: Caller,
    Path(id): Path<CameraId>,
    IfMatch(expected): IfMatch,
) -> Result<StatusCode> {
    app::camera::camera_delete(&state, &caller, id, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}
