//! `/v1/cameras/{camera_id}/restreams` and `/v1/restreams`.

use axum::{Json, http::StatusCode};
use headworks_types::{
    CameraId, Page, PageQuery, Restream, RestreamCreate, RestreamId, RestreamImport,
    RestreamImportResult, RestreamUpdate,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    answer::Created,
    error::Result,
    extract::{IfMatch, Json as Body, Nothing, Path, Post, Query},
    page::{Cursor, label_filter, text_filter},
};
use crate::{
    app::{
        self, Caller, Error, Versioned,
        camera::require_managed,
        restream::{Verb, require_restream},
    },
    db::{self, restream::RestreamFilter},
    state::State,
};

/// What a list of restreams takes.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RestreamListQuery {
    /// How many items a page has, 1 to 1000. Default 50.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
    /// Only restreams with all of these labels: `cloud=a,event=gala`.
    labels: Option<String>,
    /// Only the restream with this `external_id`.
    external_id: Option<String>,
}

/// List restreams
///
/// Of all cameras on which the key has `camera.manage`.
#[utoipa::path(
    get, path = "/v1/restreams", operation_id = "restream_list", tag = "restream",
    params(RestreamListQuery),
    responses((status = 200, description = "A page of restreams.", body = Page<Restream>))
)]
pub(crate) async fn restream_list(
    state: State,
    caller: Caller,
    Query(query): Query<RestreamListQuery>,
) -> Result<Json<Page<Restream>>> {
    list(&state, &caller, None, query).await
}

/// List a camera's restreams
///
/// Needs `camera.manage` on the camera.
#[utoipa::path(
    get, path = "/v1/cameras/{camera_id}/restreams", operation_id = "restream_list_of_camera",
    tag = "restream",
    params(("camera_id" = CameraId, Path), RestreamListQuery),
    responses((status = 200, description = "A page of restreams.", body = Page<Restream>))
)]
pub(crate) async fn restream_list_of_camera(
    state: State,
    caller: Caller,
    Path(camera): Path<CameraId>,
    Query(query): Query<RestreamListQuery>,
) -> Result<Json<Page<Restream>>> {
    list(&state, &caller, Some(camera), query).await
}

async fn list(
    state: &State,
    caller: &Caller,
    camera: Option<CameraId>,
    query: RestreamListQuery,
) -> Result<Json<Page<Restream>>> {
    let (limit, page_token) = (query.limit, query.page_token);
    let cursor = Cursor::<RestreamId>::new(&PageQuery { limit, page_token })?;
    let filter = RestreamFilter {
        camera,
        labels: label_filter(query.labels)?,
        external_id: text_filter("external_id", query.external_id)?,
    };
    let sight = match camera {
        Some(_) => caller.sight()?,
        None => caller.sight_of_managed()?,
    };
    let mut conn = state.pool.acquire().await?;
    if let Some(camera) = camera {
        require_managed(&mut conn, &sight, camera).await?;
    }
    let (suspect, after, rows) = (state.config.lease_suspect, cursor.after(), cursor.rows());
    let found =
        db::restream::restream_list(&mut conn, &sight, suspect, &filter, after, rows).await?;
    Ok(Json(cursor.page(found, |restream| restream.id)))
}

/// Create a restream
///
/// The camera is pushed to the target from then on. Needs `camera.manage` on the camera.
#[utoipa::path(
    post, path = "/v1/cameras/{camera_id}/restreams", operation_id = "restream_create",
    tag = "restream",
    params(("camera_id" = CameraId, Path)),
    request_body = RestreamCreate,
    responses((status = 201, description = "The new restream.", body = Restream))
)]
pub(crate) async fn restream_create(
    state: State,
    caller: Caller,
    Path(camera): Path<CameraId>,
    post: Post<RestreamCreate>,
) -> Result<Created<Restream>> {
    let Post { once, body } = post;
    let restream = app::restream::restream_create(&state, &caller, once, camera, body).await?;
    Ok(Created(restream))
}

/// Push many cameras to one kind of target
///
/// Up to 1000 at once in the key's own project: creates the cameras that are not there, and a
/// restream of each. Each camera succeeds or fails by itself; a repetition creates nothing twice.
/// Needs `camera.manage` on the project.
#[utoipa::path(
    post, path = "/v1/restreams:import", operation_id = "restream_import", tag = "restream",
    request_body = RestreamImport,
    responses((status = 200, description = "What became of each.", body = RestreamImportResult))
)]
pub(crate) async fn restream_import(
    state: State,
    caller: Caller,
    post: Post<RestreamImport>,
) -> Result<Json<RestreamImportResult>> {
    let result = app::restream::restream_import(&state, &caller, post.once, post.body).await?;
    Ok(Json(result))
}

/// View a restream
///
/// Needs `camera.manage` on its camera.
#[utoipa::path(
    get, path = "/v1/restreams/{restream_id}", operation_id = "restream_view", tag = "restream",
    params(("restream_id" = RestreamId, Path)),
    responses((status = 200, description = "The restream.", body = Restream,
        headers(("ETag" = String, description = "Its version, for `If-Match`."))))
)]
pub(crate) async fn restream_view(
    state: State,
    caller: Caller,
    Path(id): Path<RestreamId>,
) -> Result<Versioned<Restream>> {
    let sight = caller.sight()?;
    let mut conn = state.pool.acquire().await?;
    let project = require_restream(&mut conn, &sight, id).await?;
    let suspect = state.config.lease_suspect;
    let restream = db::restream::restream_get(&mut conn, project, suspect, id).await?;
    Ok(restream.ok_or_else(|| Error::not_found(id))?)
}

/// Change a restream
///
/// A JSON merge patch. Needs `camera.manage` on its camera.
#[utoipa::path(
    patch, path = "/v1/restreams/{restream_id}", operation_id = "restream_update",
    tag = "restream",
    params(("restream_id" = RestreamId, Path), IfMatch),
    request_body = RestreamUpdate,
    responses((status = 200, description = "The restream as it is now.", body = Restream,
        headers(("ETag" = String, description = "Its version, for `If-Match`."))))
)]
pub(crate) async fn restream_update(
    state: State,
    caller: Caller,
    Path(id): Path<RestreamId>,
    IfMatch(expected): IfMatch,
    Body(change): Body<RestreamUpdate>,
) -> Result<Versioned<Restream>> {
    Ok(app::restream::restream_update(&state, &caller, id, expected, change).await?)
}

/// Delete a restream
///
/// Needs `camera.manage` on its camera.
#[utoipa::path(
    delete, path = "/v1/restreams/{restream_id}", operation_id = "restream_delete",
    tag = "restream",
    params(("restream_id" = RestreamId, Path), IfMatch),
    responses((status = 204, description = "It is gone."))
)]
pub(crate) async fn restream_delete(
    state: State,
    caller: Caller,
    Path(id): Path<RestreamId>,
    IfMatch(expected): IfMatch,
) -> Result<StatusCode> {
    app::restream::restream_delete(&state, &caller, id, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Start a restream
///
/// Needs `camera.manage` on its camera.
#[utoipa::path(
    post, path = "/v1/restreams/{restream_id}/~start", operation_id = "restream_start",
    tag = "restream",
    params(("restream_id" = RestreamId, Path)),
    responses((status = 200, description = "The restream.", body = Restream))
)]
pub(crate) async fn restream_start(
    state: State,
    caller: Caller,
    Path(id): Path<RestreamId>,
    post: Post<Nothing>,
) -> Result<Json<Restream>> {
    act(&state, &caller, id, post, Verb::Start).await
}

/// Stop a restream
///
/// It stays, and is not pushed until it is started. Needs `camera.manage` on its camera.
#[utoipa::path(
    post, path = "/v1/restreams/{restream_id}/~stop", operation_id = "restream_stop",
    tag = "restream",
    params(("restream_id" = RestreamId, Path)),
    responses((status = 200, description = "The restream.", body = Restream))
)]
pub(crate) async fn restream_stop(
    state: State,
    caller: Caller,
    Path(id): Path<RestreamId>,
    post: Post<Nothing>,
) -> Result<Json<Restream>> {
    act(&state, &caller, id, post, Verb::Stop).await
}

/// Restart a restream
///
/// Its pusher connects anew, once. Needs `camera.manage` on its camera.
#[utoipa::path(
    post, path = "/v1/restreams/{restream_id}/~restart", operation_id = "restream_restart",
    tag = "restream",
    params(("restream_id" = RestreamId, Path)),
    responses((status = 200, description = "The restream.", body = Restream))
)]
pub(crate) async fn restream_restart(
    state: State,
    caller: Caller,
    Path(id): Path<RestreamId>,
    post: Post<Nothing>,
) -> Result<Json<Restream>> {
    act(&state, &caller, id, post, Verb::Restart).await
}

async fn act(
    state: &State,
    caller: &Caller,
    id: RestreamId,
    post: Post<Nothing>,
    verb: Verb,
) -> Result<Json<Restream>> {
    let restream = app::restream::restream_act(state, caller, post.once, id, verb).await?;
    Ok(Json(restream))
}
