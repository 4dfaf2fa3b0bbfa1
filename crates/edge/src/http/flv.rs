//! FLV over HTTP, and in a WebSocket on the same path.

use axum::response::Response;

use super::{live::Watch, problem::Refusal};
use crate::hub::Format;

/// `/live/{camera_id}/stream.flv?token=…`
pub(super) async fn stream(watch: Watch) -> Result<Response, Refusal> {
    match watch.websocket() {
        Some(head) => watch.answer_websocket(Format::FlvWebSocket, head).await,
        None => watch.answer(Format::Flv, "video/x-flv").await,
    }
}
