//! Nodes as operators see them.

use headworks_types::{Action, Node, NodeId, NodeState};
use sqlx::PgConnection;

use super::{Caller, Error, Result, caller::Scope};
use crate::{
    db::{
        lease::lease_census,
        node::{self, node_get},
    },
    reconcile::node_death,
    state::State,
};

/// The nodes after `after`.
pub(crate) async fn node_list(
    state: &State,
    caller: &Caller,
    after: Option<NodeId>,
    limit: i64,
) -> Result<Vec<Node>> {
    caller.require(Action::NodeManage, Scope::Cluster)?;
    let mut conn = state.pool.acquire().await?;
    let mut nodes =
        node::node_list(&mut conn, None, after, limit, state.config.lease_suspect).await?;
    explain_brake(&mut conn, &mut nodes).await?;
    Ok(nodes)
}

/// One node.
pub(crate) async fn node_view(state: &State, caller: &Caller, id: NodeId) -> Result<Node> {
    caller.require(Action::NodeManage, Scope::Cluster)?;
    let mut conn = state.pool.acquire().await?;
    let node = node_get(&mut conn, id, state.config.lease_suspect).await?;
    let mut nodes = [node.ok_or_else(|| Error::not_found(id))?];
    explain_brake(&mut conn, &mut nodes).await?;
    let [node] = nodes;
    Ok(node)
}

/// Says of silent nodes why they are not declared dead, if that is so.
async fn explain_brake(conn: &mut PgConnection, nodes: &mut [Node]) -> sqlx::Result<()> {
    if !nodes.iter().any(|node| node.state == NodeState::Suspect) {
        return Ok(());
    }
    let census = lease_census(conn).await?;
    let Some(brake) = node_death::brake(&census) else {
        return Ok(());
    };
    for node in nodes {
        if census.silent.contains(&node.id) {
            node.message = format!("{}; {brake}", node.message);
        }
    }
    Ok(())
}
