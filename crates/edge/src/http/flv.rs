//! FLV over HTTP: checks who asks, then hands the socket to the hub.

use axum::{
    Extension,
    extract::{Path, State},
    http::{HeaderMap, Method, Uri, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use headworks_types::ProblemCode;

use super::{PlaybackState, problem::Refusal, request, takeover::Takeover};
use crate::hub::{Format, NewViewer, Selection};

/// What goes out before the first byte of FLV. Without a length and without chunks: the body ends
/// with the connection (RFC 9112 §6.3).
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\
    content-type: video/x-flv\r\n\
    cache-control: no-store\r\n\
    referrer-policy: no-referrer\r\n\
    x-content-type-options: nosniff\r\n\
    access-control-allow-origin: *\r\n\
    connection: close\r\n\r\n";

/// `/live/{camera_id}/stream.flv?token=…`
pub(super) async fn stream(
    State(state): State<PlaybackState>,
    Path(camera): Path<String>,
    takeover: Option<Extension<Takeover>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let camera = request::camera(&camera)?;
    let session = request::open(&state, camera, &uri, &headers)?;
    let stream = request::stream(&state, camera)?;
    if method == Method::HEAD {
        return Ok([(header::CONTENT_TYPE, "video/x-flv")].into_response());
    }
    let Some(Extension(takeover)) = takeover else {
        return Err(Refusal::new(ProblemCode::Internal));
    };
    let guard = stream.add_viewer();
    stream
        .wait_for_picture(state.hub.config().picture_wait)
        .await?;
    let left = session.watch_until - state.clock.now();
    let watch_until = state.clock.monotonic() + left.to_std().unwrap_or_default();
    let hub = state.hub.clone();
    takeover.request(move |socket, connection| async move {
        hub.add_viewer(NewViewer {
            sink: socket.into(),
            format: Format::Flv,
            selection: Selection::All,
            start: None,
            control: None,
            head: Bytes::from_static(HEAD),
            stream,
            guard,
            watch_until,
            connection: Some(connection),
        })
        .await;
    });
    // The connection is taken apart while this waits.
    std::future::pending().await
}
