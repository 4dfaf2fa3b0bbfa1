//! Serves viewers over HTTP: a page with a player, HLS, FLV also by WebSocket, and MPEG-TS.
//!
//! Everything here needs a playback token once and a session ticket afterwards. [`server`] owns
//! the connections; the socket of an endless answer leaves it for a writer shard of the hub
//! ([`takeover`], [`live`]).

mod flv;
mod hls;
mod live;
mod page;
mod problem;
mod request;
mod server;
mod takeover;
#[cfg(test)]
mod tests;
mod ts;
mod websocket;

use axum::{
    Router,
    http::{HeaderValue, Method, header},
    middleware::map_response,
    response::Response,
    routing::get,
};
use headworks_types::ProblemCode;
use tower_http::cors::{Any, CorsLayer};

#[cfg(fuzzing)]
pub(crate) use request::token;
pub(crate) use server::{MAX_CONNECTIONS, Server, client_address};

use crate::viewing::Viewing;
use problem::Refusal;

/// Every playback route.
pub(crate) fn router(state: Viewing) -> Router {
    // No cookies are involved, so any page may embed a stream that its visitor has a token for.
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::HEAD])
        .allow_headers(Any);
    Router::new()
        .route("/live/{camera_id}/watch", get(page::watch))
        .route("/live/{camera_id}/index.m3u8", get(hls::multivariant))
        .route("/live/{camera_id}/s/{ticket}/{file}", get(hls::child))
        .route("/live/{camera_id}/stream.flv", get(flv::stream))
        .route("/live/{camera_id}/stream.ts", get(ts::stream))
        .route("/assets/{file}", get(page::asset))
        .fallback(async || Refusal::new(ProblemCode::NotFound))
        .method_not_allowed_fallback(async || Refusal::new(ProblemCode::MethodNotAllowed))
        .layer(map_response(protect))
        .layer(cors)
        .with_state(state)
}

/// Addresses carry tokens and tickets: nothing may keep or pass them on.
async fn protect(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}
