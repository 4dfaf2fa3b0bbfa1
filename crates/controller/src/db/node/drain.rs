//! Drains as the reconciler sees them, and nodes that are removed.

use headworks_types::{NodeId, edge::STRICT_MARGIN};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::session::session_sweep;

/// A node that is being emptied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draining {
    pub(crate) id: NodeId,
    pub(crate) name: String,
    pub(crate) slots_total: i32,
    pub(crate) slots_left: i64,
    /// The deadline has passed.
    pub(crate) overdue: bool,
    /// It passed so long ago that nothing is waited for any more.
    pub(crate) over: bool,
}

/// The drains that are under way; `grace` is how long something is waited for after the deadline.
pub(crate) async fn drain_list(conn: &mut PgConnection, grace: f64) -> sqlx::Result<Vec<Draining>> {
    sqlx::query_as!(
        Draining,
        r#"SELECT n.id, n.name, n.drain_slots AS "slots_total!",
                  (SELECT count(*) FROM slot s WHERE s.node_id = n.id) AS "slots_left!",
                  n.drain_deadline_at <= clock_timestamp() AS "overdue!",
                  n.drain_deadline_at + make_interval(secs => $1) <= clock_timestamp() AS "over!"
           FROM node n
           WHERE n.drain_started_at IS NOT NULL AND n.drain_result IS NULL
             AND n.removed_at IS NULL
           ORDER BY n.id"#,
        grace
    )
    .fetch_all(conn)
    .await
}

/// Ends the drain as drained. False if something is left after all, or the drain is not under way
/// any more.
pub(crate) async fn drain_finish(
    conn: &mut PgConnection,
    id: NodeId,
    message: &str,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE node
         SET drain_result = 'drained', drain_message = $2, drain_ended_at = clock_timestamp()
         WHERE id = $1 AND drain_started_at IS NOT NULL AND drain_result IS NULL
           AND removed_at IS NULL AND NOT EXISTS (SELECT FROM slot WHERE node_id = $1)",
        id.uuid(),
        message
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Ends the drain as expired. False if it has another deadline by now, or is not under way any
/// more.
pub(crate) async fn drain_expire(
    conn: &mut PgConnection,
    id: NodeId,
    message: &str,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE node
         SET drain_result = 'expired', drain_message = $2, drain_ended_at = clock_timestamp()
         WHERE id = $1 AND drain_started_at IS NOT NULL AND drain_result IS NULL
           AND removed_at IS NULL AND drain_deadline_at <= clock_timestamp()",
        id.uuid(),
        message
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// The node is not there any more for anybody, and takes no work: its name is free. Its row stays
/// until [`node_delete_removed`]. Call it with the node's capacity locked.
pub(crate) async fn node_remove(conn: &mut PgConnection, id: NodeId) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE node_capacity SET closed = true WHERE node_id = $1",
        id.uuid()
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "UPDATE node SET removed_at = clock_timestamp() WHERE id = $1",
        id.uuid()
    )
    .execute(&mut *conn)
    .await?;
    session_sweep(conn, &[id]).await
}

/// Removed nodes whose rows are still there, each with whether it has work.
pub(crate) async fn node_removed_list(
    conn: &mut PgConnection,
) -> sqlx::Result<Vec<(NodeId, bool)>> {
    let rows = sqlx::query!(
        r#"SELECT n.id, EXISTS (SELECT FROM slot s WHERE s.node_id = n.id) AS "works!"
           FROM node n WHERE n.removed_at IS NOT NULL ORDER BY n.id"#
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    Ok(rows.map(|row| (row.id.into(), row.works)).collect())
}

/// Deletes those removed nodes that have no work and can do none any more: they said goodbye, never
/// came, or their leases ran out so long ago that strict work has stopped, too.
pub(crate) async fn node_delete_removed(
    conn: &mut PgConnection,
    nodes: &[NodeId],
) -> sqlx::Result<u64> {
    let nodes: Vec<Uuid> = nodes.iter().map(|node| node.uuid()).collect();
    let result = sqlx::query!(
        "DELETE FROM node n
         WHERE n.id = ANY($1) AND n.removed_at IS NOT NULL
           AND NOT EXISTS (SELECT FROM slot s WHERE s.node_id = n.id)
           AND NOT EXISTS (
               SELECT FROM node_lease l
               WHERE l.node_id = n.id
                 AND ((NOT l.goodbye
                       AND l.expires_at + make_interval(secs => $2) >= clock_timestamp())
                      OR l.strict_after >= clock_timestamp())
           )",
        &nodes,
        STRICT_MARGIN.as_secs_f64()
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
