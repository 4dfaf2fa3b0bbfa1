//! `/v1/nodes`.

use axum::Json;
use headworks_types::{Node, NodeId, Page, PageQuery};

use super::{
    error::Result,
    extract::{Path, Query},
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
