//! `/v1/projects`.

use axum::Json;
use headworks_types::{Page, PageQuery, Project, ProjectCreate, ProjectId, ProjectUpdate};

use super::{
    answer::Created,
    error::Result,
    extract::{IfMatch, Json as Body, Path, Post, Query},
    page::Cursor,
};
use crate::{
    app::{self, Caller, Error, Versioned},
    db,
    state::State,
};

/// List projects
///
/// Those that the key has any right on.
#[utoipa::path(
    get, path = "/v1/projects", operation_id = "project_list", tag = "project",
    params(PageQuery),
    responses((status = 200, description = "A page of projects.", body = Page<Project>))
)]
pub(crate) async fn project_list(
    state: State,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Project>>> {
    let cursor = Cursor::<ProjectId>::new(&query)?;
    let known = caller.known_projects()?;
    let mut conn = state.pool.acquire().await?;
    let (after, rows) = (cursor.after(), cursor.rows());
    let projects = db::project::project_list(&mut conn, &known, after, rows).await?;
    Ok(Json(cursor.page(projects, |project| project.id)))
}

/// Create a project
///
/// Needs `project.manage` on the cluster.
#[utoipa::path(
    post, path = "/v1/projects", operation_id = "project_create", tag = "project",
    request_body = ProjectCreate,
    responses((status = 201, description = "The new project.", body = Project))
)]
pub(crate) async fn project_create(
    state: State,
    caller: Caller,
    post: Post<ProjectCreate>,
) -> Result<Created<Project>> {
    let project = app::project::project_create(&state, &caller, post.once, post.body).await?;
    Ok(Created(project))
}

/// View a project
///
/// Needs any right on it.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}", operation_id = "project_view", tag = "project",
    params(("project_id" = ProjectId, Path)),
    responses((status = 200, description = "The project.", body = Project,
        headers(("ETag" = String, description = "Its version, for `If-Match`."))))
)]
pub(crate) async fn project_view(
    state: State,
    caller: Caller,
    Path(id): Path<ProjectId>,
) -> Result<Versioned<Project>> {
    let known = caller.known_projects()?;
    let mut conn = state.pool.acquire().await?;
    let project = db::project::project_get(&mut conn, &known, id).await?;
    Ok(project.ok_or_else(|| Error::not_found(id))?)
}

/// Change a project
///
/// Needs `project.manage` on it; `outbound_allow` needs it on the cluster.
#[utoipa::path(
    patch, path = "/v1/projects/{project_id}", operation_id = "project_update", tag = "project",
    params(("project_id" = ProjectId, Path), IfMatch),
    request_body = ProjectUpdate,
    responses((status = 200, description = "The project as it is now.", body = Project,
        headers(("ETag" = String, description = "Its version, for `If-Match`."))))
)]
pub(crate) async fn project_update(
    state: State,
    caller: Caller,
    Path(id): Path<ProjectId>,
    IfMatch(expected): IfMatch,
    Body(change): Body<ProjectUpdate>,
) -> Result<Versioned<Project>> {
    Ok(app::project::project_update(&state, &caller, id, expected, change).await?)
}
