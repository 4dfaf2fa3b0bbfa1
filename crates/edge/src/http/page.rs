//! The page with a player, and its script and style.

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use headworks_types::{ProblemCode, ViewProtocol};

use super::{
    Viewing,
    problem::Refusal,
    request::{self, Asker},
};

const PAGE: &str = include_str!("watch.html");
const SCRIPT: &str = include_str!("watch.js");
const STYLE: &str = include_str!("watch.css");

/// Everything comes from this server; nothing inline runs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'";

/// `/live/{camera_id}/watch?token=…`. The page holds no secret but the camera's name in its title: a
/// browser whose token is refused gets it too, without the name, with the status of the refusal, and
/// its script says in words what is wrong.
pub(super) async fn watch(
    State(state): State<Viewing>,
    Path(camera): Path<String>,
    asker: Asker,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let camera = request::camera(&camera)?;
    let checked = asker.check(&state, camera, ViewProtocol::Hls);
    let (status, page) = match checked {
        Ok(()) => (StatusCode::OK, titled(&state.streams.name(camera))),
        Err(refusal @ Refusal::Elsewhere(_)) => return Err(refusal),
        Err(refusal) if wants_page(&headers) => (refusal.into_response().status(), PAGE.to_owned()),
        Err(refusal) => return Err(refusal),
    };
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    Ok((status, headers, page).into_response())
}

const TITLE: &str = "<title>Headworks</title>";

/// The page, called as its camera.
fn titled(name: &str) -> String {
    if name.is_empty() {
        return PAGE.to_owned();
    }
    let name = name.replace('&', "&amp;").replace('<', "&lt;");
    PAGE.replacen(TITLE, &format!("<title>{name}</title>"), 1)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_title_is_the_name_and_nothing_more() {
        let page = titled("Gate <b> & co");
        assert!(
            page.contains("<title>Gate &lt;b> &amp; co</title>"),
            "{page}"
        );
        assert!(!page.contains(TITLE));
        assert!(titled("").contains(TITLE));
    }
}
