//! The API: every route, and the description that is made of the routes.

mod answer;
mod edge;
mod envelope;
pub(crate) mod error;
pub(crate) mod extract;
mod health;
mod join_token;
mod node;
mod page;
mod spec;
mod verb;

use axum::{Router, extract::DefaultBodyLimit, middleware, routing::get};
use tower::{Layer, util::MapRequestLayer};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::SwaggerUi;

use crate::state::State;

const BODY_LIMIT: usize = 1 << 20;
const BULK_BODY_LIMIT: usize = 8 << 20;

/// The API for operators and programs.
fn api() -> OpenApiRouter<State> {
    OpenApiRouter::new()
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

/// Everything that the controller serves.
pub(crate) fn router(state: State) -> Router {
    let mut description = openapi();
    if let Some(url) = &state.config.public_url {
        description.servers = Some(vec![utoipa::openapi::Server::new(url.as_str())]);
    }
    let (router, _) = api().merge(edge::router()).split_for_parts();
    let router = router
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .merge(SwaggerUi::new("/docs").url("/openapi.json", description))
        .fallback(envelope::no_route)
        .method_not_allowed_fallback(envelope::no_method)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(CatchPanicLayer::custom(envelope::panicked))
        .layer(middleware::from_fn_with_state(
            state.clone(),
            envelope::envelope,
        ))
        .with_state(state);
    // Paths must be rewritten before they are routed, so around the router.
    Router::new().fallback_service(MapRequestLayer::new(verb::split).layer(router))
}
