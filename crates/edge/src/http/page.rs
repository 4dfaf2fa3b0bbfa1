//! The page with a player, and its script and style.

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use headworks_types::{ProblemCode, ViewProtocol};

use super::{
    PlaybackState,
    problem::Refusal,
    request::{self, Asker},
};

const PAGE: &str = include_str!("watch.html");
const SCRIPT: &str = include_str!("watch.js");
const STYLE: &str = include_str!("watch.css");

/// Everything comes from this server; nothing inline runs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'";

/// `/live/{camera_id}/watch?token=…`. The page holds no secret: a browser whose token is refused
/// gets it too, with the status of the refusal, and its script says in words what is wrong.
pub(super) async fn watch(
    State(state): State<PlaybackState>,
    Path(camera): Path<String>,
    asker: Asker,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let camera = request::camera(&camera)?;
    let checked = asker.check(&state, camera, ViewProtocol::Hls);
    let status = match checked.map_err(Refusal::from) {
        Ok(()) => StatusCode::OK,
        Err(refusal) if wants_page(&headers) => refusal.into_response().status(),
        Err(refusal) => return Err(refusal),
    };
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    Ok((status, headers, PAGE).into_response())
}

/// `/assets/…`: what the page consists of.
pub(super) async fn asset(Path(file): Path<String>) -> Result<Response, Refusal> {
    let (kind, text) = match file.as_str() {
        "watch.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "watch.css" => ("text/css; charset=utf-8", STYLE),
        _ => return Err(Refusal::new(ProblemCode::NotFound)),
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "public, max-age=300"),
    ];
    Ok((headers, text).into_response())
}

fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}
