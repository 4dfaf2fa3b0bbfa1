//! What has to be known to send a viewer to an edge: the edges, which of them have the camera, and
//! what a playback token is worth.

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, Utc};
use headworks_duty::Life;
use headworks_planner::Intake;
use headworks_types::{
    Advertise, CameraGroupId, CameraId, NodeId, NodeLimits, NodeLoad, NodeState, ProjectId,
    edge::RevocationKind,
};
use sqlx::PgConnection;

use super::{from_json, node::intake};

/// A node, as viewers see it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) id: NodeId,
    pub(crate) name: String,
    pub(crate) zone: String,
    pub(crate) advertise: Advertise,
    pub(crate) state: NodeState,
    pub(crate) intake: Intake,
    /// Other edges can have cameras from it.
    pub(crate) relays: bool,
    pub(crate) limits: NodeLimits,
    pub(crate) load: NodeLoad,
    pub(crate) is_full: bool,
}

/// All nodes that have ever renewed a lease and whose certificates count, where `suspect` is the
/// silence that makes a node suspect.
pub(crate) async fn place_list(
    conn: &mut PgConnection,
    suspect: Duration,
) -> sqlx::Result<Vec<Place>> {
    let rows = sqlx::query!(
        r#"SELECT n.id, n.name, n.zone, n.advertise, n.relay IS NOT NULL AS "relays!",
                  n.max_viewers, n.max_egress_mbit, n.died_at IS NOT NULL AS "died!",
                  l.goodbye, l.load, l.is_full,
                  EXTRACT(EPOCH FROM clock_timestamp() - l.renewed_at)::float8 AS silence,
                  n.cordoned_at IS NOT NULL AS "cordoned!",
                  n.drain_started_at IS NOT NULL AS "drained!",
                  COALESCE(n.unsteady_until > clock_timestamp(), false) AS "unsteady!"
           FROM node n JOIN node_lease l ON l.node_id = n.id
           WHERE n.revoked_at IS NULL AND n.removed_at IS NULL
           ORDER BY n.id"#
    )
    .fetch_all(conn)
    .await?;
    let places = rows.into_iter().map(|row| {
        let life = Life {
            died: row.died,
            goodbye: row.goodbye,
            silence: row.silence,
        };
        Ok(Place {
            id: row.id.into(),
            name: row.name,
            zone: row.zone,
            advertise: from_json(row.advertise)?,
            state: life.state(suspect),
            // Nobody is sent to a node that an operator wanted empty, either.
            intake: intake(row.cordoned, row.drained, row.unsteady),
            relays: row.relays,
            limits: NodeLimits {
                max_viewers: row.max_viewers.map(i32::unsigned_abs),
                max_egress_mbit: row.max_egress_mbit.map(i32::unsigned_abs),
            },
            load: from_json(row.load)?,
            is_full: row.is_full,
        })
    });
    places.collect()
}

/// The nodes where somebody watches the camera. It jumps from node to node through an index, so that
/// it costs the same however many watch.
pub(crate) async fn watched_list(
    conn: &mut PgConnection,
    camera: CameraId,
) -> sqlx::Result<HashSet<NodeId>> {
    let nodes = sqlx::query_scalar!(
        r#"WITH RECURSIVE watched (node_id) AS (
               (SELECT node_id FROM viewer_session WHERE camera_id = $1 ORDER BY node_id LIMIT 1)
               UNION ALL
               SELECT (SELECT s.node_id FROM viewer_session s
                       WHERE s.camera_id = $1 AND s.node_id > w.node_id
                       ORDER BY s.node_id LIMIT 1)
               FROM watched w
               WHERE w.node_id IS NOT NULL
           )
           SELECT node_id AS "node_id!" FROM watched WHERE node_id IS NOT NULL"#,
        camera.uuid()
    )
    .fetch_all(conn)
    .await?;
    Ok(nodes.into_iter().map(Into::into).collect())
}

/// What a token for a camera is compared with.
pub(crate) struct Visited {
    pub(crate) project: ProjectId,
    /// The groups that the camera is in.
    pub(crate) groups: Vec<CameraGroupId>,
    /// The database's time.
    pub(crate) now: DateTime<Utc>,
}

/// The camera, if there is one.
pub(crate) async fn visited_get(
    conn: &mut PgConnection,
    camera: CameraId,
) -> sqlx::Result<Option<Visited>> {
    let row = sqlx::query!(
        r#"SELECT c.project_id, g.path AS "path?", clock_timestamp() AS "now!"
           FROM camera c LEFT JOIN camera_group g ON g.id = c.group_id
           WHERE c.id = $1"#,
        camera.uuid()
    )
    .fetch_optional(conn)
    .await?;
    let visited = row.map(|row| Visited {
        project: row.project_id.into(),
        groups: row.path.into_iter().flatten().map(Into::into).collect(),
        now: row.now,
    });
    Ok(visited)
}

/// True if something of these names was revoked such that a token of this second opens nothing any
/// more. A token that is named by itself never does.
pub(crate) async fn is_revoked(
    conn: &mut PgConnection,
    names: &[(RevocationKind, String)],
    project: ProjectId,
    issued: i64,
) -> sqlx::Result<bool> {
    let kinds: Vec<_> = names
        .iter()
        .map(|(kind, _)| kind.as_str().to_owned())
        .collect();
    let values: Vec<_> = names.iter().map(|(_, value)| value.clone()).collect();
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM revocation r
               JOIN unnest($1::text[], $2::text[]) AS n (kind, value) USING (kind, value)
               WHERE r.expires_at > clock_timestamp()
                 AND CASE r.kind
                         WHEN 'token' THEN r.project_id = $3
                         ELSE floor(EXTRACT(EPOCH FROM r.issued_before)) >= $4::bigint
                     END
           ) AS "is_revoked!""#,
        &kinds,
        &values,
        project.uuid(),
        issued
    )
    .fetch_one(conn)
    .await
}
