//! What a viewer's request names: a camera and a token.

use std::sync::Arc;

use axum::http::{HeaderMap, Uri, header};
use headworks_types::{Action, CameraId, ProblemCode};

use super::{PlaybackState, problem::Refusal};
use crate::{access::Session, hub::Stream};

/// The camera in the path. One that does not parse cannot exist.
pub(super) fn camera(text: &str) -> Result<CameraId, Refusal> {
    text.parse()
        .map_err(|_| Refusal::new(ProblemCode::NotFound))
}

/// Opens a session with the token of the request: `?token=…`, or a bearer token.
pub(super) fn open(
    state: &PlaybackState,
    camera: CameraId,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Session, Refusal> {
    let query = uri.query().unwrap_or_default();
    let in_query = url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "token")
        .map(|(_, value)| value.into_owned());
    let in_header = || {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| token.trim().to_owned())
    };
    let token = in_query.or_else(in_header);
    Ok(state
        .access
        .open(token.as_deref(), camera, Action::CameraViewLive)?)
}

/// The camera's stream, if it is on this edge.
pub(super) fn stream(state: &PlaybackState, camera: CameraId) -> Result<Arc<Stream>, Refusal> {
    state
        .hub
        .stream(camera)
        .ok_or_else(|| Refusal::new(ProblemCode::Misdirected))
}
