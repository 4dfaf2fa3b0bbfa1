//! `/v1/api_keys`.

use axum::Json;
use headworks_types::{Action, ApiKey, ApiKeyCreate, ApiKeyCreated, ApiKeyId, Page, PageQuery};

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

/// List API keys
///
/// Those of the projects on which the key has `user.manage`, also revoked and expired ones.
#[utoipa::path(
    get, path = "/v1/api_keys", operation_id = "api_key_list", tag = "api_key",
    params(PageQuery),
    responses((status = 200, description = "A page of keys.", body = Page<ApiKey>))
)]
pub(crate) async fn api_key_list(
    state: State,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<ApiKey>>> {
    let cursor = Cursor::<ApiKeyId>::new(&query)?;
    let reach = caller.reach(Action::UserManage)?;
    let mut conn = state.pool.acquire().await?;
    let (after, rows) = (cursor.after(), cursor.rows());
    let keys = db::api_key::api_key_list(&mut conn, &reach, after, rows).await?;
    Ok(Json(cursor.page(keys, |key| key.id)))
}

/// Create an API key
///
/// It may do nothing until it is granted something. The secret is shown this once. Needs
/// `user.manage` on the project.
#[utoipa::path(
    post, path = "/v1/api_keys", operation_id = "api_key_create", tag = "api_key",
    request_body = ApiKeyCreate,
    responses((status = 201, description = "The key and its secret.", body = ApiKeyCreated))
)]
pub(crate) async fn api_key_create(
    state: State,
    caller: Caller,
    post: Post<ApiKeyCreate>,
) -> Result<Created<ApiKeyCreated>> {
    let created = app::api_key::api_key_create(&state, &caller, post.once, post.body).await?;
    Ok(Created(created))
}

/// View an API key
///
/// Needs `user.manage` on its project.
#[utoipa::path(
    get, path = "/v1/api_keys/{api_key_id}", operation_id = "api_key_view", tag = "api_key",
    params(("api_key_id" = ApiKeyId, Path)),
    responses((status = 200, description = "The key.", body = ApiKey))
)]
pub(crate) async fn api_key_view(
    state: State,
    caller: Caller,
    Path(id): Path<ApiKeyId>,
) -> Result<Json<ApiKey>> {
    let reach = caller.reach(Action::UserManage)?;
    let mut conn = state.pool.acquire().await?;
    let key = db::api_key::api_key_get(&mut conn, &reach, id).await?;
    Ok(Json(key.ok_or_else(|| Error::not_found(id))?))
}

/// Revoke an API key
///
/// It works no more. A key may revoke itself; other keys need `user.manage` on the project and
/// every right on projects and the cluster that the revoked key has. The last key that may manage
/// keys in the whole cluster stays.
#[utoipa::path(
    post, path = "/v1/api_keys/{api_key_id}/~revoke", operation_id = "api_key_revoke",
    tag = "api_key",
    params(("api_key_id" = ApiKeyId, Path)),
    responses((status = 200, description = "The key.", body = ApiKey))
)]
pub(crate) async fn api_key_revoke(
    state: State,
    caller: Caller,
    Path(id): Path<ApiKeyId>,
    post: Post<Nothing>,
) -> Result<Json<ApiKey>> {
    let key = app::api_key::api_key_revoke(&state, &caller, post.once, id).await?;
    Ok(Json(key))
}
