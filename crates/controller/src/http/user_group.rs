//! `/v1/user_groups`.

use axum::{Json, http::StatusCode};
use headworks_types::{
    Action, Page, PageQuery, UserGroup, UserGroupCreate, UserGroupId, UserGroupMember,
    UserGroupMemberAdd, UserGroupUpdate, UserId,
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
    db::{self, user_group::UserGroupFilter},
    state::State,
};

/// What a list of groups takes.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UserGroupListQuery {
    /// How many items a page has, 1 to 1000. Default 50.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
    /// Only groups with all of these labels: `team=night,site=lyon`.
    labels: Option<String>,
    /// Only the group with this `external_id`.
    external_id: Option<String>,
}

/// List user groups
///
/// Those of the projects on which the caller has `user.manage`.
#[utoipa::path(
    get, path = "/v1/user_groups", operation_id = "user_group_list", tag = "user_group",
    params(UserGroupListQuery),
    responses((status = 200, description = "A page of groups.", body = Page<UserGroup>))
)]
pub(crate) async fn user_group_list(
    state: State,
    caller: Caller,
    Query(query): Query<UserGroupListQuery>,
) -> Result<Json<Page<UserGroup>>> {
    let (limit, page_token) = (query.limit, query.page_token);
    let cursor = Cursor::<UserGroupId>::new(&PageQuery { limit, page_token })?;
    let filter = UserGroupFilter {
        labels: label_filter(query.labels)?,
        external_id: text_filter("external_id", query.external_id)?,
    };
    let reach = caller.reach(Action::UserManage)?;
    let mut conn = state.pool.acquire().await?;
    let (after, rows) = (cursor.after(), cursor.rows());
    let groups = db::user_group::user_group_list(&mut conn, &reach, &filter, after, rows).await?;
    Ok(Json(cursor.page(groups, |group| group.id)))
}

/// Create a user group
///
/// In the caller's own project, with nobody in it. Needs `user.manage` on it.
#[utoipa::path(
    post, path = "/v1/user_groups", operation_id = "user_group_create", tag = "user_group",
    request_body = UserGroupCreate,
    responses((status = 201, description = "The new group.", body = UserGroup))
)]
pub(crate) async fn user_group_create(
    state: State,
    caller: Caller,
    post: Post<UserGroupCreate>,
) -> Result<Created<UserGroup>> {
    let Post { once, body } = post;
    let group = app::user_group::user_group_create(&state, &caller, once, body).await?;
    Ok(Created(group))
}

/// View a user group
///
/// Needs `user.manage` on its project.
#[utoipa::path(
    get, path = "/v1/user_groups/{user_group_id}", operation_id = "user_group_view",
    tag = "user_group",
    params(("user_group_id" = UserGroupId, Path)),
    responses((status = 200, description = "The group.", body = UserGroup,
        headers(("ETag" = String, description = "Its version, for `If-Match`."))))
)]
pub(crate) async fn user_group_view(
    state: State,
    caller: Caller,
    Path(id): Path<UserGroupId>,
) -> Result<Versioned<UserGroup>> {
    let reach = caller.reach(Action::UserManage)?;
    let mut conn = state.pool.acquire().await?;
    let group = db::user_group::user_group_get(&mut conn, &reach, id).await?;
    Ok(group.ok_or_else(|| Error::not_found(id))?)
}

/// Change a user group
///
/// A JSON merge patch. Needs `user.manage` on its project; for `external_id`, by which OpenID
/// providers fill it, also what adding and removing members needs.
#[utoipa::path(
    patch, path = "/v1/user_groups/{user_group_id}", operation_id = "user_group_update",
    tag = "user_group",
    params(("user_group_id" = UserGroupId, Path), IfMatch),
    request_body = UserGroupUpdate,
    responses((status = 200, description = "The group as it is now.", body = UserGroup,
        headers(("ETag" = String, description = "Its version, for `If-Match`."))))
)]
pub(crate) async fn user_group_update(
    state: State,
    caller: Caller,
    Path(id): Path<UserGroupId>,
    IfMatch(expected): IfMatch,
    Body(change): Body<UserGroupUpdate>,
) -> Result<Versioned<UserGroup>> {
    Ok(app::user_group::user_group_update(&state, &caller, id, expected, change).await?)
}

/// Delete a user group
///
/// With its grants. Needs `user.manage` on its project, every right on projects and the cluster that
/// the group has, and what removing members needs.
#[utoipa::path(
    delete, path = "/v1/user_groups/{user_group_id}", operation_id = "user_group_delete",
    tag = "user_group",
    params(("user_group_id" = UserGroupId, Path), IfMatch),
    responses((status = 204, description = "It is gone."))
)]
pub(crate) async fn user_group_delete(
    state: State,
    caller: Caller,
    Path(id): Path<UserGroupId>,
    IfMatch(expected): IfMatch,
) -> Result<StatusCode> {
    app::user_group::user_group_delete(&state, &caller, id, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the members of a user group
///
/// Needs `user.manage` on its project.
#[utoipa::path(
    get, path = "/v1/user_groups/{user_group_id}/members",
    operation_id = "user_group_member_list", tag = "user_group",
    params(("user_group_id" = UserGroupId, Path), PageQuery),
    responses((status = 200, description = "A page of members.", body = Page<UserGroupMember>))
)]
pub(crate) async fn user_group_member_list(
    state: State,
    caller: Caller,
    Path(id): Path<UserGroupId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<UserGroupMember>>> {
    let cursor = Cursor::<UserId>::new(&query)?;
    let reach = caller.reach(Action::UserManage)?;
    let mut conn = state.pool.acquire().await?;
    let group = db::user_group::user_group_get(&mut conn, &reach, id).await?;
    let project = group.ok_or_else(|| Error::not_found(id))?.thing.project_id;
    let (after, rows) = (cursor.after(), cursor.rows());
    let members =
        db::user_group::user_group_member_list(&mut conn, project, id, after, rows).await?;
    Ok(Json(cursor.page(members, |member| member.user_id)))
}

/// Add a member to a user group
///
/// A user of the same project; who is in it already stays. Needs `user.manage` on the project, and
/// every right that the group has, to be able to give it.
#[utoipa::path(
    post, path = "/v1/user_groups/{user_group_id}/members",
    operation_id = "user_group_member_add", tag = "user_group",
    params(("user_group_id" = UserGroupId, Path)),
    request_body = UserGroupMemberAdd,
    responses((status = 201, description = "The member.", body = UserGroupMember))
)]
pub(crate) async fn user_group_member_add(
    state: State,
    caller: Caller,
    Path(id): Path<UserGroupId>,
    post: Post<UserGroupMemberAdd>,
) -> Result<Created<UserGroupMember>> {
    let Post { once, body } = post;
    let user = body.user_id;
    let member = app::user_group::user_group_member_add(&state, &caller, once, id, user).await?;
    Ok(Created(member))
}

/// Remove a member from a user group
///
/// Needs `user.manage` on its project, and every right that the group is denied, to be able to give
/// it back.
#[utoipa::path(
    delete, path = "/v1/user_groups/{user_group_id}/members/{user_id}",
    operation_id = "user_group_member_remove", tag = "user_group",
    params(("user_group_id" = UserGroupId, Path), ("user_id" = UserId, Path)),
    responses((status = 204, description = "It is no member any more."))
)]
pub(crate) async fn user_group_member_remove(
    state: State,
    caller: Caller,
    Path((id, user)): Path<(UserGroupId, UserId)>,
) -> Result<StatusCode> {
    app::user_group::user_group_member_remove(&state, &caller, id, user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the groups of a user
///
/// Needs `user.manage` on the user's project.
#[utoipa::path(
    get, path = "/v1/users/{user_id}/user_groups", operation_id = "user_group_list_of_user",
    tag = "user_group",
    params(("user_id" = UserId, Path), PageQuery),
    responses((status = 200, description = "A page of groups.", body = Page<UserGroup>))
)]
pub(crate) async fn user_group_list_of_user(
    state: State,
    caller: Caller,
    Path(id): Path<UserId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<UserGroup>>> {
    let cursor = Cursor::<UserGroupId>::new(&query)?;
    let reach = caller.reach(Action::UserManage)?;
    let mut conn = state.pool.acquire().await?;
    let user = db::user::user_get(&mut conn, &reach, id).await?;
    user.ok_or_else(|| Error::not_found(id))?;
    let (after, rows) = (cursor.after(), cursor.rows());
    let groups = db::user_group::user_group_list_of(&mut conn, &reach, id, after, rows).await?;
    Ok(Json(cursor.page(groups, |group| group.id)))
}
