//! The API: every route, and the description that is made of the routes.
#![expect(
    unused_qualifications,
    reason = "utoipa's macro writes them for parameter types"
)]

mod access;
mod answer;
mod api_key;
mod audit;
mod auth;
mod camera;
mod camera_group;
mod camera_playback;
mod cluster;
mod edge;
mod envelope;
mod error;
mod event;
mod extract;
mod grant;
mod health;
mod join_token;
mod limit;
mod node;
mod page;
mod plan;
mod playback_key;
mod playback_token;
mod project;
mod restream;
mod role;
mod server;
mod session;
mod signing_key;
mod slot;
mod spec;
mod stream_key;
mod user;
mod user_group;
mod verb;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{self, map_response},
    routing::get,
};
use tower::{Layer, util::MapRequestLayer};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::SwaggerUi;

pub(crate) use limit::Limits;
pub use limit::RateLimitConfig;
pub(crate) use server::Server;

use crate::state::State;

const BODY_LIMIT: usize = 1 << 20;
const BULK_BODY_LIMIT: usize = 8 << 20;

/// The API for operators and programs.
fn api() -> OpenApiRouter<State> {
    people().merge(cameras()).merge(viewers()).merge(cluster())
}

/// Who there is, and who may do what.
fn people() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(project::project_list, project::project_create))
        .routes(routes!(project::project_view, project::project_update))
        .routes(routes!(user::user_list, user::user_create))
        .routes(routes!(
            user::user_view,
            user::user_update,
            user::user_delete
        ))
        .routes(routes!(session::user_revoke_sessions))
        .routes(routes!(user::user_link))
        .routes(routes!(user::user_unlink))
        .routes(routes!(user_group::user_group_list_of_user))
        .routes(routes!(
            user_group::user_group_list,
            user_group::user_group_create
        ))
        .routes(routes!(
            user_group::user_group_view,
            user_group::user_group_update,
            user_group::user_group_delete
        ))
        .routes(routes!(
            user_group::user_group_member_list,
            user_group::user_group_member_add
        ))
        .routes(routes!(user_group::user_group_member_remove))
        .routes(routes!(auth::auth_view))
        .routes(routes!(auth::auth_sign_in))
        .routes(routes!(auth::auth_refresh))
        .routes(routes!(auth::auth_sign_out))
        .routes(routes!(auth::auth_sign_out_everywhere))
        .routes(routes!(auth::auth_change_password))
        .routes(routes!(auth::auth_oidc_list))
        .routes(routes!(auth::auth_oidc_begin))
        .routes(routes!(auth::auth_oidc_complete))
        .routes(routes!(api_key::api_key_list, api_key::api_key_create))
        .routes(routes!(api_key::api_key_view))
        .routes(routes!(api_key::api_key_revoke))
        .routes(routes!(grant::grant_list, grant::grant_create))
        .routes(routes!(grant::grant_view, grant::grant_delete))
        .routes(routes!(role::role_list, role::role_create))
        .routes(routes!(
            role::role_view,
            role::role_update,
            role::role_delete
        ))
        .routes(routes!(access::access_explain))
}

/// What is watched, and by whom.
fn cameras() -> OpenApiRouter<State> {
    // The only operations with larger bodies.
    let bulk = OpenApiRouter::new()
        .routes(routes!(camera::camera_bulk_create))
        .routes(routes!(restream::restream_import))
        .layer(DefaultBodyLimit::max(BULK_BODY_LIMIT));
    OpenApiRouter::new()
        .routes(routes!(
            camera_group::camera_group_list,
            camera_group::camera_group_create
        ))
        .routes(routes!(
            camera_group::camera_group_view,
            camera_group::camera_group_update,
            camera_group::camera_group_delete
        ))
        .routes(routes!(camera::camera_list, camera::camera_create))
        .routes(routes!(
            camera::camera_view,
            camera::camera_update,
            camera::camera_delete
        ))
        .merge(bulk)
        .routes(routes!(
            stream_key::stream_key_list,
            stream_key::stream_key_create
        ))
        .routes(routes!(
            stream_key::stream_key_view,
            stream_key::stream_key_update
        ))
        .routes(routes!(stream_key::stream_key_rotate))
        .routes(routes!(stream_key::stream_key_revoke))
        .routes(routes!(restream::restream_list))
        .routes(routes!(
            restream::restream_list_of_camera,
            restream::restream_create
        ))
        .routes(routes!(
            restream::restream_view,
            restream::restream_update,
            restream::restream_delete
        ))
        .routes(routes!(restream::restream_start))
        .routes(routes!(restream::restream_stop))
        .routes(routes!(restream::restream_restart))
        .routes(routes!(playback_token::playback_token_issue))
        .routes(routes!(playback_token::playback_token_revoke))
        .routes(routes!(playback_token::jwks_view))
        .routes(routes!(
            playback_key::playback_key_list,
            playback_key::playback_key_create
        ))
        .routes(routes!(playback_key::playback_key_view))
        .routes(routes!(playback_key::playback_key_revoke))
        .routes(routes!(session::session_list))
        .routes(routes!(session::session_view))
        .routes(routes!(session::session_end))
}

/// Where viewers are sent. Who opens an address has a playback token and no other credential.
fn viewers() -> OpenApiRouter<State> {
    let addresses = OpenApiRouter::new()
        .routes(routes!(camera_playback::camera_watch))
        .routes(routes!(camera_playback::camera_live))
        .layer(map_response(camera_playback::protect))
        .layer(camera_playback::cors());
    OpenApiRouter::new()
        .routes(routes!(camera_playback::camera_playback))
        .merge(addresses)
}

/// What runs it all, and what was done.
fn cluster() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(signing_key::signing_key_list))
        .routes(routes!(signing_key::signing_key_rotate))
        .routes(routes!(signing_key::signing_key_revoke))
        .routes(routes!(event::event_list))
        .routes(routes!(audit::audit_list))
        .routes(routes!(audit::audit_export))
        .routes(routes!(node::node_list))
        .routes(routes!(node::node_view, node::node_delete))
        .routes(routes!(node::node_revoke))
        .routes(routes!(node::node_cordon))
        .routes(routes!(node::node_uncordon))
        .routes(routes!(node::node_drain))
        .routes(routes!(node::node_cancel_drain))
        .routes(routes!(cluster::cluster_view))
        .routes(routes!(cluster::cluster_release_brake))
        .routes(routes!(slot::slot_list))
        .routes(routes!(slot::move_list))
        .routes(routes!(slot::camera_explain))
        .routes(routes!(plan::plan_preview))
        .routes(routes!(
            join_token::join_token_list,
            join_token::join_token_create
        ))
        .routes(routes!(join_token::join_token_revoke))
}

/// The description of the API for operators and programs.
#[must_use]
pub fn openapi() -> OpenApi {
    spec::describe_api(api().into_openapi())
}

/// The description of the edges' API.
#[must_use]
pub fn edge_openapi() -> OpenApi {
    spec::describe_edge_api(edge::router().into_openapi())
}

/// Everything that the controller serves to operators and programs.
pub(crate) fn router(state: State) -> Router {
    let mut description = openapi();
    if let Some(url) = &state.config.public_url {
        description.servers = Some(vec![utoipa::openapi::Server::new(url.as_str())]);
    }
    let (router, inner) = api().split_for_parts();
    let docs = SwaggerUi::new("/docs").url("/openapi.json", description);
    enveloped(router.merge(docs), &inner, state)
}

/// Everything that the controller serves to edges, on a listener of their own.
pub(crate) fn edge_router(state: State) -> Router {
    let (router, inner) = edge::router().split_for_parts();
    enveloped(router, &inner, state)
}

fn enveloped(router: Router<State>, described: &OpenApi, state: State) -> Router {
    let around = envelope::Around::new(state.clone(), described);
    let router = router
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .fallback(envelope::no_route)
        .method_not_allowed_fallback(envelope::no_method)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(CatchPanicLayer::custom(envelope::panicked))
        .layer(middleware::from_fn_with_state(around, envelope::envelope))
        .with_state(state);
    // Paths must be rewritten before they are routed, so around the router.
    Router::new().fallback_service(MapRequestLayer::new(verb::split).layer(router))
}
