//! `/v1/playback_tokens`, and the keys that verify them.

use axum::{Json, http::header};
use headworks_types::{Jwks, PlaybackToken, PlaybackTokenCreate, PlaybackTokenRevoke};

use super::{answer::Created, error::Result, extract::Post};
use crate::{
    app::{self, Caller, signing_key::jwks},
    state::State,
};

/// Issue a playback token
///
/// For a user, with `user.manage` on the user's project: then the user's grants decide what the
/// token opens, and the caller's own, too. Else for the caller itself, or for somebody whom it calls
/// `viewer_id`: then its own grants decide.
#[utoipa::path(
    post, path = "/v1/playback_tokens", operation_id = "playback_token_issue",
    tag = "playback_token",
    request_body = PlaybackTokenCreate,
    responses((status = 201, description = "The token and where to use it.", body = PlaybackToken))
)]
pub(crate) async fn playback_token_issue(
    state: State,
    caller: Caller,
    post: Post<PlaybackTokenCreate>,
) -> Result<Created<PlaybackToken>> {
    let Post { once, body } = post;
    let token = app::playback_token::playback_token_issue(&state, &caller, once, body).await?;
    Ok(Created(token))
}

/// Revoke a playback token
///
/// It opens nothing any more, and whoever watches with it is thrown out within two seconds. Needs
/// `user.manage` on the project of its cameras.
#[utoipa::path(
    post, path = "/v1/playback_tokens:revoke", operation_id = "playback_token_revoke",
    tag = "playback_token",
    request_body = PlaybackTokenRevoke,
    responses((status = 200, description = "It is revoked.", body = PlaybackTokenRevoke))
)]
pub(crate) async fn playback_token_revoke(
    state: State,
    caller: Caller,
    post: Post<PlaybackTokenRevoke>,
) -> Result<Json<PlaybackTokenRevoke>> {
    let Post { once, body } = post;
    let token = app::playback_token::playback_token_revoke(&state, &caller, once, body).await?;
    Ok(Json(token))
}

/// The keys that playback tokens are signed with
///
/// A JSON Web Key Set (RFC 7517). Public.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", operation_id = "jwks_view", tag = "playback_token",
    security(()),
    responses((status = 200, description = "The keys.", body = Jwks))
)]
pub(crate) async fn jwks_view(
    state: State,
) -> Result<([(header::HeaderName, &'static str); 1], Json<Jwks>)> {
    let mut conn = state.pool.acquire().await?;
    let keys = jwks(&mut conn).await?;
    Ok(([(header::CACHE_CONTROL, "public, max-age=60")], Json(keys)))
}
