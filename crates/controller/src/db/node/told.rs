//! States of nodes of which an event is to tell.

use std::time::Duration;

use headworks_types::NodeId;
use sqlx::PgConnection;
use uuid::Uuid;

/// How many changes one turn tells of; the next one goes on.
const BATCH: i64 = 1000;

/// A node that is in another state than the last event said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) id: NodeId,
    pub(crate) name: String,
    /// As the last event said; `None` if there was none.
    pub(crate) told: Option<String>,
    /// `ready`, `suspect` or `stopped`.
    pub(crate) now: String,
}

/// The living nodes whose state has changed, where `suspect` is the silence that makes a node
/// suspect.
pub(crate) async fn node_changed_list(
    conn: &mut PgConnection,
    suspect: Duration,
) -> sqlx::Result<Vec<Changed>> {
    sqlx::query_as!(
        Changed,
        r#"SELECT n.id, n.name, n.told_state AS told, s.now AS "now!"
           FROM node n
           JOIN node_lease l ON l.node_id = n.id
           CROSS JOIN LATERAL (
               SELECT CASE WHEN l.goodbye THEN 'stopped'
                           WHEN l.renewed_at + make_interval(secs => $1) >= clock_timestamp()
                           THEN 'ready'
                           ELSE 'suspect' END AS now
           ) AS s
           WHERE n.died_at IS NULL AND n.removed_at IS NULL AND n.told_state IS DISTINCT FROM s.now
           ORDER BY n.id
           LIMIT $2"#,
        suspect.as_secs_f64(),
        BATCH
    )
    .fetch_all(conn)
    .await
}

/// Notes that these changes are told of. Returns those of which nobody else has done so.
pub(crate) async fn node_tell(
    conn: &mut PgConnection,
    changes: Vec<Changed>,
) -> sqlx::Result<Vec<Changed>> {
    let ids: Vec<_> = changes.iter().map(|change| change.id.uuid()).collect();
    let told: Vec<_> = changes.iter().map(|change| change.told.clone()).collect();
    let now: Vec<_> = changes.iter().map(|change| change.now.clone()).collect();
    let noted = sqlx::query_scalar!(
        r#"WITH due AS (
               SELECT n.id, c.now
               FROM node n
               JOIN unnest($1::uuid[], $2::text[], $3::text[]) AS c (id, told, now) ON c.id = n.id
               WHERE n.told_state IS NOT DISTINCT FROM c.told AND n.died_at IS NULL
               ORDER BY n.id
               FOR NO KEY UPDATE OF n
           )
           UPDATE node n SET told_state = due.now, told_at = clock_timestamp()
           FROM due WHERE n.id = due.id
           RETURNING n.id"#,
        &ids,
        &told as &[Option<String>],
        &now
    )
    .fetch_all(conn)
    .await?;
    let is_noted = |change: &Changed| noted.contains(&change.id.uuid());
    Ok(changes.into_iter().filter(is_noted).collect())
}

/// Ends the time for which nodes take no new work because they died too often, where it is over.
/// Returns their ids and names.
pub(crate) async fn node_steady(conn: &mut PgConnection) -> sqlx::Result<Vec<(NodeId, String)>> {
    let rows = sqlx::query!(
        r#"WITH due AS (
               SELECT id FROM node
               WHERE unsteady_until <= clock_timestamp() AND removed_at IS NULL
               ORDER BY id
               FOR NO KEY UPDATE
           )
           UPDATE node n SET unsteady_until = NULL, unsteady_ended_at = clock_timestamp()
           FROM due WHERE n.id = due.id
           RETURNING n.id AS "id: Uuid", n.name"#
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    Ok(rows.map(|row| (row.id.into(), row.name)).collect())
}
