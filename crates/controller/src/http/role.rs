//! `/v1/roles`.

use std::str::FromStr;

use axum::{Json, http::StatusCode};
use headworks_types::{
    Action, BuiltInRole, Page, PageQuery, Role, RoleCreate, RoleId, RoleRef, RoleUpdate,
};
use uuid::Uuid;

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

/// A role's place in the list: the built-in ones come first.
#[derive(Debug, Clone, Copy)]
struct Place(RoleRef);

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        text.parse().map(Self)
    }
}

impl From<Place> for Uuid {
    fn from(Place(role): Place) -> Self {
        match role {
            RoleRef::BuiltIn(role) => Self::from_u128(1 + role as u128),
            RoleRef::Custom(id) => id.uuid(),
        }
    }
}

/// List roles
///
/// The built-in ones, and those of the projects on which the key has `user.manage`.
#[utoipa::path(
    get, path = "/v1/roles", operation_id = "role_list", tag = "role",
    params(PageQuery),
    responses((status = 200, description = "A page of roles.", body = Page<Role>))
)]
pub(crate) async fn role_list(
    state: State,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Role>>> {
    let cursor = Cursor::<Place>::new(&query)?;
    let reach = caller.reach(Action::UserManage)?;
    let mut conn = state.pool.acquire().await?;
    let (after, rows) = (cursor.after(), cursor.rows());
    let later = |role: &Role| after.is_none_or(|after| Uuid::from(Place(role.id)) > after);
    let mut roles: Vec<_> = BuiltInRole::ALL.into_iter().map(Role::from).collect();
    roles.retain(later);
    roles.extend(db::role::role_list(&mut conn, &reach, after, rows).await?);
    Ok(Json(cursor.page(roles, |role| role.id)))
}

/// Create a role
///
/// In the key's own project. Needs `user.manage` on it.
#[utoipa::path(
    post, path = "/v1/roles", operation_id = "role_create", tag = "role",
    request_body = RoleCreate,
    responses((status = 201, description = "The new role.", body = Role))
)]
pub(crate) async fn role_create(
    state: State,
    caller: Caller,
    post: Post<RoleCreate>,
) -> Result<Created<Role>> {
    let role = app::role::role_create(&state, &caller, post.once, post.body).await?;
    Ok(Created(role))
}

/// View a role
///
/// Needs `user.manage` on its project; a built-in one can be viewed by whoever manages users
/// anywhere.
#[utoipa::path(
    get, path = "/v1/roles/{role_id}", operation_id = "role_view", tag = "role",
    params(("role_id" = RoleRef, Path)),
    responses((status = 200, description = "The role.", body = Role,
        headers(("ETag" = String, description = "Its version, for `If-Match`."))))
)]
pub(crate) async fn role_view(
    state: State,
    caller: Caller,
    Path(role): Path<RoleRef>,
) -> Result<Versioned<Role>> {
    let reach = caller.reach(Action::UserManage)?;
    let id = match role {
        RoleRef::BuiltIn(role) => {
            let (version, thing) = (0, role.into());
            return Ok(Versioned { version, thing });
        }
        RoleRef::Custom(id) => id,
    };
    // It takes a lock, which who only reads may not.
    let mut tx = state.pool.begin().await?;
    let found = db::role::role_get(&mut tx, &reach, id).await?;
    Ok(found.ok_or_else(|| Error::not_found(id))?)
}

/// Change a role
///
/// A JSON merge patch. It changes every grant of the role at once. Needs `user.manage` on its
/// project, and on all of that each action that is added or taken out. Built-in roles stay.
#[utoipa::path(
    patch, path = "/v1/roles/{role_id}", operation_id = "role_update", tag = "role",
    params(("role_id" = RoleId, Path), IfMatch),
    request_body = RoleUpdate,
    responses((status = 200, description = "The role as it is now.", body = Role,
        headers(("ETag" = String, description = "Its version, for `If-Match`."))))
)]
pub(crate) async fn role_update(
    state: State,
    caller: Caller,
    Path(id): Path<RoleId>,
    IfMatch(expected): IfMatch,
    Body(change): Body<RoleUpdate>,
) -> Result<Versioned<Role>> {
    Ok(app::role::role_update(&state, &caller, id, expected, change).await?)
}

/// Delete a role
///
/// One that is granted to nobody. Needs `user.manage` on its project.
#[utoipa::path(
    delete, path = "/v1/roles/{role_id}", operation_id = "role_delete", tag = "role",
    params(("role_id" = RoleId, Path), IfMatch),
    responses((status = 204, description = "It is gone."))
)]
pub(crate) async fn role_delete(
    state: State,
    caller: Caller,
    Path(id): Path<RoleId>,
    IfMatch(expected): IfMatch,
) -> Result<StatusCode> {
    app::role::role_delete(&state, &caller, id, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}
