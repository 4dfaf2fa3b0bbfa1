//! Nodes: what they say of themselves, what they can take, and the revision of what they should do.

use headworks_duty::Life;
use headworks_types::{Node, NodeId, NodeLimits, NodeLoad, edge::NodeSpec};
use sqlx::PgConnection;
use std::time::Duration;
use uuid::Uuid;

use super::{ensure_one_row, from_json, to_json};

/// The channel on which a change of revisions is announced. Only a doorbell: whoever listens asks
/// for the revisions.
pub(crate) const DOORBELL: &str = "headworks_revision";

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
                                 max_viewers, max_egress_mbit)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $9, $10, $11)
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
        limit(spec.limits.max_egress_mbit)
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
               relay = $8, max_viewers = $9, max_egress_mbit = $10
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
        limit(spec.limits.max_egress_mbit)
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
           WHERE n.name = $1
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

/// The nodes after `after`, oldest first; or only the one that is asked for.
pub(crate) async fn node_list(
    conn: &mut PgConnection,
    only: Option<NodeId>,
    after: Option<NodeId>,
    limit: i64,
    suspect: Duration,
) -> sqlx::Result<Vec<Node>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT n.id, n.name, n.site, n.zone, n.labels, n.advertise, n.software, n.created_at,
                  n.died_at IS NOT NULL AS "died!",
                  c.alloc, c.used,
                  COALESCE(l.goodbye, false) AS "goodbye!",
                  l.renewed_at AS "renewed_at?",
                  EXTRACT(EPOCH FROM clock_timestamp() - l.renewed_at)::float8 AS silence,
                  l.load AS "load?", COALESCE(l.is_full, false) AS "is_full!",
                  n.max_viewers, n.max_egress_mbit,
                  l.apply_error, n.revoked_at
           FROM node n
           JOIN node_capacity c ON c.node_id = n.id
           LEFT JOIN node_lease l ON l.node_id = n.id
           WHERE ($1::uuid IS NULL OR n.id = $1) AND ($2::uuid IS NULL OR n.id > $2)
           ORDER BY n.id
           LIMIT $3"#,
        only.map(NodeId::uuid),
        after.map(NodeId::uuid),
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| row.into_node(suspect)).collect()
}

/// One node.
pub(crate) async fn node_get(
    conn: &mut PgConnection,
    id: NodeId,
    suspect: Duration,
) -> sqlx::Result<Option<Node>> {
    Ok(node_list(conn, Some(id), None, 1, suspect).await?.pop())
}

struct Row {
    id: Uuid,
    name: String,
    site: String,
    zone: String,
    labels: serde_json::Value,
    advertise: serde_json::Value,
    software: String,
    created_at: chrono::DateTime<chrono::Utc>,
    died: bool,
    alloc: i32,
    used: i32,
    goodbye: bool,
    renewed_at: Option<chrono::DateTime<chrono::Utc>>,
    silence: Option<f64>,
    load: Option<serde_json::Value>,
    is_full: bool,
    max_viewers: Option<i32>,
    max_egress_mbit: Option<i32>,
    apply_error: Option<String>,
    revoked_at: Option<chrono::DateTime<chrono::Utc>>,
}

impl Row {
    fn into_node(self, suspect: Duration) -> sqlx::Result<Node> {
        let life = Life {
            died: self.died,
            goodbye: self.goodbye,
            silence: self.silence,
        };
        let load = self.load.map_or(Ok(NodeLoad::default()), from_json)?;
        let error = self
            .apply_error
            .map(|error| format!("; it could not apply its work: {error}"));
        Ok(Node {
            id: self.id.into(),
            name: self.name,
            site: self.site,
            zone: self.zone,
            labels: from_json(self.labels)?,
            capacity: self.alloc.unsigned_abs(),
            used: self.used.unsigned_abs(),
            state: life.state(suspect),
            message: format!("{}{}", life.words(suspect), error.unwrap_or_default()),
            advertise: from_json(self.advertise)?,
            version: self.software,
            limits: NodeLimits {
                max_viewers: self.max_viewers.map(i32::unsigned_abs),
                max_egress_mbit: self.max_egress_mbit.map(i32::unsigned_abs),
            },
            full: self.is_full,
            load,
            last_seen_at: self.renewed_at,
            revoked_at: self.revoked_at,
            created_at: self.created_at,
        })
    }
}

/// All nodes as the planner wants them.
pub(crate) async fn node_fleet(
    conn: &mut PgConnection,
    suspect: Duration,
) -> sqlx::Result<Vec<headworks_planner::Node>> {
    let rows = sqlx::query!(
        r#"SELECT n.id, n.name, n.site, n.labels, n.died_at IS NOT NULL AS "died!", c.alloc,
                  COALESCE(l.goodbye, false) AS "goodbye!",
                  EXTRACT(EPOCH FROM clock_timestamp() - l.renewed_at)::float8 AS silence
           FROM node n
           JOIN node_capacity c ON c.node_id = n.id
           LEFT JOIN node_lease l ON l.node_id = n.id"#
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
            labels: from_json(row.labels)?,
            alloc: row.alloc.unsigned_abs(),
            state: life.state(suspect),
            intake: headworks_planner::Intake::Open,
        })
    });
    nodes.collect()
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
