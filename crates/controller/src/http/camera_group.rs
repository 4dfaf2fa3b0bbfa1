//! `/v1/camera_groups`.

use axum::{Json, http::StatusCode};
use headworks_types::{
    CameraGroup, CameraGroupCreate, CameraGroupId, CameraGroupUpdate, Page, PageQuery,
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
    db::{self, camera_group::CameraGroupFilter},
    state::State,
};

/// What a list of camera groups takes.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CameraGroupListQuery {
    /// How many items a page has, 1 to 1000. Default 50.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
    /// Only groups with all of these labels: `kind=floor,site=lyon`.
    labels: Option<String>,
    /// Only the group with this `external_id`.
    external_id: Option<String>,
    /// Only groups right in this one.
    parent_id: Option<CameraGroupId>,
}

/// List camera groups
///
/// Those on which the key has `camera.view_live` or `camera.manage`, by a grant on the group, one
/// above it, its project or the cluster.
#[utoipa::path(
    get, path = "/v1/camera_groups", operation_id = "camera_group_list", tag = "camera_group",
    params(CameraGroupListQuery),
    responses((status = 200, description = "A page of groups.", body = Page<CameraGroup>))
)]
pub(crate) async fn camera_group_list(
    state: State,
    caller: Caller,
    Query(query): Query<CameraGroupListQuery>,
) -> Result<Json<Page<CameraGroup>>> {
    let (limit, page_token) = (query.limit, query.page_token);
    let cursor = Cursor::<CameraGroupId>::new(&PageQuery { limit, page_token })?;
    let filter = CameraGroupFilter {
        labels: label_filter(query.labels)?,
        external_id: text_filter("external_id", query.external_id)?,
        parent: query.parent_id,
    };
    let sight = caller.sight()?;
    let mut conn = state.pool.acquire().await?;
    let (after, rows) = (cursor.after(), cursor.rows());
    let groups =
        db::camera_group::camera_group_list(&mut conn, &sight, &filter, after, rows).await?;
    Ok(Json(cursor.page(groups, |group| group.id)))
}

/// Create a camera group
///
/// In another group, or at the top of the key's own project. Needs `camera.manage` there.
#[utoipa::path(
    post, path = "/v1/camera_groups", operation_id = "camera_group_create", tag = "camera_group",
    request_body = CameraGroupCreate,
    responses((status = 201, description = "The new group.", body = CameraGroup))
)]
pub(crate) async fn camera_group_create(
    state: State,
    caller: Caller,
    post: Post<CameraGroupCreate>,
) -> Result<Created<CameraGroup>> {
    let group =
        app::camera_group::camera_group_create(&state, &caller, post.once, post.body).await?;
    Ok(Created(group))
}

/// View a camera group
///
/// Needs `camera.view_live` or `camera.manage` on it.
#[utoipa::path(
    get, path = "/v1/camera_groups/{camera_group_id}", operation_id = "camera_group_view",
    tag = "camera_group",
    params(("camera_group_id" = CameraGroupId, Path)),
    responses((status = 200, description = "The group.", body = CameraGroup,
        headers(("ETag" = String, description = "Its version, for `If-Match`."))))
)]
pub(crate) async fn camera_group_view(
    state: State,
    caller: Caller,
    Path(id): Path<CameraGroupId>,
) -> Result<Versioned<CameraGroup>> {
    let mut conn = state.pool.acquire().await?;
    let access = app::camera_group::require_seen(&mut conn, &caller, id).await?;
    let group = db::camera_group::camera_group_get(&mut conn, access.project_id, id).await?;
    Ok(group.ok_or_else(|| Error::not_found(id))?)
}

/// Change a camera group
///
/// A JSON merge patch. With another `parent_id` it moves with everything below it, and what is
/// granted on the groups above it changes for all of that. Needs `camera.manage` on it, and to move
/// it also where it is and where it goes.
#[utoipa::path(
    patch, path = "/v1/camera_groups/{camera_group_id}", operation_id = "camera_group_update",
    tag = "camera_group",
    params(("camera_group_id" = CameraGroupId, Path), IfMatch),
    request_body = CameraGroupUpdate,
    responses((status = 200, description = "The group as it is now.", body = CameraGroup,
        headers(("ETag" = String, description = "Its version, for `If-Match`."))))
)]
pub(crate) async fn camera_group_update(
    state: State,
    caller: Caller,
    Path(id): Path<CameraGroupId>,
    IfMatch(expected): IfMatch,
    Body(change): Body<CameraGroupUpdate>,
) -> Result<Versioned<CameraGroup>> {
    Ok(app::camera_group::camera_group_update(&state, &caller, id, expected, change).await?)
}

/// Delete a camera group
///
/// An empty one, with the grants on it: one with cameras or groups in it answers 409. Needs
/// `camera.manage` on it.
#[utoipa::path(
    delete, path = "/v1/camera_groups/{camera_group_id}", operation_id = "camera_group_delete",
    tag = "camera_group",
    params(("camera_group_id" = CameraGroupId, Path), IfMatch),
    responses((status = 204, description = "It is gone."))
)]
pub(crate) async fn camera_group_delete(
    state: State,
    caller: Caller,
    Path(id): Path<CameraGroupId>,
    IfMatch(expected): IfMatch,
) -> Result<StatusCode> {
    app::camera_group::camera_group_delete(&state, &caller, id, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}
