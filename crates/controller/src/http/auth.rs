//! `/v1/auth`: signing in and out, and who the caller is. The operations that give tokens are
//! public; they check what is sent to them.

use axum::{
    Json,
    http::{StatusCode, header},
};
use headworks_types::{
    Auth, AuthRefresh, OidcBegin, OidcBegun, OidcComplete, OidcProvider, Page, PasswordChange,
    SignIn, SignedIn,
};

use super::{
    error::Result,
    extract::{Json as Body, Nothing, Path},
};
use crate::{
    app::{self, Caller, Origin},
    state::State,
};

/// An answer that no cache keeps.
type Unkept<T> = ([(header::HeaderName, &'static str); 1], Json<T>);

fn unkept<T>(answer: T) -> Unkept<T> {
    ([(header::CACHE_CONTROL, "no-store")], Json(answer))
}

/// Who am I
///
/// Whom the credential belongs to, and in short what they may do.
#[utoipa::path(
    get, path = "/v1/auth", operation_id = "auth_view", tag = "auth",
    responses((status = 200, description = "Who asks.", body = Auth))
)]
pub(crate) async fn auth_view(state: State, caller: Caller) -> Result<Json<Auth>> {
    Ok(Json(app::auth::auth_view(&state, &caller).await?))
}

/// Sign in with email and password
///
/// Public. Whoever fails is not told why, except that the code `password_change_required` asks for
/// a `new_password`. After some failures it answers 429 for a while.
#[utoipa::path(
    post, path = "/v1/auth:sign_in", operation_id = "auth_sign_in", tag = "auth",
    security(()),
    request_body = SignIn,
    responses((status = 200, description = "Tokens.", body = SignedIn))
)]
pub(crate) async fn auth_sign_in(
    state: State,
    origin: Origin,
    Body(ask): Body<SignIn>,
) -> Result<Unkept<SignedIn>> {
    Ok(unkept(app::auth::auth_sign_in(&state, &origin, ask).await?))
}

/// Exchange a refresh token for new tokens
///
/// Public. Each refresh token works once: one that is used again ends what was signed in to.
#[utoipa::path(
    post, path = "/v1/auth:refresh", operation_id = "auth_refresh", tag = "auth",
    security(()),
    request_body = AuthRefresh,
    responses((status = 200, description = "Tokens.", body = SignedIn))
)]
pub(crate) async fn auth_refresh(
    state: State,
    Body(ask): Body<AuthRefresh>,
) -> Result<Unkept<SignedIn>> {
    Ok(unkept(app::auth::auth_refresh(&state, &ask).await?))
}

/// Sign out
///
/// Access token and refresh token work no more. For people only.
#[utoipa::path(
    post, path = "/v1/auth:sign_out", operation_id = "auth_sign_out", tag = "auth",
    responses((status = 204, description = "Signed out."))
)]
pub(crate) async fn auth_sign_out(
    state: State,
    caller: Caller,
    _: Body<Nothing>,
) -> Result<StatusCode> {
    app::auth::auth_sign_out(&state, &caller, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sign out everywhere
///
/// No token of the user works any more. For people only.
#[utoipa::path(
    post, path = "/v1/auth:sign_out_everywhere", operation_id = "auth_sign_out_everywhere",
    tag = "auth",
    responses((status = 204, description = "Signed out."))
)]
pub(crate) async fn auth_sign_out_everywhere(
    state: State,
    caller: Caller,
    _: Body<Nothing>,
) -> Result<StatusCode> {
    app::auth::auth_sign_out(&state, &caller, true).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Change one's own password
///
/// Everything that the user was signed in to ends; the answer has new tokens. For people only.
#[utoipa::path(
    post, path = "/v1/auth:change_password", operation_id = "auth_change_password", tag = "auth",
    request_body = PasswordChange,
    responses((status = 200, description = "Tokens.", body = SignedIn))
)]
pub(crate) async fn auth_change_password(
    state: State,
    caller: Caller,
    Body(ask): Body<PasswordChange>,
) -> Result<Unkept<SignedIn>> {
    let signed_in = app::auth::auth_change_password(&state, &caller, ask).await?;
    Ok(unkept(signed_in))
}

/// List the OpenID providers
///
/// Those that people can sign in with here. Public.
#[utoipa::path(
    get, path = "/v1/auth/oidc", operation_id = "auth_oidc_list", tag = "auth",
    security(()),
    responses((status = 200, description = "All providers.", body = Page<OidcProvider>))
)]
pub(crate) async fn auth_oidc_list(state: State) -> Json<Page<OidcProvider>> {
    Json(Page {
        items: app::auth::oidc::auth_oidc_list(&state),
        next_page_token: None,
    })
}

/// Begin to sign in with an OpenID provider
///
/// Public. Send the browser to the `authorization_url`, and keep `state` with it.
#[utoipa::path(
    post, path = "/v1/auth/oidc/{provider}/~begin", operation_id = "auth_oidc_begin", tag = "auth",
    params(("provider" = String, Path, description = "Its name.")),
    security(()),
    request_body = OidcBegin,
    responses((status = 200, description = "Where to send the browser.", body = OidcBegun))
)]
pub(crate) async fn auth_oidc_begin(
    state: State,
    Path(provider): Path<String>,
    Body(ask): Body<OidcBegin>,
) -> Result<Unkept<OidcBegun>> {
    let begun = app::auth::oidc::auth_oidc_begin(&state, &provider, ask).await?;
    Ok(unkept(begun))
}

/// Complete to sign in with an OpenID provider
///
/// Public. Compare `state` with the kept one first.
#[utoipa::path(
    post, path = "/v1/auth/oidc/{provider}/~complete", operation_id = "auth_oidc_complete",
    tag = "auth",
    params(("provider" = String, Path, description = "Its name.")),
    security(()),
    request_body = OidcComplete,
    responses((status = 200, description = "Tokens.", body = SignedIn))
)]
pub(crate) async fn auth_oidc_complete(
    state: State,
    origin: Origin,
    Path(provider): Path<String>,
    Body(ask): Body<OidcComplete>,
) -> Result<Unkept<SignedIn>> {
    let done = app::auth::oidc::auth_oidc_complete(&state, &origin, &provider, ask).await?;
    Ok(unkept(done))
}
