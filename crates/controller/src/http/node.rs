//! `/v1/nodes`.

use axum::Json;
use headworks_types::{Node, NodeId, Page, PageQuery};

use super::{
    error::Result,
    extract::{Nothing, Path, Post, Query},
    page::Cursor,
};
use crate::{
    app::{self, Caller},
    state::State,
};

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
