//! What operators want of a node: columns of `node`, and `closed` of its capacity.
//!
//! The capacity is locked first, as by every assignment: what is given to the node was given before
//! the operator's word, or is not given.

use headworks_types::NodeId;
use sqlx::PgConnection;

use crate::db::ensure_one_row;

/// A node as an operator finds it, locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) name: String,
    pub(crate) cordoned: bool,
    /// It is being emptied.
    pub(crate) draining: bool,
    /// It was emptied, or its drain has expired.
    pub(crate) drain_over: bool,
    /// It opens when its drain is cancelled.
    pub(crate) drain_opens: bool,
    /// It takes no new work because it died too often.
    pub(crate) unsteady: bool,
    /// It renews its lease: it runs.
    pub(crate) lives: bool,
}

/// Locks the node's capacity, then the node. `None` if there is none, or it is removed.
pub(crate) async fn node_wish_lock(
    conn: &mut PgConnection,
    id: NodeId,
) -> sqlx::Result<Option<Wish>> {
    sqlx::query!(
        "SELECT used FROM node_capacity WHERE node_id = $1 FOR UPDATE",
        id.uuid()
    )
    .fetch_optional(&mut *conn)
    .await?;
    sqlx::query_as!(
        Wish,
        r#"SELECT n.name, n.cordoned_at IS NOT NULL AS "cordoned!",
                  n.drain_started_at IS NOT NULL AND n.drain_result IS NULL AS "draining!",
                  n.drain_result IS NOT NULL AS "drain_over!",
                  COALESCE(n.drain_opens, false) AS "drain_opens!",
                  n.unsteady_until IS NOT NULL AS "unsteady!",
                  COALESCE(l.expires_at >= clock_timestamp() AND NOT l.goodbye, false) AS "lives!"
           FROM node n LEFT JOIN node_lease l ON l.node_id = n.id
           WHERE n.id = $1 AND n.removed_at IS NULL
           FOR NO KEY UPDATE OF n"#,
        id.uuid()
    )
    .fetch_optional(conn)
    .await
}

/// Lets it take no new work.
pub(crate) async fn node_cordon(conn: &mut PgConnection, id: NodeId) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE node SET cordoned_at = COALESCE(cordoned_at, clock_timestamp()),
                drain_opens = CASE WHEN drain_opens IS NOT NULL THEN false END
         WHERE id = $1",
        id.uuid()
    )
    .execute(&mut *conn)
    .await?;
    ensure_one_row(&result)?;
    capacity_close(conn, id, true).await
}

/// Lets it take new work, whatever kept it from that. A drain ends.
pub(crate) async fn node_uncordon(conn: &mut PgConnection, id: NodeId) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE node SET cordoned_at = NULL, deaths = '{}',
                drain_started_at = NULL, drain_deadline_at = NULL, drain_slots = NULL,
                drain_opens = NULL, drain_result = NULL, drain_message = NULL,
                drain_ended_at = NULL,
                unsteady_until = NULL, unsteady_times = 0, unsteady_ended_at = NULL
         WHERE id = $1",
        id.uuid()
    )
    .execute(&mut *conn)
    .await?;
    ensure_one_row(&result)?;
    capacity_close(conn, id, false).await
}

/// Begins to empty it, or gives the drain that is under way another deadline.
pub(crate) async fn node_drain(
    conn: &mut PgConnection,
    id: NodeId,
    seconds: u32,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE node n
         SET cordoned_at = COALESCE(n.cordoned_at, t.now),
             drain_started_at = CASE WHEN d.runs THEN n.drain_started_at ELSE t.now END,
             drain_deadline_at = t.now + make_interval(secs => $2),
             drain_slots = CASE WHEN d.runs THEN n.drain_slots
                                ELSE (SELECT count(*) FROM slot WHERE node_id = n.id) END,
             drain_opens = COALESCE(n.drain_opens, n.cordoned_at IS NULL),
             drain_result = NULL, drain_message = NULL, drain_ended_at = NULL
         FROM (SELECT clock_timestamp() AS now) AS t,
              (SELECT drain_started_at IS NOT NULL AND drain_result IS NULL AS runs
               FROM node WHERE id = $1) AS d
         WHERE n.id = $1",
        id.uuid(),
        f64::from(seconds)
    )
    .execute(&mut *conn)
    .await?;
    ensure_one_row(&result)?;
    capacity_close(conn, id, true).await
}

/// Ends the drain, or forgets the one that is over. The node is as it was before: `opens` says
/// whether that is open.
pub(crate) async fn node_cancel_drain(
    conn: &mut PgConnection,
    id: NodeId,
    opens: bool,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE node SET cordoned_at = CASE WHEN $2 THEN NULL ELSE cordoned_at END,
                drain_started_at = NULL, drain_deadline_at = NULL, drain_slots = NULL,
                drain_opens = NULL, drain_result = NULL, drain_message = NULL,
                drain_ended_at = NULL
         WHERE id = $1",
        id.uuid(),
        opens
    )
    .execute(&mut *conn)
    .await?;
    ensure_one_row(&result)?;
    capacity_close(conn, id, !opens).await
}

async fn capacity_close(conn: &mut PgConnection, id: NodeId, closed: bool) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE node_capacity SET closed = $2 WHERE node_id = $1",
        id.uuid(),
        closed
    )
    .execute(conn)
    .await?;
    ensure_one_row(&result)
}
