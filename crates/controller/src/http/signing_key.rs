//! `/v1/signing_keys`.

use axum::Json;
use headworks_types::{Page, SigningKey};

use super::{
    answer::Created,
    error::Result,
    extract::{Nothing, Path, Post},
};
use crate::{
    app::{self, Caller},
    state::State,
};

/// List signing keys
///
/// The oldest first, all on one page; revoked ones stay for 90 days. Needs `node.manage` on the
/// cluster.
#[utoipa::path(
    get, path = "/v1/signing_keys", operation_id = "signing_key_list", tag = "signing_key",
    responses((status = 200, description = "All signing keys.", body = Page<SigningKey>))
)]
pub(crate) async fn signing_key_list(
    state: State,
    caller: Caller,
) -> Result<Json<Page<SigningKey>>> {
    let items = app::signing_key::signing_key_list(&state, &caller).await?;
    Ok(Json(Page {
        items,
        next_page_token: None,
    }))
}

/// Rotate the signing key
///
/// Makes a key that will sign as soon as every living edge knows it; no viewer is refused. If there
/// is such a key already, that is the answer. Needs `node.manage` on the cluster.
#[utoipa::path(
    post, path = "/v1/signing_keys:rotate", operation_id = "signing_key_rotate",
    tag = "signing_key",
    responses((status = 201, description = "The key that will sign.", body = SigningKey))
)]
pub(crate) async fn signing_key_rotate(
    state: State,
    caller: Caller,
    post: Post<Nothing>,
) -> Result<Created<SigningKey>> {
    let key = app::signing_key::signing_key_rotate(&state, &caller, post.once).await?;
    Ok(Created(key))
}

/// Revoke a signing key
///
/// For a key that has become known: tokens that it has signed open nothing from now on, and whoever
/// watches with one is thrown out. If it is the one that signs, another takes its place at once.
/// Needs `node.manage` on the cluster.
#[utoipa::path(
    post, path = "/v1/signing_keys/{kid}/~revoke", operation_id = "signing_key_revoke",
    tag = "signing_key",
    params(("kid" = String, Path)),
    responses((status = 200, description = "The key.", body = SigningKey))
)]
pub(crate) async fn signing_key_revoke(
    state: State,
    caller: Caller,
    Path(kid): Path<String>,
    post: Post<Nothing>,
) -> Result<Json<SigningKey>> {
    let key = app::signing_key::signing_key_revoke(&state, &caller, post.once, &kid).await?;
    Ok(Json(key))
}
