//! `/v1/cluster`.

use axum::Json;
use headworks_types::{BrakeRelease, Cluster};

use super::{error::Result, extract::Post};
use crate::{
    app::{self, Caller},
    state::State,
};

/// View the health of the cluster
///
/// Its nodes by state, the brake, who plans, and what is known of the database. Needs `node.manage`
/// on the cluster.
#[utoipa::path(
    get, path = "/v1/cluster", operation_id = "cluster_view", tag = "cluster",
    responses((status = 200, description = "The cluster.", body = Cluster))
)]
pub(crate) async fn cluster_view(state: State, caller: Caller) -> Result<Json<Cluster>> {
    Ok(Json(app::cluster::cluster_view(&state, &caller).await?))
}

/// Release the brake
///
/// When many nodes go silent at once, the brake keeps them from being declared dead, since it is
/// more likely the network. Whoever knows that they are gone releases it for some time: their work
/// goes to others. Said again, it holds from then. Needs `node.manage` on the cluster.
#[utoipa::path(
    post, path = "/v1/cluster:release_brake", operation_id = "cluster_release_brake",
    tag = "cluster", request_body = BrakeRelease,
    responses((status = 200, description = "The cluster.", body = Cluster))
)]
pub(crate) async fn cluster_release_brake(
    state: State,
    caller: Caller,
    post: Post<BrakeRelease>,
) -> Result<Json<Cluster>> {
    let seconds = post.body.seconds;
    let cluster = app::cluster::cluster_release_brake(&state, &caller, post.once, seconds).await?;
    Ok(Json(cluster))
}
