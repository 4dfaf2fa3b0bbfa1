//! What the cluster knows of itself: the one row of `cluster_state`, and counts.

use chrono::{DateTime, Utc};
use headworks_types::{
    Brake, Cluster, ClusterDatabase, ClusterNodes, ClusterPlanner, ClusterSlots, SilentNode,
};
use sqlx::PgConnection;
use std::time::Duration;

/// How many silent nodes are named.
const SILENT: i64 = 100;
/// Marks of an outage that come within so many seconds are of the same one.
const SAME_OUTAGE: f64 = 60.0;

/// The health of the cluster, where `suspect` is the silence that makes a node suspect.
pub(crate) async fn cluster_get(
    conn: &mut PgConnection,
    suspect: Duration,
) -> sqlx::Result<Cluster> {
    let state = sqlx::query!(
        r#"SELECT brake_since, brake_message,
                  CASE WHEN brake_released_until > clock_timestamp()
                       THEN brake_released_until END AS released_until,
                  leases_extended_at, clock_timestamp() AS "now!",
                  pg_postmaster_start_time() AS "started_at!"
           FROM cluster_state"#
    )
    .fetch_one(&mut *conn)
    .await?;
    Ok(Cluster {
        nodes: nodes(conn, suspect).await?,
        slots: slots(conn).await?,
        brake: Brake {
            on: state.brake_since.is_some(),
            since: state.brake_since,
            message: state.brake_message,
            released_until: state.released_until,
            silent: silent(conn).await?,
        },
        planner: planner(conn).await?,
        database: ClusterDatabase {
            now: state.now,
            started_at: state.started_at,
            leases_extended_at: state.leases_extended_at,
        },
    })
}

async fn nodes(conn: &mut PgConnection, suspect: Duration) -> sqlx::Result<ClusterNodes> {
    let row = sqlx::query!(
        r#"SELECT count(*) FILTER (WHERE s.dead) AS "dead!",
                  count(*) FILTER (WHERE NOT s.dead AND s.fresh) AS "ready!",
                  count(*) FILTER (WHERE NOT s.dead AND NOT s.fresh) AS "suspect!",
                  count(*) FILTER (WHERE n.cordoned_at IS NOT NULL) AS "cordoned!",
                  count(*) FILTER (WHERE n.drain_started_at IS NOT NULL
                                     AND n.drain_result IS NULL) AS "draining!",
                  count(*) FILTER (WHERE n.unsteady_until > clock_timestamp()) AS "unsteady!"
           FROM node n
           LEFT JOIN node_lease l ON l.node_id = n.id
           CROSS JOIN LATERAL (
               SELECT n.died_at IS NOT NULL OR COALESCE(l.goodbye, false) AS dead,
                      COALESCE(l.renewed_at + make_interval(secs => $1) >= clock_timestamp(),
                               false) AS fresh
           ) AS s
           WHERE n.removed_at IS NULL"#,
        suspect.as_secs_f64()
    )
    .fetch_one(conn)
    .await?;
    let count = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
    Ok(ClusterNodes {
        ready: count(row.ready),
        suspect: count(row.suspect),
        dead: count(row.dead),
        cordoned: count(row.cordoned),
        draining: count(row.draining),
        unsteady: count(row.unsteady),
    })
}

async fn slots(conn: &mut PgConnection) -> sqlx::Result<ClusterSlots> {
    let row = sqlx::query!(
        r#"SELECT count(*) FILTER (WHERE s.node_id IS NOT NULL) AS "placed!",
                  count(*) FILTER (WHERE s.node_id IS NULL AND c.enabled
                                     AND (s.role = 'ingest' OR r.enabled)) AS "unplaced!"
           FROM slot s
           JOIN camera c ON c.id = s.camera_id
           LEFT JOIN restream r ON (r.camera_id, r.role, r.ordinal)
                                 = (s.camera_id, s.role, s.ordinal)"#
    )
    .fetch_one(conn)
    .await?;
    Ok(ClusterSlots {
        placed: row.placed.unsigned_abs(),
        unplaced: row.unplaced.unsigned_abs(),
    })
}

async fn silent(conn: &mut PgConnection) -> sqlx::Result<Vec<SilentNode>> {
    let rows = sqlx::query!(
        r#"SELECT n.id, n.name, l.renewed_at
           FROM node n JOIN node_lease l ON l.node_id = n.id
           WHERE n.died_at IS NULL AND n.removed_at IS NULL AND NOT l.goodbye
             AND l.expires_at < clock_timestamp()
           ORDER BY n.id
           LIMIT $1"#,
        SILENT
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter().map(|row| SilentNode {
        node_id: row.id.into(),
        name: row.name,
        last_seen_at: row.renewed_at,
    });
    Ok(rows.collect())
}

async fn planner(conn: &mut PgConnection) -> sqlx::Result<Option<ClusterPlanner>> {
    // Who has resigned has left `-infinity`, which is no time to show.
    sqlx::query_as!(
        ClusterPlanner,
        r#"SELECT holder, term,
                  GREATEST(expires_at, '1970-01-01T00:00:00Z'::timestamptz) AS "expires_at!",
                  expires_at >= clock_timestamp() AS "holds!"
           FROM planner_lease"#
    )
    .fetch_optional(conn)
    .await
}

/// Why the brake holds, as it is written down; `None` if it does not.
pub(crate) async fn brake_get(conn: &mut PgConnection) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!("SELECT brake_message FROM cluster_state")
        .fetch_one(conn)
        .await
}

/// Notes that the brake holds, and why. True if it did not before.
pub(crate) async fn brake_apply(conn: &mut PgConnection, message: &str) -> sqlx::Result<bool> {
    let row = sqlx::query!(
        r#"WITH before AS (SELECT brake_since FROM cluster_state FOR UPDATE)
           UPDATE cluster_state c
           SET brake_since = COALESCE(c.brake_since, clock_timestamp()), brake_message = $1
           FROM before
           RETURNING before.brake_since IS NULL AS "is_new!""#,
        message
    )
    .fetch_one(conn)
    .await?;
    Ok(row.is_new)
}

/// Notes that the brake does not hold. True if it did before.
pub(crate) async fn brake_lift(conn: &mut PgConnection) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE cluster_state SET brake_since = NULL, brake_message = NULL
         WHERE brake_since IS NOT NULL"
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Lets silent nodes be declared dead, however many, for so many seconds. Returns until when.
pub(crate) async fn brake_release(
    conn: &mut PgConnection,
    actor: &str,
    seconds: u32,
) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar!(
        r#"UPDATE cluster_state
           SET brake_released_until = clock_timestamp() + make_interval(secs => $2),
               brake_released_by = $1
           RETURNING brake_released_until AS "until!""#,
        actor,
        f64::from(seconds)
    )
    .fetch_one(conn)
    .await
}

/// Marks that all leases were extended after an outage. False if somebody has marked this outage
/// already.
pub(crate) async fn outage_mark(conn: &mut PgConnection) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE cluster_state SET leases_extended_at = clock_timestamp()
         WHERE leases_extended_at IS NULL
            OR leases_extended_at < clock_timestamp() - make_interval(secs => $1)",
        SAME_OUTAGE
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}
