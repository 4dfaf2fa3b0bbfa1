//! What operators want of a node: that it takes no new work, is emptied, or is removed.

use headworks_types::{Action, EventKind, Node, NodeId};
use sqlx::PgConnection;

use crate::{
    app::{Begun, Caller, Error, Once, Result, caller::Scope},
    db::{
        event::{NewEvent, event_insert, event_insert_many},
        node::{
            self, Wish, node_cancel_drain, node_cordon, node_drain, node_get, node_uncordon,
            node_wish_lock, revision_bump,
        },
        node_certificate::certificate_revoke,
        planner_lease::planner_ring,
    },
    state::State,
};

/// What an operator says of a node. Said twice, it changes nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// It takes no new work.
    Cordon,
    /// It takes new work again, whatever kept it from that.
    Uncordon,
    /// It is emptied within so many seconds.
    Drain(u32),
    /// It is as it was before it was drained, also if it is empty by now.
    CancelDrain,
}

/// Does what the operator wants of the node, in one transaction with its events.
pub(crate) async fn node_wish(
    state: &State,
    caller: &Caller,
    once: Once,
    id: NodeId,
    verb: Verb,
) -> Result<Node> {
    caller.require(Action::NodeManage, Scope::Cluster)?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Again(answer) => return Ok(answer),
        Begun::Fresh(write) => write,
    };
    let conn = write.conn();
    let wish = node_wish_lock(conn, id).await?;
    let wish = wish.ok_or_else(|| Error::not_found(id))?;
    let actor = caller.identity.to_string();
    let events = apply(conn, id, &wish, verb).await?.into_iter();
    let events: Vec<_> = events
        .map(|(kind, message)| event(id, kind, &actor, message))
        .collect();
    if !events.is_empty() {
        event_insert_many(conn, events).await?;
        planner_ring(conn).await?;
    }
    let node = node_get(conn, id, state.config.lease_suspect).await?;
    let node = node.ok_or_else(|| Error::not_found(id))?;
    write.commit(&node).await?;
    state.wake.planner();
    state.wake.drains();
    Ok(node)
}

/// Writes it. What has changed thereby, in words.
async fn apply(
    conn: &mut PgConnection,
    id: NodeId,
    wish: &Wish,
    verb: Verb,
) -> sqlx::Result<Vec<(EventKind, String)>> {
    let name = &wish.name;
    let cancelled = |then: &str| {
        let message = format!("{name} is not drained any more: it {then}");
        (EventKind::NodeDrainCancelled, message)
    };
    let mut changes = Vec::new();
    match verb {
        Verb::Cordon if !wish.cordoned || (wish.draining && wish.drain_opens) => {
            node_cordon(conn, id).await?;
            let message = format!("{name} was cordoned: it takes no new work");
            changes.push((EventKind::NodeCordoned, message));
        }
        Verb::Uncordon if wish.cordoned || wish.unsteady => {
            node_uncordon(conn, id).await?;
            changes.extend(wish.draining.then(|| cancelled("takes new work")));
            let message = format!("{name} was uncordoned: it takes new work");
            changes.push((EventKind::NodeUncordoned, message));
        }
        Verb::Drain(seconds) => {
            node_drain(conn, id, seconds).await?;
            let message = if wish.draining {
                format!("{name} has another {seconds} s to be drained")
            } else {
                format!("{name} is drained within {seconds} s: its work goes to other nodes")
            };
            changes.push((EventKind::NodeDrainStarted, message));
        }
        Verb::CancelDrain if wish.draining || wish.drain_over => {
            node_cancel_drain(conn, id, wish.drain_opens).await?;
            changes.push(cancelled(if wish.drain_opens {
                "takes new work"
            } else {
                "stays cordoned"
            }));
        }
        Verb::Cordon | Verb::Uncordon | Verb::CancelDrain => {}
    }
    Ok(changes)
}

/// Removes a node: its certificate is worth nothing, its name is free. One that renews its lease is
/// removed only with `force`; it hears of it at its next renewal, and stops.
///
/// `reconcile::drain` takes its work from it. Strict work of a node that may still run stays bound to
/// it until its lease is over; only then the last of it is deleted. What it did stays in the events,
/// the audit log and the moves of slots.
pub(crate) async fn node_remove(
    state: &State,
    caller: &Caller,
    id: NodeId,
    force: bool,
) -> Result<()> {
    caller.require(Action::NodeManage, Scope::Cluster)?;
    let mut tx = state.pool.begin().await?;
    let wish = node_wish_lock(&mut tx, id).await?;
    let wish = wish.ok_or_else(|| Error::not_found(id))?;
    if wish.lives && !force {
        return Err(Error::Conflict(format!(
            "{} renews its lease: drain and stop it first, or remove it with `force`, which stops \
             what it does",
            wish.name
        )));
    }
    let actor = caller.identity.to_string();
    node::node_remove(&mut tx, id).await?;
    certificate_revoke(&mut tx, id).await?;
    let how = if wish.lives { " while it ran" } else { "" };
    let message = format!("{} was removed{how}", wish.name);
    event_insert(&mut tx, event(id, EventKind::NodeRemoved, &actor, message)).await?;
    // Its watch looks whether it may go on.
    revision_bump(&mut tx, &[id.uuid()]).await?;
    tx.commit().await?;
    state.edges.certificates.forget(id);
    state.wake.drains();
    Ok(())
}

fn event(id: NodeId, kind: EventKind, actor: &str, message: String) -> NewEvent<'_> {
    NewEvent {
        project_id: None,
        kind,
        subject: id.to_string(),
        actor,
        message,
    }
}
