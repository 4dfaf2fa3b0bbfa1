//! Nodes as operators see them.

mod lifecycle;

use headworks_types::{Action, EventKind, Node, NodeId, NodeState};
use sqlx::PgConnection;

pub(crate) use lifecycle::{Verb, node_remove, node_wish};

use super::{Begun, Caller, Error, Once, Result, caller::Scope};
use crate::{
    db::{
        event::{NewEvent, event_insert},
        lease::lease_census,
        node::{self, node_get, revision_bump},
        node_certificate::certificate_revoke,
    },
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

/// Takes the node's certificate away: it is refused from then on.
pub(crate) async fn node_revoke(
    state: &State,
    caller: &Caller,
    once: Once,
    id: NodeId,
) -> Result<Node> {
    caller.require(Action::NodeManage, Scope::Cluster)?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Again(answer) => return Ok(answer),
        Begun::Fresh(write) => write,
    };
    let suspect = state.config.lease_suspect;
    let revoked = certificate_revoke(write.conn(), id).await?;
    let node = node_get(write.conn(), id, suspect).await?;
    let node = node.ok_or_else(|| Error::not_found(id))?;
    if revoked {
        // Its watch looks whether it may go on.
        revision_bump(write.conn(), &[id.uuid()]).await?;
        let event = NewEvent {
            project_id: None,
            kind: EventKind::NodeRevoked,
            subject: id.to_string(),
            actor: &caller.identity.to_string(),
            message: format!("the certificate of {} was taken away", node.name),
        };
        event_insert(write.conn(), event).await?;
    }
    write.commit(&node).await?;
    state.edges.certificates.forget(id);
    Ok(node)
}

/// Says of silent nodes why they are not declared dead, if that is so.
async fn explain_brake(conn: &mut PgConnection, nodes: &mut [Node]) -> sqlx::Result<()> {
    if !nodes.iter().any(|node| node.state == NodeState::Suspect) {
        return Ok(());
    }
    let census = lease_census(conn).await?;
    let Some(brake) = census.brake() else {
        return Ok(());
    };
    for node in nodes {
        if census.silent.contains(&node.id) {
            node.message = format!("{}; {brake}", node.message);
        }
    }
    Ok(())
}
