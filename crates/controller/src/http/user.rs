//! `/v1/users`.

use axum::{Json, http::StatusCode};
use headworks_types::{
    Action, OidcIdentity, Page, PageQuery, User, UserCreate, UserId, UserUpdate,
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
    db::{self, user::UserFilter},
    state::State,
};

/// What a list of users takes.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UserListQuery {
    /// How many items a page has, 1 to 1000. Default 50.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
    /// Only users with all of these labels: `team=night,site=lyon`.
    labels: Option<String>,
    /// Only the user with this `external_id`.
    external_id: Option<String>,
    /// Only the user with this email.
    email: Option<String>,
}

/// List users
///
/// Those of the projects on which the key has `user.manage`.
#[utoipa::path(
    get, path = "/v1/users", operation_id = "user_list", tag = "user",
    params(UserListQuery),
    responses((status = 200, description = "A page of users.", body = Page<User>))
)]
pub(crate) async fn user_list(
    state: State,
    caller: Caller,
    Query(query): Query<UserListQuery>,
) -> Result<Json<Page<User>>> {
    let (limit, page_token) = (query.limit, query.page_token);
    let cursor = Cursor::<UserId>::new(&PageQuery { limit, page_token })?;
    let filter = UserFilter {
        labels: label_filter(query.labels)?,
        external_id: text_filter("external_id", query.external_id)?,
        email: text_filter("email", query.email)?.map(|email: String| email.to_ascii_lowercase()),
    };
    let reach = caller.reach(Action::UserManage)?;
    let mut conn = state.pool.acquire().await?;
    let (after, rows) = (cursor.after(), cursor.rows());
    let users = db::user::user_list(&mut conn, &reach, &filter, after, rows).await?;
    Ok(Json(cursor.page(users, |user| user.id)))
}

/// Create a user
///
/// In the key's own project. Needs `user.manage` on it.
#[utoipa::path(
    post, path = "/v1/users", operation_id = "user_create", tag = "user",
    request_body = UserCreate,
    responses((status = 201, description = "The new user.", body = User))
)]
pub(crate) async fn user_create(
    state: State,
    caller: Caller,
    post: Post<UserCreate>,
) -> Result<Created<User>> {
    let user = app::user::user_create(&state, &caller, post.once, post.body).await?;
    Ok(Created(user))
}

/// View a user
///
/// Needs `user.manage` on its project.
#[utoipa::path(
    get, path = "/v1/users/{user_id}", operation_id = "user_view", tag = "user",
    params(("user_id" = UserId, Path)),
    responses((status = 200, description = "The user.", body = User,
        headers(("ETag" = String, description = "Its version, for `If-Match`."))))
)]
pub(crate) async fn user_view(
    state: State,
    caller: Caller,
    Path(id): Path<UserId>,
) -> Result<Versioned<User>> {
    let reach = caller.reach(Action::UserManage)?;
    let mut conn = state.pool.acquire().await?;
    let user = db::user::user_get(&mut conn, &reach, id).await?;
    Ok(user.ok_or_else(|| Error::not_found(id))?)
}

/// Change a user
///
/// A JSON merge patch. A disabled user is signed out everywhere, watches nothing and gets no tokens;
/// so is who gets another first password. Needs `user.manage` on its project. Email, password and to
/// enable a user again also need every right that the user has by itself and its groups, without
/// conditions: whoever chooses a password can use it. To disable one needs the user's rights on
/// projects and the cluster.
#[utoipa::path(
    patch, path = "/v1/users/{user_id}", operation_id = "user_update", tag = "user",
    params(("user_id" = UserId, Path), IfMatch),
    request_body = UserUpdate,
    responses((status = 200, description = "The user as it is now.", body = User,
        headers(("ETag" = String, description = "Its version, for `If-Match`."))))
)]
pub(crate) async fn user_update(
    state: State,
    caller: Caller,
    Path(id): Path<UserId>,
    IfMatch(expected): IfMatch,
    Body(change): Body<UserUpdate>,
) -> Result<Versioned<User>> {
    Ok(app::user::user_update(&state, &caller, id, expected, change).await?)
}

/// Delete a user
///
/// With its grants. Needs `user.manage` on its project, and every right on projects and the cluster
/// that the user has.
#[utoipa::path(
    delete, path = "/v1/users/{user_id}", operation_id = "user_delete", tag = "user",
    params(("user_id" = UserId, Path), IfMatch),
    responses((status = 204, description = "It is gone."))
)]
pub(crate) async fn user_delete(
    state: State,
    caller: Caller,
    Path(id): Path<UserId>,
    IfMatch(expected): IfMatch,
) -> Result<StatusCode> {
    app::user::user_delete(&state, &caller, id, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Let a user sign in with an OpenID provider
///
/// As whom the provider calls `subject`. Needs `user.manage` on the user's project, and every right
/// that the user has by itself and its groups, without conditions.
#[utoipa::path(
    post, path = "/v1/users/{user_id}/~link", operation_id = "user_link", tag = "user",
    params(("user_id" = UserId, Path)),
    request_body = OidcIdentity,
    responses((status = 200, description = "The user.", body = User))
)]
pub(crate) async fn user_link(
    state: State,
    caller: Caller,
    Path(id): Path<UserId>,
    post: Post<OidcIdentity>,
) -> Result<Json<User>> {
    let Post { once, body } = post;
    Ok(Json(
        app::user::user_link(&state, &caller, once, id, body).await?,
    ))
}

/// Let a user sign in with an OpenID provider no more
///
/// The user is signed out everywhere. Needs what linking needs.
#[utoipa::path(
    post, path = "/v1/users/{user_id}/~unlink", operation_id = "user_unlink", tag = "user",
    params(("user_id" = UserId, Path)),
    request_body = OidcIdentity,
    responses((status = 200, description = "The user.", body = User))
)]
pub(crate) async fn user_unlink(
    state: State,
    caller: Caller,
    Path(id): Path<UserId>,
    post: Post<OidcIdentity>,
) -> Result<Json<User>> {
    let Post { once, body } = post;
    Ok(Json(
        app::user::user_unlink(&state, &caller, once, id, body).await?,
    ))
}
