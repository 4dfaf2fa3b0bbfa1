//! `/v1/join_tokens`.

use axum::Json;
use headworks_types::{
    Action, JoinToken, JoinTokenCreate, JoinTokenCreated, JoinTokenId, Page, PageQuery,
};

use super::{
    answer::Created,
    error::Result,
    extract::{Nothing, Path, Post, Query},
    page::Cursor,
};
use crate::{
    app::{self, Caller, Scope},
    db,
    state::State,
};

/// Create a join token
///
/// Needs `node.manage` on the cluster. The secret is shown this once.
#[utoipa::path(
    post, path = "/v1/join_tokens", operation_id = "join_token_create", tag = "join_token",
    request_body = JoinTokenCreate,
    responses((status = 201, description = "The token and its secret.", body = JoinTokenCreated))
)]
pub(crate) async fn join_token_create(
    state: State,
    caller: Caller,
    post: Post<JoinTokenCreate>,
) -> Result<Created<JoinTokenCreated>> {
    let created =
        app::join_token::join_token_create(&state, &caller, post.once, &post.body).await?;
    Ok(Created(created))
}

/// List join tokens
///
/// Those that work no more stay for a day. Needs `node.manage` on the cluster.
#[utoipa::path(
    get, path = "/v1/join_tokens", operation_id = "join_token_list", tag = "join_token",
    params(PageQuery),
    responses((status = 200, description = "A page of tokens.", body = Page<JoinToken>))
)]
pub(crate) async fn join_token_list(
    state: State,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<JoinToken>>> {
    caller.require(Action::NodeManage, Scope::Cluster)?;
    let cursor = Cursor::<JoinTokenId>::new(&query)?;
    let mut conn = state.pool.acquire().await?;
    let after = cursor.after().map(JoinTokenId::from);
    let tokens = db::join_token::join_token_list(&mut conn, after, cursor.rows()).await?;
    Ok(Json(cursor.page(tokens, |token| token.id)))
}

/// Revoke a join token
///
/// Nodes that have joined by it stay. Needs `node.manage` on the cluster.
#[utoipa::path(
    post, path = "/v1/join_tokens/{join_token_id}/~revoke",
    operation_id = "join_token_revoke", tag = "join_token",
    params(("join_token_id" = JoinTokenId, Path)),
    responses((status = 200, description = "The token.", body = JoinToken))
)]
pub(crate) async fn join_token_revoke(
    state: State,
    caller: Caller,
    Path(id): Path<JoinTokenId>,
    post: Post<Nothing>,
) -> Result<Json<JoinToken>> {
    let token = app::join_token::join_token_revoke(&state, &caller, post.once, id).await?;
    Ok(Json(token))
}
