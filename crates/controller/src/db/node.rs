//! Nodes: what they say of themselves, what they can take, and the revision of what they should do.

mod drain;
mod shown;
mod told;
mod wish;

use headworks_duty::Life;
use headworks_planner::Intake;
use headworks_types::{Capabilities, NodeId, edge::NodeSpec};
use sqlx::PgConnection;
use std::time::Duration;
use uuid::Uuid;

pub(crate) use drain::{
    Draining, drain_expire, drain_finish, drain_list, node_delete_removed, node_remove,
    node_removed_list,
};
pub(crate) use shown::{node_get, node_list};
pub(crate) use told::{Changed, node_changed_list, node_steady, node_tell};
pub(crate) use wish::{
    Wish, node_cancel_drain, node_cordon, node_drain, node_uncordon, node_wish_lock,
};

use super::{ensure_one_row, from_json, to_json};

/// The channel on which a change of revisions is announced. Only a doorbell: whoever listens asks
/// for the revisions.
pub(crate) const DOORBELL: &str = "headworks_revision";

/// How long a node has to be too busy before it gives work away.
const HOT_AFTER: Duration = Duration::from_secs(60);

/// Adds a node with its capacity and its first revision. It has no lease before its first renewal.
pub(crate) async fn node_insert(
    conn: &mut PgConnection,
    id: NodeId,
    spec: &NodeSpec,
) -> sqlx::Result<()> {
    let capacity = i32::try_from(spec.capacity).unwrap_or(i32::MAX);
    sqlx::query!(
        r#"WITH inserted AS (
               INSERT INTO node (id, name, site, zone, labels, advertise, software, relay,
                                 max_viewers, max_egress_mbit, capabilities)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $9, $10, $11, $12)
               RETURNING id
           ), revision AS (
               INSERT INTO node_revision (node_id) SELECT id FROM inserted
           )
           INSERT INTO node_capacity (node_id, alloc) SELECT id, $8 FROM inserted"#,
        id.uuid(),
        spec.name,
        spec.site,
        spec.zone,
        to_json(&spec.labels)?,
        to_json(&spec.advertise)?,
        spec.version,
        capacity,
        spec.relay.as_ref().map(url::Url::as_str),
        limit(spec.limits.max_viewers),
        limit(spec.limits.max_egress_mbit),
        spec.capabilities.map(|can| to_json(&can)).transpose()?
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Replaces what the node says of itself. Its capacity may become less than what is used; the
/// planner then moves work away. Capacity comes first, as in `slot_assign`: a new name locks the
/// node against those who give it a slot.
pub(crate) async fn node_update(
    conn: &mut PgConnection,
    id: NodeId,
    spec: &NodeSpec,
) -> sqlx::Result<()> {
    let capacity = i32::try_from(spec.capacity).unwrap_or(i32::MAX);
    let result = sqlx::query!(
        r#"UPDATE node_capacity SET alloc = $2 WHERE node_id = $1"#,
        id.uuid(),
        capacity
    )
    .execute(&mut *conn)
    .await?;
    ensure_one_row(&result)?;
    let result = sqlx::query!(
        r#"UPDATE node
           SET name = $2, site = $3, zone = $4, labels = $5, advertise = $6, software = $7,
               relay = $8, max_viewers = $9, max_egress_mbit = $10, capabilities = $11
           WHERE id = $1"#,
        id.uuid(),
        spec.name,
        spec.site,
        spec.zone,
        to_json(&spec.labels)?,
        to_json(&spec.advertise)?,
        spec.version,
        spec.relay.as_ref().map(url::Url::as_str),
        limit(spec.limits.max_viewers),
        limit(spec.limits.max_egress_mbit),
        spec.capabilities.map(|can| to_json(&can)).transpose()?
    )
    .execute(conn)
    .await?;
    ensure_one_row(&result)
}

/// A limit as the database has it.
fn limit(limit: Option<u32>) -> Option<i32> {
    limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX))
}

/// A node whose name is free to be taken over, and the certificate that it has had.
pub(crate) struct Vacant {
    pub(crate) id: Uuid,
    pub(crate) certificate: Option<Vec<u8>>,
}

/// The node of this name, if it said goodbye, its lease has run out, or it joined more than
/// `seconds` ago and never reported.
pub(crate) async fn node_vacant(
    conn: &mut PgConnection,
    name: &str,
    seconds: f64,
) -> sqlx::Result<Option<Vacant>> {
    sqlx::query_as!(
        Vacant,
        r#"SELECT n.id, n.certificate
           FROM node n LEFT JOIN node_lease l ON l.node_id = n.id
           WHERE n.name = $1 AND n.removed_at IS NULL
             AND (COALESCE(l.goodbye, false)
                  OR COALESCE(l.expires_at, n.created_at + make_interval(secs => $2))
                     < clock_timestamp())"#,
        name,
        seconds
    )
    .fetch_optional(conn)
    .await
}

/// Takes the vacant node over: locks it, for another certificate. False if it has got one since it
/// was found vacant.
pub(crate) async fn node_occupy(conn: &mut PgConnection, vacant: &Vacant) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        r#"UPDATE node SET certificate_used_at = NULL
           WHERE id = $1 AND certificate IS NOT DISTINCT FROM $2"#,
        vacant.id,
        vacant.certificate
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// What a node said that it can do; who said nothing is taken for able.
fn capabilities(said: Option<serde_json::Value>) -> sqlx::Result<Capabilities> {
    said.map_or(Ok(Capabilities::ALL), from_json)
}

/// All nodes as the planner wants them.
pub(crate) async fn node_fleet(
    conn: &mut PgConnection,
    suspect: Duration,
) -> sqlx::Result<Vec<headworks_planner::Node>> {
    let rows = sqlx::query!(
        r#"SELECT n.id, n.name, n.site, n.zone, n.labels, n.capabilities,
                  n.died_at IS NOT NULL AS "died!", c.alloc,
                  COALESCE(c.busy_since < clock_timestamp() - make_interval(secs => $1), false)
                      AS "hot!",
                  COALESCE(l.goodbye, false) AS "goodbye!",
                  EXTRACT(EPOCH FROM clock_timestamp() - l.renewed_at)::float8 AS silence,
                  n.cordoned_at IS NOT NULL AS "cordoned!",
                  n.drain_started_at IS NOT NULL AND n.drain_result IS NULL AS "draining!",
                  COALESCE(n.unsteady_until > clock_timestamp(), false) AS "unsteady!"
           FROM node n
           JOIN node_capacity c ON c.node_id = n.id
           LEFT JOIN node_lease l ON l.node_id = n.id
           WHERE n.removed_at IS NULL
           ORDER BY n.id"#,
        HOT_AFTER.as_secs_f64()
    )
    .fetch_all(conn)
    .await?;
    let nodes = rows.into_iter().map(|row| {
        let life = Life {
            died: row.died,
            goodbye: row.goodbye,
            silence: row.silence,
        };
        Ok(headworks_planner::Node {
            id: row.id.into(),
            name: row.name,
            site: row.site,
            zone: row.zone,
            labels: from_json(row.labels)?,
            capabilities: capabilities(row.capabilities)?,
            alloc: row.alloc.unsigned_abs(),
            state: life.state(suspect),
            intake: intake(row.cordoned, row.draining, row.unsteady),
            hot: row.hot,
        })
    });
    nodes.collect()
}

/// Whether a node takes new work. A drain that is over leaves it cordoned.
pub(crate) fn intake(cordoned: bool, draining: bool, unsteady: bool) -> Intake {
    match (draining, cordoned, unsteady) {
        (true, _, _) => Intake::Draining,
        (false, true, _) => Intake::Cordoned,
        (false, false, true) => Intake::Unsteady,
        (false, false, false) => Intake::Open,
    }
}

/// Takes note of which nodes are too busy: over 80 % of what they take, and from then on until they
/// are no fuller than 65 %. Who comes below 80 % before [`HOT_AFTER`] was not. Returns how many
/// have changed.
pub(crate) async fn node_heat(conn: &mut PgConnection) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        r#"WITH due AS (
               SELECT node_id,
                      CASE WHEN used * 100::bigint > alloc * 80::bigint
                           THEN COALESCE(busy_since, clock_timestamp())
                           WHEN used * 100::bigint > alloc * 65::bigint
                            AND busy_since < clock_timestamp() - make_interval(secs => $1)
                           THEN busy_since
                      END AS busy_since
               FROM node_capacity
           ), changed AS (
               SELECT c.node_id, due.busy_since
               FROM node_capacity c JOIN due ON due.node_id = c.node_id
               WHERE c.busy_since IS DISTINCT FROM due.busy_since
               ORDER BY c.node_id
               FOR UPDATE OF c SKIP LOCKED
           )
           UPDATE node_capacity c SET busy_since = changed.busy_since
           FROM changed WHERE c.node_id = changed.node_id"#,
        HOT_AFTER.as_secs_f64()
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// The node's revision.
pub(crate) async fn revision_get(
    conn: &mut PgConnection,
    node: NodeId,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        r#"SELECT revision FROM node_revision WHERE node_id = $1"#,
        node.uuid()
    )
    .fetch_optional(conn)
    .await
}

/// The revisions of these nodes.
pub(crate) async fn revision_list(
    conn: &mut PgConnection,
    nodes: &[Uuid],
) -> sqlx::Result<Vec<(NodeId, i64)>> {
    let rows = sqlx::query!(
        r#"SELECT node_id, revision FROM node_revision WHERE node_id = ANY($1)"#,
        nodes
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    Ok(rows.map(|row| (row.node_id.into(), row.revision)).collect())
}

/// Tells nodes that what they should do has changed. Call it last in a transaction, after the
/// slots are locked.
pub(crate) async fn revision_bump(conn: &mut PgConnection, nodes: &[Uuid]) -> sqlx::Result<()> {
    if nodes.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"WITH locked AS (
               SELECT node_id FROM node_revision WHERE node_id = ANY($1)
               ORDER BY node_id
               FOR NO KEY UPDATE
           )
           UPDATE node_revision r SET revision = r.revision + 1
           FROM locked WHERE r.node_id = locked.node_id"#,
        nodes
    )
    .execute(&mut *conn)
    .await?;
    // PostgreSQL sends equal notifications of one transaction once.
    sqlx::query!("SELECT pg_notify($1, '')", DOORBELL)
        .execute(conn)
        .await?;
    Ok(())
}
