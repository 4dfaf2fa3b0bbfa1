//! What a viewer's request names: a camera and a token; and from where it comes.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, Uri, header, request::Parts},
};
use headworks_types::{Action, CameraId, ProblemCode, ViewProtocol};

use super::{PlaybackState, problem::Refusal, server::ClientAddress};
use crate::{
    access::Denied,
    hub::Stream,
    session::{Client, Session},
};

/// Who asks to watch.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    token: Option<String>,
    address: IpAddr,
    origin: Option<String>,
}

impl FromRequestParts<PlaybackState> for Asker {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &PlaybackState) -> Result<Self, Refusal> {
        let client = parts.extensions.get::<ClientAddress>();
        let ClientAddress(address) = *client.ok_or_else(|| Refusal::new(ProblemCode::Internal))?;
        let origin = parts.headers.get(header::ORIGIN);
        let origin = origin.and_then(|origin| origin.to_str().ok());
        Ok(Self {
            token: token(&parts.uri, &parts.headers),
            address,
            origin: origin.map(str::to_owned),
        })
    }
}

impl Asker {
    /// Opens a session with the token of the request.
    pub(super) fn open(
        &self,
        state: &PlaybackState,
        camera: CameraId,
        protocol: ViewProtocol,
    ) -> Result<Session, Denied> {
        let action = Action::CameraViewLive;
        let client = self.client(protocol);
        state
            .access
            .open(self.token.as_deref(), camera, action, &client)
    }

    /// Refuses if no session could be opened.
    pub(super) fn check(
        &self,
        state: &PlaybackState,
        camera: CameraId,
        protocol: ViewProtocol,
    ) -> Result<(), Denied> {
        let action = Action::CameraViewLive;
        let client = self.client(protocol);
        state
            .access
            .check(self.token.as_deref(), camera, action, &client)
    }

    /// Who asks, by this protocol.
    pub(super) fn client(&self, protocol: ViewProtocol) -> Client {
        Client {
            protocol,
            address: self.address,
            origin: self.origin.clone(),
        }
    }
}

/// The token of the request: `?token=…`, or a bearer token.
pub(crate) fn token(uri: &Uri, headers: &HeaderMap) -> Option<String> {
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
    in_query.or_else(in_header)
}

/// The camera in the path. One that does not parse cannot exist.
pub(super) fn camera(text: &str) -> Result<CameraId, Refusal> {
    text.parse()
        .map_err(|_| Refusal::new(ProblemCode::NotFound))
}

/// The camera's stream, if it is on this edge.
pub(super) fn stream(state: &PlaybackState, camera: CameraId) -> Result<Arc<Stream>, Refusal> {
    state
        .hub
        .stream(camera)
        .ok_or_else(|| Refusal::new(ProblemCode::Misdirected))
}
