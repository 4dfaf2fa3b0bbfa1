//! A stream that goes on in the answer for as long as somebody watches: FLV, MPEG-TS.
//!
//! The request is checked here; then the socket goes to a writer shard of the hub.

use std::sync::Arc;

use axum::{
    Extension, RequestPartsExt as _,
    extract::{FromRequestParts, Path},
    http::{HeaderMap, Method, header, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use headworks_types::{CameraId, ProblemCode, ViewProtocol};

use super::{
    Viewing,
    problem::Refusal,
    request::{self, Asker},
    takeover::Takeover,
    websocket,
};
use crate::{
    hub::{
        Control, Format, Hub, NewViewer, NoPicture, Selection, Sink, Sound, Stream, ViewerGuard,
        control,
    },
    session::Session,
    socket::into_sink,
    visitors::Place,
};

/// A request for an endless answer.
pub(super) struct Watch {
    state: Viewing,
    camera: CameraId,
    asker: Asker,
    method: Method,
    headers: HeaderMap,
    takeover: Option<Takeover>,
}

impl FromRequestParts<Viewing> for Watch {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &Viewing) -> Result<Self, Refusal> {
        let camera = parts.extract::<Path<String>>().await;
        let Path(camera) = camera.map_err(|_| Refusal::new(ProblemCode::NotFound))?;
        let camera = request::camera(&camera)?;
        let asker = parts.extract_with_state::<Asker, _>(state).await?;
        let takeover = parts.extract::<Extension<Takeover>>().await.ok();
        Ok(Self {
            state: state.clone(),
            camera,
            asker,
            method: parts.method.clone(),
            headers: parts.headers.clone(),
            takeover: takeover.map(|Extension(takeover)| takeover),
        })
    }
}

impl Watch {
    /// Answers with the stream in this format.
    pub(super) async fn answer(
        self,
        format: Format,
        content_type: &'static str,
    ) -> Result<Response, Refusal> {
        if self.method == Method::HEAD {
            let protocol = protocol(format);
            self.asker.check(&self.state, self.camera, protocol)?;
            if !self.state.streams.knows(self.camera) {
                return Err(Refusal::new(ProblemCode::Misdirected));
            }
            return Ok([(header::CONTENT_TYPE, content_type)].into_response());
        }
        let opened = self.open(format, head(content_type)).await?;
        let takeover = opened.takeover.clone();
        takeover.request(move |socket, place| async move {
            let hub = opened.hub.clone();
            hub.add_viewer(opened.viewer(into_sink(socket), None, place))
                .await;
        });
        // The connection is taken apart while this waits.
        std::future::pending().await
    }

    /// The answer to the handshake of a WebSocket, if the request is one.
    pub(super) fn websocket(&self) -> Option<Bytes> {
        websocket::answer(&self.method, &self.headers)
    }

    /// Sends the stream through a WebSocket that was asked for.
    pub(super) async fn answer_websocket(
        self,
        format: Format,
        head: Bytes,
    ) -> Result<Response, Refusal> {
        let opened = self.open(format, head).await?;
        let takeover = opened.takeover.clone();
        takeover.request(move |socket, place| async move {
            let (handle, control) = control();
            let (sink, ears) = websocket::Ears::share(socket);
            let hub = opened.hub.clone();
            hub.add_viewer(opened.viewer(sink, Some(control), place))
                .await;
            websocket::listen(&ears, &handle).await;
        });
        std::future::pending().await
    }

    /// Waits until there is something to show.
    async fn open(self, format: Format, head: Bytes) -> Result<Opened, Refusal> {
        let Some(takeover) = self.takeover else {
            return Err(Refusal::new(ProblemCode::Internal));
        };
        let session = self
            .asker
            .open(&self.state, self.camera, protocol(format))?;
        let stream = request::stream(&self.state, self.camera)?;
        let hub = self.state.streams.hub().clone();
        let selection = Selection::of(&session);
        let sound = selection.sound(format.sound());
        let guard = stream.add_viewer_for(sound);
        let limit = hub.config().picture_wait;
        stream.wait_for_picture(limit).await?;
        if sound == Some(Sound::Aac) {
            stream.wait_for_aac().await;
        }
        let start = stream.start();
        if let Some(words) = start.and_then(|start| format.refuses(&start.description)) {
            return Err(NoPicture::Because(words.to_owned()).into());
        }
        Ok(Opened {
            takeover,
            hub,
            stream,
            format,
            selection,
            head,
            guard,
            session,
        })
    }
}

/// Everything of a viewer but its socket.
struct Opened {
    takeover: Takeover,
    hub: Hub,
    stream: Arc<Stream>,
    format: Format,
    selection: Selection,
    head: Bytes,
    guard: ViewerGuard,
    session: Session,
}

impl Opened {
    fn viewer(self, sink: Sink, control: Option<Control>, place: Place) -> NewViewer {
        NewViewer {
            sink,
            format: self.format,
            selection: self.selection,
            head: self.head,
            stream: self.stream,
            start: None,
            control,
            guard: self.guard,
            watch_until: self.session.watch_until(),
            connection: Some(place),
            session: Some(self.session),
        }
    }
}

/// What a session in this format is called.
fn protocol(format: Format) -> ViewProtocol {
    match format {
        Format::FlvWebSocket => ViewProtocol::FlvWebsocket,
        Format::Ts => ViewProtocol::Ts,
        _ => ViewProtocol::Flv,
    }
}

/// What goes out before the first byte of media. Without a length and without chunks: the body ends
/// with the connection (RFC 9112 §6.3).
fn head(content_type: &str) -> Bytes {
    let head = format!(
        "HTTP/1.1 200 OK\r\n\
         content-type: {content_type}\r\n\
         cache-control: no-store\r\n\
         referrer-policy: no-referrer\r\n\
         x-content-type-options: nosniff\r\n\
         access-control-allow-origin: *\r\n\
         connection: close\r\n\r\n"
    );
    head.into()
}
