//! `/v1/nodes`.

use axum::Json;
use axum::http::StatusCode;
use headworks_types::{Node, NodeDrainRequest, NodeId, Page, PageQuery};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    error::Result,
    extract::{Nothing, Path, Post, Query},
    page::Cursor,
};
use crate::{
    app::{self, Caller, node::Verb},
    state::State,
};

/// How a node is removed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct NodeRemoveQuery {
    /// True if it is removed even while it runs.
    #[serde(default)]
    force: bool,
}

/// List nodes
///
/// Needs `node.manage` on the cluster.
#[utoipa::path(
    get, path = "/v1/nodes", operation_id = "node_list", tag = "node",
    params(PageQuery),
    responses((status = 200, description = "A page of nodes.", body = Page<Node>))
)]
pub(crate) async fn node_list(
    state: State,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Node>>> {
    let cursor = Cursor::<NodeId>::new(&query)?;
    let after = cursor.after().map(NodeId::from);
    let nodes = app::node::node_list(&state, &caller, after, cursor.rows()).await?;
    Ok(Json(cursor.page(nodes, |node| node.id)))
}

/// Take a node's certificate away
///
/// For an edge that is lost or stolen: it is refused from then on, stops its work and closes its
/// streams; its cameras go to others when its lease has run out. It may come back only by a join
/// token. Needs `node.manage` on the cluster.
#[utoipa::path(
    post, path = "/v1/nodes/{node_id}/~revoke", operation_id = "node_revoke", tag = "node",
    params(("node_id" = NodeId, Path)),
    responses((status = 200, description = "The node.", body = Node))
)]
pub(crate) async fn node_revoke(
    state: State,
    caller: Caller,
    Path(id): Path<NodeId>,
    post: Post<Nothing>,
) -> Result<Json<Node>> {
    Ok(Json(
        app::node::node_revoke(&state, &caller, post.once, id).await?,
    ))
}

/// View a node
///
/// Needs `node.manage` on the cluster.
#[utoipa::path(
    get, path = "/v1/nodes/{node_id}", operation_id = "node_view", tag = "node",
    params(("node_id" = NodeId, Path)),
    responses((status = 200, description = "The node.", body = Node))
)]
pub(crate) async fn node_view(
    state: State,
    caller: Caller,
    Path(id): Path<NodeId>,
) -> Result<Json<Node>> {
    Ok(Json(app::node::node_view(&state, &caller, id).await?))
}

/// Cordon a node
///
/// It keeps what it does, and gets no new work. Needs `node.manage` on the cluster.
#[utoipa::path(
    post, path = "/v1/nodes/{node_id}/~cordon", operation_id = "node_cordon", tag = "node",
    params(("node_id" = NodeId, Path)),
    responses((status = 200, description = "The node.", body = Node))
)]
pub(crate) async fn node_cordon(
    state: State,
    caller: Caller,
    Path(id): Path<NodeId>,
    post: Post<Nothing>,
) -> Result<Json<Node>> {
    let node = app::node::node_wish(&state, &caller, post.once, id, Verb::Cordon).await?;
    Ok(Json(node))
}

/// Uncordon a node
///
/// It gets new work again, whatever kept it from that: a cordon, a drain, which ends, or that it
/// died too often. Needs `node.manage` on the cluster.
#[utoipa::path(
    post, path = "/v1/nodes/{node_id}/~uncordon", operation_id = "node_uncordon", tag = "node",
    params(("node_id" = NodeId, Path)),
    responses((status = 200, description = "The node.", body = Node))
)]
pub(crate) async fn node_uncordon(
    state: State,
    caller: Caller,
    Path(id): Path<NodeId>,
    post: Post<Nothing>,
) -> Result<Json<Node>> {
    let node = app::node::node_wish(&state, &caller, post.once, id, Verb::Uncordon).await?;
    Ok(Json(node))
}

/// Drain a node
///
/// It gets no new work, and what it does goes to other nodes as they can take it. The node's `drain`
/// says how far that is. At the deadline all that another node can take is taken away at once; what
/// nobody can take stays, and the drain has expired. The node stays cordoned when it is empty. Said
/// again while it goes on, it gets this deadline. Needs `node.manage` on the cluster.
#[utoipa::path(
    post, path = "/v1/nodes/{node_id}/~drain", operation_id = "node_drain", tag = "node",
    params(("node_id" = NodeId, Path)), request_body = NodeDrainRequest,
    responses((status = 200, description = "The node.", body = Node))
)]
pub(crate) async fn node_drain(
    state: State,
    caller: Caller,
    Path(id): Path<NodeId>,
    post: Post<NodeDrainRequest>,
) -> Result<Json<Node>> {
    let verb = Verb::Drain(post.body.deadline_seconds);
    let node = app::node::node_wish(&state, &caller, post.once, id, verb).await?;
    Ok(Json(node))
}

/// Cancel a node's drain
///
/// What has left stays where it is. The node takes new work again, unless it was cordoned before;
/// also if the drain has ended by now. Needs `node.manage` on the cluster.
#[utoipa::path(
    post, path = "/v1/nodes/{node_id}/~cancel_drain", operation_id = "node_cancel_drain",
    tag = "node",
    params(("node_id" = NodeId, Path)),
    responses((status = 200, description = "The node.", body = Node))
)]
pub(crate) async fn node_cancel_drain(
    state: State,
    caller: Caller,
    Path(id): Path<NodeId>,
    post: Post<Nothing>,
) -> Result<Json<Node>> {
    let node = app::node::node_wish(&state, &caller, post.once, id, Verb::CancelDrain).await?;
    Ok(Json(node))
}

/// Remove a node
///
/// Its certificate is worth nothing any more, its work goes to others, its name is free. A node that
/// renews its lease is refused with 409; with `force` it is removed nevertheless, and stops what it
/// does. Events, the audit log and the moves of slots keep what it did. It may come back only by a
/// join token, as another node. Needs `node.manage` on the cluster.
#[utoipa::path(
    delete, path = "/v1/nodes/{node_id}", operation_id = "node_delete", tag = "node",
    params(("node_id" = NodeId, Path), NodeRemoveQuery),
    responses((status = 204, description = "It is gone."))
)]
pub(crate) async fn node_delete(
    state: State,
    caller: Caller,
    Path(id): Path<NodeId>,
    Query(query): Query<NodeRemoveQuery>,
) -> Result<StatusCode> {
    app::node::node_remove(&state, &caller, id, query.force).await?;
    Ok(StatusCode::NO_CONTENT)
}
