//! What a viewer's request names: a camera and a token; and from where it comes.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, Uri, header, request::Parts},
};
use headworks_types::{Action, CameraId, ProblemCode, ViewProtocol};

use super::{Viewing, problem::Refusal, server::ClientAddress};
use crate::{
    elsewhere::{self, Advice, Asked},
    hub::Stream,
    session::{Client, Session},
};

/// Who asks to watch.
#[derive(Clone)]
pub(super) struct Asker {
    uri: Uri,
    token: Option<String>,
    address: IpAddr,
    origin: Option<String>,
}

impl FromRequestParts<Viewing> for Asker {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Viewing) -> Result<Self, Refusal> {
        let client = parts.extensions.get::<ClientAddress>();
        let ClientAddress(address) = *client.ok_or_else(|| Refusal::new(ProblemCode::Internal))?;
        let origin = parts.headers.get(header::ORIGIN);
        let origin = origin.and_then(|origin| origin.to_str().ok());
        Ok(Self {
            uri: parts.uri.clone(),
            token: token(&parts.uri, &parts.headers),
            address,
            origin: origin.map(str::to_owned),
        })
    }
}

impl Asker {
    /// Opens a session with the token of the request, unless another edge should serve it.
    pub(super) fn open(
        &self,
        state: &Viewing,
        camera: CameraId,
        protocol: ViewProtocol,
    ) -> Result<Session, Refusal> {
        let client = self.client(protocol);
        self.direct(state, camera, &client)?;
        let (token, action) = (self.token.as_deref(), Action::CameraViewLive);
        Ok(state.access.open(token, camera, action, &client)?)
    }

    /// Refuses, or sends elsewhere, if no session could be opened.
    pub(super) fn check(
        &self,
        state: &Viewing,
        camera: CameraId,
        protocol: ViewProtocol,
    ) -> Result<(), Refusal> {
        let client = self.client(protocol);
        self.direct(state, camera, &client)?;
        let (token, action) = (self.token.as_deref(), Action::CameraViewLive);
        state.access.check(token, camera, action, &client)?;
        Ok(())
    }

    fn direct(&self, state: &Viewing, camera: CameraId, client: &Client) -> Result<(), Refusal> {
        let query = self.uri.query().unwrap_or_default();
        let mut names = url::form_urlencoded::parse(query.as_bytes());
        let asked = Asked {
            token: self.token.as_deref(),
            camera,
            client,
            base: |advertise| Some(&advertise.http),
            is_marked: names.any(|(name, _)| name == elsewhere::MARK),
        };
        match state.direct(&asked)? {
            Advice::Stay => Ok(()),
            Advice::Go(base) => {
                let secret = self.token.as_deref().map(|token| ("token", token));
                let (path, query) = (self.uri.path(), self.uri.query());
                let url = elsewhere::address(&base, path, query, secret);
                Err(Refusal::elsewhere(&url))
            }
            Advice::Full(words) => Err(Refusal::unavailable(words)),
        }
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

/// The camera's stream, if it can be had here.
pub(super) fn stream(state: &Viewing, camera: CameraId) -> Result<Arc<Stream>, Refusal> {
    let found = state.streams.find(camera);
    found.ok_or_else(|| Refusal::new(ProblemCode::Misdirected))
}
