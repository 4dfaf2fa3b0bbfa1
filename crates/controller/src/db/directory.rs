//! The directory: which nodes there are, where each camera is, and what of it has changed since when.
//!
//! Triggers write rows of `directory_change` (see its migration), each with the transaction that it
//! belongs to. Who reads remembers the oldest transaction that was open then ([`Horizon`]) and reads
//! on from there: what an older one has changed was seen.

use std::collections::HashMap;

use futures::TryStreamExt as _;
use headworks_types::{
    CameraId, NodeId, NodeState,
    edge::{Peer, Route, ViewPolicy},
};
use sqlx::PgConnection;
use url::Url;
use uuid::Uuid;

use super::from_json;

/// How far a read sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Horizon {
    /// Tells one history of a database from others: another server, or the same one after a standby
    /// took over, which may not know what was committed last. Below 2^15.
    pub(crate) line: u16,
    /// Every older transaction is over, and was seen.
    pub(crate) xact: u64,
    /// Up to this transaction, changes are forgotten.
    pub(crate) floor: u64,
}

impl Horizon {
    /// True if who has seen what was older than this transaction can go on from there.
    pub(crate) fn reaches(&self, line: u16, xact: u64) -> bool {
        line == self.line && (self.floor + 1..=self.xact).contains(&xact)
    }
}

/// What has changed, with the last transaction that changed it, and how it is now. What is named as
/// changed and is not among `peers` or `routes` does not exist.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) nodes: HashMap<NodeId, u64>,
    pub(crate) cameras: HashMap<CameraId, u64>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) routes: Vec<Route>,
}

/// Spreads servers over the numbers of lines; a prime below 2^15.
const LINES: i64 = 32_749;

/// How far the transaction of `conn` sees.
pub(crate) async fn horizon_get(conn: &mut PgConnection) -> sqlx::Result<Horizon> {
    let row = sqlx::query!(
        r#"SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS "xact!",
                  (SELECT xact::text::bigint FROM directory_floor) AS "floor!",
                  (SELECT system_identifier FROM pg_control_system()) AS "server!",
                  substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) AS "timeline!""#
    )
    .fetch_one(conn)
    .await?;
    let timeline = i64::from_str_radix(&row.timeline, 16)
        .map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Horizon {
        line: line(row.server, timeline),
        xact: row.xact.unsigned_abs(),
        floor: row.floor.unsigned_abs(),
    })
}

/// Neighbouring time lines of a server never have the same number.
fn line(server: i64, timeline: i64) -> u16 {
    let number = (server.rem_euclid(LINES) + timeline).rem_euclid(LINES);
    u16::try_from(number).unwrap_or_default()
}

/// Everything, with what is remembered of changes.
pub(crate) async fn directory_list(conn: &mut PgConnection) -> sqlx::Result<Changes> {
    let mut changes = changes_since(conn, 0).await?;
    changes.peers = peer_list(conn, None).await?;
    changes.routes = route_list(conn, None).await?;
    Ok(changes)
}

/// What this transaction or later ones have changed. All reads must see the same.
pub(crate) async fn directory_changes(
    conn: &mut PgConnection,
    since: u64,
) -> sqlx::Result<Changes> {
    let mut changes = changes_since(conn, since).await?;
    if !changes.nodes.is_empty() {
        let nodes: Vec<_> = changes.nodes.keys().map(|node| node.uuid()).collect();
        changes.peers = peer_list(conn, Some(&nodes)).await?;
    }
    if !changes.cameras.is_empty() {
        let cameras: Vec<_> = changes.cameras.keys().map(|camera| camera.uuid()).collect();
        changes.routes = route_list(conn, Some(&cameras)).await?;
    }
    Ok(changes)
}

async fn changes_since(conn: &mut PgConnection, since: u64) -> sqlx::Result<Changes> {
    let rows = sqlx::query!(
        r#"SELECT node_id, camera_id, max(xact::text::bigint) AS "xact!"
           FROM (
               SELECT node_id, camera_id, xact
               FROM directory_change
               WHERE xact >= $1::text::xid8 AND camera_group_id IS NULL
               UNION ALL
               SELECT NULL, c.id, d.xact
               FROM directory_change d JOIN camera c ON c.group_id = d.camera_group_id
               WHERE d.xact >= $1::text::xid8
           ) AS d
           GROUP BY node_id, camera_id"#,
        since.to_string()
    )
    .fetch_all(conn)
    .await?;
    let mut changes = Changes::default();
    for row in rows {
        let xact = row.xact.unsigned_abs();
        if let Some(node) = row.node_id {
            changes.nodes.insert(node.into(), xact);
        }
        if let Some(camera) = row.camera_id {
            changes.cameras.insert(camera.into(), xact);
        }
    }
    Ok(changes)
}

/// All nodes, or those of them that exist. Silence makes no node suspect here, or each renewal that
/// is late would be told to every edge: what counts is what was decided of it.
async fn peer_list(conn: &mut PgConnection, only: Option<&[Uuid]>) -> sqlx::Result<Vec<Peer>> {
    let rows = sqlx::query!(
        r#"SELECT n.id AS "id!", n.name AS "name!", n.site AS "site!", n.zone AS "zone!", n.relay,
                  n.advertise AS "advertise!",
                  n.died_at IS NOT NULL OR COALESCE(l.goodbye, false) AS "dead!",
                  l.node_id IS NOT NULL AS "renewed!", COALESCE(l.is_full, false) AS "full!",
                  n.drain_started_at IS NOT NULL AS "draining!"
           FROM node n LEFT JOIN node_lease l ON l.node_id = n.id
           WHERE ($1::uuid[] IS NULL OR n.id = ANY($1)) AND n.revoked_at IS NULL
             AND n.removed_at IS NULL"#,
        only
    )
    .fetch_all(conn)
    .await?;
    let peers = rows.into_iter().map(|row| {
        let relay = row.relay.map(|relay| relay.parse::<Url>()).transpose();
        Ok(Peer {
            id: row.id.into(),
            name: row.name,
            site: row.site,
            zone: row.zone,
            relay: relay.map_err(|error| sqlx::Error::Decode(error.into()))?,
            advertise: from_json(row.advertise)?,
            state: match (row.dead, row.renewed) {
                (true, _) => NodeState::Dead,
                (false, true) => NodeState::Ready,
                (false, false) => NodeState::Suspect,
            },
            draining: row.draining,
            full: row.full,
        })
    });
    peers.collect()
}

/// All cameras that are enabled, or those of them.
async fn route_list(conn: &mut PgConnection, only: Option<&[Uuid]>) -> sqlx::Result<Vec<Route>> {
    let rows = sqlx::query!(
        r#"SELECT c.id AS "id!", c.project_id AS "project_id!", c.name AS "name!",
                  s.node_id AS "node_id?", s.epoch AS "epoch?",
                  v.max_viewers AS "max_viewers?", v.sensitive AS "sensitive?", g.path AS "path?"
           FROM camera c
           LEFT JOIN slot s ON s.camera_id = c.id AND s.role = 'ingest' AND s.ordinal = 0
           LEFT JOIN camera_viewing v ON v.camera_id = c.id
           LEFT JOIN camera_group g ON g.id = c.group_id
           WHERE ($1::uuid[] IS NULL OR c.id = ANY($1)) AND c.enabled"#,
        only
    )
    .fetch(conn);
    rows.map_ok(|row| Route {
        camera_id: row.id.into(),
        project_id: row.project_id.into(),
        camera_name: row.name,
        origin: row.node_id.map(Into::into),
        epoch: row.epoch.unwrap_or_default(),
        view: ViewPolicy {
            groups: row
                .path
                .unwrap_or_default()
                .into_iter()
                .map(Into::into)
                .collect(),
            sensitive: row.sensitive.unwrap_or_default(),
            max_viewers: row.max_viewers.map(i32::unsigned_abs),
        },
    })
    .try_collect()
    .await
}

/// Forgets those of the first `limit` changes that are older than `hours`: an edge that was away for
/// longer is told everything.
pub(crate) async fn directory_sweep(
    conn: &mut PgConnection,
    hours: i32,
    limit: i64,
) -> sqlx::Result<u64> {
    let swept = sqlx::query_scalar!(
        r#"WITH swept AS (
               DELETE FROM directory_change WHERE ctid IN (
                   SELECT ctid FROM (
                       SELECT ctid, at FROM directory_change ORDER BY xact LIMIT $2
                   ) AS oldest
                   WHERE at < clock_timestamp() - make_interval(hours => $1)
                   FOR UPDATE SKIP LOCKED
               )
               RETURNING xact
           ), forgotten AS (
               UPDATE directory_floor f SET xact = last.xact
               FROM (SELECT xact FROM swept ORDER BY xact DESC LIMIT 1) AS last
               WHERE last.xact > f.xact
           )
           SELECT count(*) AS "count!" FROM swept"#,
        hours,
        limit
    )
    .fetch_one(conn)
    .await?;
    Ok(swept.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_that_takes_over_begins_another_line() {
        for server in [7_654_321_098_765_432_109, -1, 0, i64::MAX] {
            for timeline in [1, 2, 40_000] {
                let one = line(server, timeline);
                assert!(one < 1 << 15);
                assert_ne!(one, line(server, timeline + 1));
            }
        }
    }
}
