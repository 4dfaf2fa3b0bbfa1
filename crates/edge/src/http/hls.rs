//! HLS: the token opens the multivariant playlist, whose children carry the session's ticket.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use headworks_hls::{Segment, Window};
use headworks_types::ProblemCode;
use hyper::body::{Frame, SizeHint};
use uuid::Uuid;

use super::{PlaybackState, problem::Refusal, request};
use crate::hub::Stream;

const PLAYLIST: &str = "application/vnd.apple.mpegurl";
const MEDIA: &str = "video/mp4";

/// `/live/{camera_id}/index.m3u8?token=…`
pub(super) async fn multivariant(
    State(state): State<PlaybackState>,
    Path(camera): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let camera = request::camera(&camera)?;
    let session = request::open(&state, camera, &uri, &headers)?;
    let stream = request::stream(&state, camera)?;
    let window = window(&state, &stream, session.id).await?;
    let child = format!("s/{}/media.m3u8", state.access.ticket(&session));
    let playlist = headworks_hls::multivariant(&window, &child);
    text(playlist.ok_or_else(|| Refusal::no_picture(&stream))?)
}

/// `/live/{camera_id}/s/{ticket}/…`: the media playlist and what it names.
pub(super) async fn child(
    State(state): State<PlaybackState>,
    Path((camera, ticket, file)): Path<(String, String, String)>,
) -> Result<Response, Refusal> {
    let camera = request::camera(&camera)?;
    let session = state.access.resume(&ticket, camera)?;
    let stream = request::stream(&state, camera)?;
    let window = window(&state, &stream, session.id).await?;
    let missing = || Refusal::new(ProblemCode::NotFound);
    if file == "media.m3u8" {
        text(
            window
                .playlist()
                .ok_or_else(|| Refusal::no_picture(&stream))?,
        )
    } else if let Some(number) = number(&file, "seg-", ".m4s") {
        let segment = window.segment(number).ok_or_else(missing)?;
        let body = Body::new(SegmentBody::new(Arc::clone(segment)));
        Ok(([(header::CONTENT_TYPE, MEDIA)], body).into_response())
    } else if let Some(number) = number(&file, "init-", ".mp4") {
        let init = window.init(number).ok_or_else(missing)?;
        Ok(([(header::CONTENT_TYPE, MEDIA)], init.bytes.clone()).into_response())
    } else {
        Err(missing())
    }
}

/// What can be fetched now. The first viewer of a camera waits for its first segment.
async fn window(
    state: &PlaybackState,
    stream: &Arc<Stream>,
    session: Uuid,
) -> Result<Arc<Window>, Refusal> {
    if let Some(window) = stream.hls(session, Duration::ZERO).await {
        return Ok(window);
    }
    let limit = state.hub.config().picture_wait;
    let _counted = stream.add_viewer();
    stream.wait_for_picture(limit).await?;
    let window = stream.hls(session, limit).await;
    window.ok_or_else(|| Refusal::no_picture(stream))
}

fn number(file: &str, prefix: &str, suffix: &str) -> Option<u64> {
    file.strip_prefix(prefix)?
        .strip_suffix(suffix)?
        .parse()
        .ok()
}

fn text(playlist: String) -> Result<Response, Refusal> {
    Ok(([(header::CONTENT_TYPE, PLAYLIST)], playlist).into_response())
}

/// A segment's bytes, piece by piece, without joining them.
struct SegmentBody {
    segment: Arc<Segment>,
    next: usize,
    left: u64,
}

impl SegmentBody {
    fn new(segment: Arc<Segment>) -> Self {
        Self {
            left: segment.length,
            segment,
            next: 0,
        }
    }
}

impl hyper::body::Body for SegmentBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let chunk = self.segment.chunks.get(self.next).cloned();
        self.next += 1;
        self.left -= chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
