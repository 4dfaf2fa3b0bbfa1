//! `/v1/plan`.

use axum::Json;
use headworks_types::{PlanPreview, PlanQuestion};

use super::{error::Result, extract::Post};
use crate::{
    app::{self, Caller},
    state::State,
};

/// See what a change would move
///
/// Which work would move from where to where and why, what would find no place, and whom that would
/// interrupt: of nodes that are cordoned, drained, killed, removed or added, of cameras that are
/// changed or deleted. Nothing is changed. Viewers are counted as they are now; measured loads stay
/// as they are. Needs `node.manage` on the cluster.
#[utoipa::path(
    post, path = "/v1/plan:preview", operation_id = "plan_preview", tag = "node",
    request_body = PlanQuestion,
    responses((status = 200, description = "What it would come to.", body = PlanPreview))
)]
pub(crate) async fn plan_preview(
    state: State,
    caller: Caller,
    post: Post<PlanQuestion>,
) -> Result<Json<PlanPreview>> {
    Ok(Json(
        app::plan::plan_preview(&state, &caller, post.once, post.body).await?,
    ))
}
