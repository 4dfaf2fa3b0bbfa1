//! `/v1/cameras/{camera_id}/playback`, and addresses that lead players to the best edge.

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use headworks_types::{
    CameraId, CameraPlayback, CameraPlaybackRequest, LiveFile, Problem, ProblemCode, Secret,
};
use tower_http::cors::{Any, CorsLayer};
use url::{Url, form_urlencoded};
use utoipa::IntoParams;

use super::{
    answer::Created,
    error::{Refusal, Result},
    extract::{Path, Post, bearer},
};
use crate::{
    app::{self, Caller, Origin, camera_playback::Visit},
    state::State,
};

/// Find where to watch a camera best
///
/// Issues a playback token, as `playback_token_issue` does and with the same rights, and names the edges
/// to use it at: first the best, then others to try if that one does not answer. Edges of the viewer's
/// zone come first, then those that have the camera already. If no edge has room the code is `full`; if
/// the camera is on no node it is `no_picture`.
#[utoipa::path(
    post, path = "/v1/cameras/{camera_id}/playback", operation_id = "camera_playback",
    tag = "camera",
    params(("camera_id" = CameraId, Path)),
    request_body = CameraPlaybackRequest,
    responses((status = 201, description = "The token and the edges.", body = CameraPlayback))
)]
pub(crate) async fn camera_playback(
    state: State,
    caller: Caller,
    Path(id): Path<CameraId>,
    post: Post<CameraPlaybackRequest>,
) -> Result<Created<CameraPlayback>> {
    let Post { once, body } = post;
    let playback = app::camera_playback::camera_playback(&state, &caller, once, id, body).await?;
    Ok(Created(playback))
}

/// Open a camera's page at the best edge
///
/// The same as `/live/{camera_id}/watch`.
#[utoipa::path(
    get, path = "/watch/{camera_id}", operation_id = "camera_watch", tag = "camera",
    params(("camera_id" = CameraId, Path), VisitorQuery),
    security(("playback_token" = [])),
    responses(
        (status = 307, description = "The page is there.",
            headers(("Location" = String, description = "At the best edge, with the token."))),
        (status = 409, description = "The camera is disabled.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn camera_watch(
    state: State,
    Path(camera): Path<CameraId>,
    visitor: Visitor,
) -> Result<Elsewhere> {
    visitor.lead(&state, camera, LiveFile::Page).await
}

/// Open a camera at the best edge
///
/// An address that stays the same wherever the camera is: it leads to the same path at the edge that is
/// best for whoever asks, by zone, load and who has the camera already. Players have to follow
/// redirects. Whatever else the query says goes with it.
#[utoipa::path(
    get, path = "/live/{camera_id}/{file}", operation_id = "camera_live", tag = "camera",
    params(("camera_id" = CameraId, Path), ("file" = LiveFile, Path), VisitorQuery),
    security(("playback_token" = [])),
    responses(
        (status = 307, description = "It is there.",
            headers(("Location" = String, description = "At the best edge, with the token."))),
        (status = 409, description = "The camera is disabled.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn camera_live(
    state: State,
    Path((camera, file)): Path<(CameraId, LiveFile)>,
    visitor: Visitor,
) -> Result<Elsewhere> {
    visitor.lead(&state, camera, file).await
}

/// What the addresses take beside the token, for the description.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "`Visitor` reads the query itself: more may stand in it"
)]
pub(crate) struct VisitorQuery {
    /// The zone that the viewer is in. If absent, the one that `[controller.zones]` gives its address.
    #[param(max_length = 63)]
    zone: Option<String>,
}

/// Somebody with a playback token: in `?token=…`, or as bearer token.
pub(crate) struct Visitor {
    origin: Origin,
    token: Option<Secret>,
    zone: Option<String>,
    /// Everything else that the query says.
    others: Vec<(String, String)>,
}

impl FromRequestParts<State> for Visitor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let mut visitor = Self {
            origin: Origin::from_request_parts(parts, state).await?,
            token: None,
            zone: None,
            others: Vec::new(),
        };
        for (name, value) in pairs(&parts.uri) {
            match &*name {
                "token" if visitor.token.is_none() => visitor.token = Some(Secret::new(value)),
                "zone" if visitor.zone.is_none() => visitor.zone = Some(value),
                "token" | "zone" => {}
                _ => visitor.others.push((name, value)),
            }
        }
        let in_header = || bearer(&parts.headers).map(Secret::new);
        visitor.token = visitor.token.or_else(in_header);
        Ok(visitor)
    }
}

fn pairs(uri: &Uri) -> impl Iterator<Item = (String, String)> {
    let query = uri.query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes()).into_owned()
}

impl Visitor {
    async fn lead(self, state: &State, camera: CameraId, file: LiveFile) -> Result<Elsewhere> {
        let visit = Visit {
            camera,
            file,
            token: self.token,
            zone: self.zone,
            address: self.origin.address,
        };
        let mut url = app::camera_playback::camera_live(state, visit).await?;
        url.query_pairs_mut().extend_pairs(self.others);
        Ok(Elsewhere(url))
    }
}

/// 307: the same request is to be made there.
pub(crate) struct Elsewhere(Url);

impl IntoResponse for Elsewhere {
    fn into_response(self) -> Response {
        match HeaderValue::from_str(self.0.as_str()) {
            Ok(url) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, url)]).into_response(),
            Err(_) => {
                Refusal::new(ProblemCode::Internal, "the edge has no address").into_response()
            }
        }
    }
}

/// No cookies are involved, so any page may embed a stream that its visitor has a token for.
pub(super) fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::HEAD])
        .allow_headers(Any)
}

/// Addresses carry tokens: nothing may keep or pass them on.
pub(super) async fn protect(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    response
}
