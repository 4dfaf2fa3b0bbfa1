//! `/v1/grants`.

use axum::{Json, http::StatusCode};
use headworks_types::{
    Action, ApiKeyId, CameraGroupId, CameraId, Grant, GrantCreate, GrantId, Page, PageQuery,
    RoleId, UserGroupId, UserId,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    answer::Created,
    error::Result,
    extract::{Path, Post, Query},
    page::Cursor,
};
use crate::{
    app::{self, Caller, Error},
    db::{self, grant::GrantFilter},
    state::State,
};

/// What a list of grants takes.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct GrantListQuery {
    /// How many items a page has, 1 to 1000. Default 50.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
    /// Only what this user was granted.
    user_id: Option<UserId>,
    /// Only what this user group was granted.
    user_group_id: Option<UserGroupId>,
    /// Only what this key was granted.
    api_key_id: Option<ApiKeyId>,
    /// Only what was granted on this camera itself.
    camera_id: Option<CameraId>,
    /// Only what was granted on this camera group itself.
    camera_group_id: Option<CameraGroupId>,
    /// Only what was granted as this role.
    role_id: Option<RoleId>,
}

/// List grants
///
/// Those to users, groups and keys of the projects on which the key has `user.manage`.
#[utoipa::path(
    get, path = "/v1/grants", operation_id = "grant_list", tag = "grant",
    params(GrantListQuery),
    responses((status = 200, description = "A page of grants.", body = Page<Grant>))
)]
pub(crate) async fn grant_list(
    state: State,
    caller: Caller,
    Query(query): Query<GrantListQuery>,
) -> Result<Json<Page<Grant>>> {
    let (limit, page_token) = (query.limit, query.page_token);
    let cursor = Cursor::<GrantId>::new(&PageQuery { limit, page_token })?;
    let filter = GrantFilter {
        user_id: query.user_id,
        user_group_id: query.user_group_id,
        api_key_id: query.api_key_id,
        camera_id: query.camera_id,
        camera_group_id: query.camera_group_id,
        role_id: query.role_id,
    };
    let reach = caller.reach(Action::UserManage)?;
    let mut conn = state.pool.acquire().await?;
    let (after, rows) = (cursor.after(), cursor.rows());
    let grants = db::grant::grant_list(&mut conn, &reach, &filter, after, rows).await?;
    Ok(Json(cursor.page(grants, |grant| grant.id)))
}

/// Grant something
///
/// Needs `user.manage` on the project of the user, group or key. To allow needs every action on all
/// of the object, always: nobody can grant what they may not do themselves. To deny needs
/// `user.manage` on the object's project; a deny beats whatever is allowed.
#[utoipa::path(
    post, path = "/v1/grants", operation_id = "grant_create", tag = "grant",
    request_body = GrantCreate,
    responses((status = 201, description = "The new grant.", body = Grant))
)]
pub(crate) async fn grant_create(
    state: State,
    caller: Caller,
    post: Post<GrantCreate>,
) -> Result<Created<Grant>> {
    let grant = app::grant::grant_create(&state, &caller, post.once, post.body).await?;
    Ok(Created(grant))
}

/// View a grant
///
/// Needs `user.manage` on the project of the user, group or key.
#[utoipa::path(
    get, path = "/v1/grants/{grant_id}", operation_id = "grant_view", tag = "grant",
    params(("grant_id" = GrantId, Path)),
    responses((status = 200, description = "The grant.", body = Grant))
)]
pub(crate) async fn grant_view(
    state: State,
    caller: Caller,
    Path(id): Path<GrantId>,
) -> Result<Json<Grant>> {
    let reach = caller.reach(Action::UserManage)?;
    let mut conn = state.pool.acquire().await?;
    let grant = db::grant::grant_get(&mut conn, &reach, id).await?;
    Ok(Json(grant.ok_or_else(|| Error::not_found(id))?))
}

/// Take a grant away
///
/// Needs `user.manage` on the project of the user, group or key; of a grant on a project or the
/// cluster also every action. To take a deny away is to allow, and needs as much. The last key that
/// may manage keys in the whole cluster stays so.
#[utoipa::path(
    delete, path = "/v1/grants/{grant_id}", operation_id = "grant_delete", tag = "grant",
    params(("grant_id" = GrantId, Path)),
    responses((status = 204, description = "It is gone."))
)]
pub(crate) async fn grant_delete(
    state: State,
    caller: Caller,
    Path(id): Path<GrantId>,
) -> Result<StatusCode> {
    app::grant::grant_delete(&state, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
