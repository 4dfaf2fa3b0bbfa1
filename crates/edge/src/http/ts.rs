//! MPEG-TS over HTTP.

use axum::response::Response;

use super::{live::Watch, problem::Refusal};
use crate::hub::Format;

/// `/live/{camera_id}/stream.ts?token=…`
pub(super) async fn stream(watch: Watch) -> Result<Response, Refusal> {
    watch.answer(Format::Ts, "video/mp2t").await
}
