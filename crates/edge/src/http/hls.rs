//! HLS: the token opens the multivariant playlist, whose children carry the session's ticket.
//!
//! Media is `no-store` like everything else here. A session's addresses are its own, so no shared
//! cache could serve two viewers; a player keeps what it plays in memory; and pictures of a camera
//! have no business on the disk of whoever watched them.

mod body;
mod range;

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Path, State},
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use headworks_hls::{Directives, decimal};
use headworks_types::{ProblemCode, ViewProtocol};
use hyper::body::Body as _;

use super::{
    Viewing,
    problem::Refusal,
    request::{self, Asker},
};
use crate::{
    access::Denied,
    hub::{HlsRequest, Live, Selection, Sound, Stream},
    session::Session,
};

const PLAYLIST: &str = "application/vnd.apple.mpegurl";

/// `/live/{camera_id}/index.m3u8?token=…`; with `ll=0`, for players that stumble over Low-Latency
/// HLS.
pub(super) async fn multivariant(
    State(state): State<Viewing>,
    Path(camera): Path<String>,
    uri: Uri,
    asker: Asker,
) -> Result<Response, Refusal> {
    let camera = request::camera(&camera)?;
    let session = asker.open(&state, camera, ViewProtocol::Hls)?;
    let answer = async {
        let directives = directives(&uri)?;
        let stream = request::stream(&state, camera)?;
        let viewer = enter(&state, &stream, &session).await?;
        let ticket = state.access.ticket(&session);
        let plain = if directives.plain { "?ll=0" } else { "" };
        let child = format!("s/{ticket}/media.m3u8{plain}");
        let playlist = headworks_hls::multivariant(viewer.live().window(), &child);
        Ok(text(playlist.into()))
    };
    while_open(&session, answer).await
}

/// `/live/{camera_id}/s/{ticket}/…`: the media playlist and what it names.
pub(super) async fn child(
    State(state): State<Viewing>,
    Path((camera, ticket, file)): Path<(String, String, String)>,
    uri: Uri,
    asker: Asker,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let camera = request::camera(&camera)?;
    let client = asker.client(ViewProtocol::Hls);
    let session = state.access.resume(&ticket, camera, &client)?;
    let answer = async {
        let file = File::parse(&file).ok_or_else(missing)?;
        let stream = request::stream(&state, camera)?;
        let viewer = enter(&state, &stream, &session).await?;
        fetch(viewer, file, &uri, &headers).await
    };
    while_open(&session, answer).await
}

/// Answers what belongs to the session, unless that is ended meanwhile, and counts what it is sent.
async fn while_open(
    session: &Session,
    answer: impl Future<Output = Result<Response, Refusal>>,
) -> Result<Response, Refusal> {
    let answer = tokio::select! {
        biased;
        _ = session.over() => return Err(Denied::Ended.into()),
        answer = answer => answer?,
    };
    session.record();
    let length = answer.body().size_hint().exact();
    session.add_sent(length.unwrap_or_default());
    Ok(answer)
}

async fn fetch(
    viewer: HlsRequest,
    file: File,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let live = Arc::clone(viewer.live());
    match file {
        File::Playlist => playlist(viewer, directives(uri)?).await,
        File::Init(number) => {
            let init = live.window().init(number).ok_or_else(missing)?;
            Ok(body::media([&init.bytes], headers))
        }
        File::Segment(number) => {
            let segment = live.window().segment(number).ok_or_else(missing)?;
            Ok(body::media(segment.chunks(), headers))
        }
        File::Part(number, index) => {
            let live = hinted(viewer, number, index).await?;
            let part = live.window().part(number, index).ok_or_else(missing)?;
            Ok(body::media(&part.chunks, headers))
        }
    }
}

/// What a session can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum File {
    Playlist,
    Init(u64),
    Segment(u64),
    Part(u64, u64),
}

impl File {
    fn parse(name: &str) -> Option<Self> {
        if name == "media.m3u8" {
            return Some(Self::Playlist);
        }
        if let Some(number) = name.strip_prefix("init-") {
            return Some(Self::Init(decimal(number.strip_suffix(".mp4")?)?));
        }
        let name = name.strip_suffix(".m4s")?;
        if let Some(number) = name.strip_prefix("seg-") {
            return Some(Self::Segment(decimal(number)?));
        }
        let (number, index) = name.strip_prefix("part-")?.split_once('-')?;
        Some(Self::Part(decimal(number)?, decimal(index)?))
    }
}

fn directives(uri: &Uri) -> Result<Directives, Refusal> {
    Directives::parse(uri.query()).map_err(|error| Refusal::malformed(&error.to_string()))
}

/// What can be fetched now. The first viewer of a camera waits for its first segment.
async fn enter(
    state: &Viewing,
    stream: &Arc<Stream>,
    session: &Session,
) -> Result<HlsRequest, Refusal> {
    if let Some(viewer) = stream.hls(session, Duration::ZERO).await {
        return Ok(viewer);
    }
    let limit = state.streams.hub().config().picture_wait;
    let sound = Selection::of(session).sound(Sound::Aac);
    let _counted = stream.add_viewer_for(sound);
    stream.wait_for_picture(limit).await?;
    let viewer = stream.hls(session, limit).await;
    viewer.ok_or_else(|| Refusal::no_picture(stream))
}

/// The media playlist, when it has what the player wants to see in it (§6.2.5.2).
async fn playlist(viewer: HlsRequest, directives: Directives) -> Result<Response, Refusal> {
    let flavor = directives.flavor();
    let window = viewer.live().window();
    let live = match directives.wait {
        Some((segment, part)) if window.is_too_far(segment, part) => {
            return Err(Refusal::malformed("_HLS_msn or _HLS_part is too far ahead"));
        }
        Some((segment, part)) if !window.has(segment, part) => {
            let limit = patience(viewer.live());
            viewer
                .wait_for(limit, |window| window.has(segment, part))
                .await?
        }
        _ => Arc::clone(viewer.live()),
    };
    Ok(text(live.playlist(flavor)))
}

/// What can be fetched when the part is there, if it is the one that playlists hint at (§6.2.6).
async fn hinted(viewer: HlsRequest, number: u64, index: u64) -> Result<Arc<Live>, Refusal> {
    if viewer.live().window().next_part() != Some((number, index)) {
        return Ok(Arc::clone(viewer.live()));
    }
    let limit = patience(viewer.live());
    let is_decided = |window: &headworks_hls::Window| window.next_part() != Some((number, index));
    Ok(viewer.wait_for(limit, is_decided).await?)
}

/// How long a request may wait: three target durations (§6.2.5.2).
fn patience(live: &Live) -> Duration {
    Duration::from_secs(3 * u64::from(live.window().target()))
}

fn missing() -> Refusal {
    Refusal::new(ProblemCode::NotFound)
}

fn text(playlist: Bytes) -> Response {
    ([(header::CONTENT_TYPE, PLAYLIST)], playlist).into_response()
}

#[cfg(test)]
mod tests;
