//! Node leases: who is believed alive. Database time only.

use std::collections::BTreeSet;

use headworks_duty::Census;
use headworks_types::{
    NodeId, NodeLoad,
    edge::{NO_REVISION, STRICT_MARGIN},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{node::revision_list, to_json};

/// A node that was full is so until it has less than this part of what it takes: else viewers would
/// come and be turned away by turns.
const STILL_FULL: f32 = 0.9;

/// One node's part of a batch of renewals.
pub(crate) struct Renewal {
    pub(crate) node_id: NodeId,
    pub(crate) instance: Uuid,
    pub(crate) goodbye: bool,
    pub(crate) revision: i64,
    pub(crate) apply_error: Option<String>,
    pub(crate) load: NodeLoad,
}

/// Renews the leases of different nodes for `seconds`, in one statement. Returns each node's
/// revision. Not among them is a node that does not exist any more, or that a newer process is: as
/// long as its lease and the margin run, and it has not said goodbye, nothing counts that an older
/// one says, not even goodbye.
///
/// A newer process takes over at once, but gets [`NO_REVISION`] as long as the one before it may
/// still do strict work. So do all when an era of the database begins (`db::era`).
///
/// The revisions are read by a statement of their own: whoever takes strict work from a node holds
/// its lease meanwhile, and the renewal that waited for that must tell of it.
pub(crate) async fn lease_renew(
    conn: &mut PgConnection,
    renewals: &[Renewal],
    seconds: f64,
) -> sqlx::Result<Vec<(NodeId, i64)>> {
    let nodes: Vec<_> = renewals.iter().map(|one| one.node_id.uuid()).collect();
    let instances: Vec<_> = renewals.iter().map(|one| one.instance).collect();
    let goodbyes: Vec<_> = renewals.iter().map(|one| one.goodbye).collect();
    let revisions: Vec<_> = renewals.iter().map(|one| one.revision).collect();
    let errors: Vec<_> = renewals.iter().map(|one| one.apply_error.clone()).collect();
    let loads = renewals.iter().map(|one| to_json(&one.load));
    let loads = loads.collect::<sqlx::Result<Vec<_>>>()?;
    let renewed = sqlx::query!(
        r#"INSERT INTO node_lease AS l
               (node_id, instance, renewed_at, expires_at, goodbye, applied_revision, apply_error,
                load, share, is_full)
           SELECT r.node_id, r.instance, clock_timestamp(),
                  clock_timestamp() + make_interval(secs => $7),
                  r.goodbye, r.revision, r.error, r.load, f.share, f.share >= 1
           FROM unnest($1::uuid[], $2::uuid[], $3::boolean[], $4::bigint[], $5::text[], $6::jsonb[])
                AS r (node_id, instance, goodbye, revision, error, load)
           JOIN node n ON n.id = r.node_id AND n.removed_at IS NULL
           CROSS JOIN LATERAL node_share(n.max_viewers, n.max_egress_mbit, r.load) AS f (share)
           ORDER BY r.node_id
           ON CONFLICT (node_id) DO UPDATE SET
               instance = excluded.instance,
               renewed_at = excluded.renewed_at,
               expires_at = excluded.expires_at,
               goodbye = excluded.goodbye,
               applied_revision = excluded.applied_revision,
               apply_error = excluded.apply_error,
               load = excluded.load,
               share = excluded.share,
               is_full = excluded.is_full OR l.is_full AND excluded.share >= $9,
               strict_after = CASE
                   WHEN l.instance = excluded.instance OR l.goodbye THEN l.strict_after
                   ELSE GREATEST(l.strict_after, l.expires_at + make_interval(secs => $8))
               END
           WHERE l.instance <= excluded.instance OR l.goodbye
              OR l.expires_at + make_interval(secs => $8) < clock_timestamp()
           RETURNING node_id,
                     strict_after >= clock_timestamp() OR (SELECT database_era_is_over())
                         AS "held!""#,
        &nodes,
        &instances,
        &goodbyes,
        &revisions,
        &errors as &[Option<String>],
        &loads,
        seconds,
        STRICT_MARGIN.as_secs_f64(),
        STILL_FULL
    )
    .fetch_all(&mut *conn)
    .await?;
    let nodes: Vec<_> = renewed.iter().map(|row| row.node_id).collect();
    let held: BTreeSet<_> = renewed
        .iter()
        .filter_map(|row| row.held.then_some(row.node_id))
        .collect();
    let mut revisions = revision_list(conn, &nodes).await?;
    for (node, revision) in &mut revisions {
        if held.contains(&node.uuid()) {
            *revision = NO_REVISION;
        }
    }
    Ok(revisions)
}

/// A node that more than one process wants to be.
pub(crate) struct Doubled {
    pub(crate) id: NodeId,
    pub(crate) name: String,
    /// True if this was not known of the refused process.
    pub(crate) is_news: bool,
}

/// Which of these renewals were refused because a newer process is the node, and not because there
/// is no such node. Takes note of those that are not the last of their process.
pub(crate) async fn lease_doubled(
    conn: &mut PgConnection,
    refused: &[&Renewal],
) -> sqlx::Result<Vec<Doubled>> {
    let nodes: Vec<_> = refused.iter().map(|one| one.node_id.uuid()).collect();
    let instances: Vec<_> = refused.iter().map(|one| one.instance).collect();
    let goodbyes: Vec<_> = refused.iter().map(|one| one.goodbye).collect();
    sqlx::query_as!(
        Doubled,
        r#"WITH found AS (
               SELECT n.id, n.name, r.instance,
                      NOT r.goodbye AND l.refused_instance IS DISTINCT FROM r.instance AS is_news
               FROM unnest($1::uuid[], $2::uuid[], $3::boolean[])
                    AS r (node_id, instance, goodbye)
               JOIN node n ON n.id = r.node_id AND n.removed_at IS NULL
               JOIN node_lease l ON l.node_id = n.id
               ORDER BY l.node_id
               FOR NO KEY UPDATE OF l
           ), noted AS (
               UPDATE node_lease l SET refused_instance = f.instance
               FROM found f
               WHERE f.id = l.node_id AND f.is_news
           )
           SELECT id, name, is_news AS "is_news!" FROM found"#,
        &nodes,
        &instances,
        &goodbyes
    )
    .fetch_all(conn)
    .await
}

/// Gives every living node `seconds` from now: nobody can be blamed for not having renewed while
/// the database was away.
pub(crate) async fn lease_extend_all(conn: &mut PgConnection, seconds: f64) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        r#"WITH locked AS (
               SELECT l.node_id
               FROM node_lease l JOIN node n ON n.id = l.node_id
               WHERE n.died_at IS NULL AND n.removed_at IS NULL AND NOT l.goodbye
               ORDER BY l.node_id
               FOR UPDATE OF l
           )
           UPDATE node_lease l
           SET expires_at = GREATEST(l.expires_at, clock_timestamp() + make_interval(secs => $1))
           FROM locked WHERE l.node_id = locked.node_id"#,
        seconds
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// Counts the living and the silent.
pub(crate) async fn lease_census(conn: &mut PgConnection) -> sqlx::Result<Census> {
    let rows = sqlx::query!(
        r#"SELECT n.id,
                  n.died_at IS NOT NULL AS "died!",
                  COALESCE(l.goodbye, false) AS "goodbye!",
                  l.expires_at < clock_timestamp() AS expired
           FROM node n LEFT JOIN node_lease l ON l.node_id = n.id
           WHERE n.removed_at IS NULL
             AND (n.died_at IS NULL
                  OR n.died_at > clock_timestamp() - interval '1 minute'
                  OR (l.expires_at >= clock_timestamp() AND NOT l.goodbye))
           ORDER BY n.id"#
    )
    .fetch_all(&mut *conn)
    .await?;
    let time = sqlx::query!(
        r#"SELECT clock_timestamp() AS "now!", pg_postmaster_start_time() AS "started!",
                  COALESCE(brake_released_until > clock_timestamp(), false) AS "released!"
           FROM cluster_state"#
    )
    .fetch_one(conn)
    .await?;
    let mut census = Census {
        now: time.now,
        database_started: time.started,
        released: time.released,
        ..Census::default()
    };
    for row in rows {
        let id = NodeId::from(row.id);
        match (row.died, row.goodbye, row.expired) {
            (true, false, Some(false)) => census.returned.push(id),
            (true, _, _) => {
                census.living += 1;
                census.died += 1;
            }
            // Who said goodbye, or never came, has no part in the question.
            (false, true, _) | (false, _, None) => {}
            (false, false, Some(expired)) => {
                census.living += 1;
                if expired {
                    census.silent.push(id);
                }
            }
        }
    }
    Ok(census)
}

/// A node whose life has changed.
pub(crate) struct Changed {
    pub(crate) id: NodeId,
    pub(crate) name: String,
}

/// A node that is back.
pub(crate) struct Returned {
    pub(crate) id: NodeId,
    pub(crate) name: String,
    /// How often it died within [`OFTEN_WITHIN`].
    pub(crate) deaths: i64,
    /// For how many seconds it takes no new work, if it died too often.
    pub(crate) unsteady: Option<f64>,
}

/// A node that died so often within that time, in seconds, is unsteady when it comes back.
const OFTEN: i64 = 3;
pub(crate) const OFTEN_WITHIN: f64 = 600.0;
/// For how many seconds it is that. It doubles each time it is that again within
/// [`OFTEN_WITHIN`] of the last time.
const UNSTEADY_FIRST: f64 = 30.0;
const UNSTEADY_MOST: f64 = 600.0;

/// Declares those of the nodes dead whose lease has run out still.
pub(crate) async fn node_die(
    conn: &mut PgConnection,
    nodes: &[NodeId],
) -> sqlx::Result<Vec<Changed>> {
    let nodes: Vec<_> = nodes.iter().map(|node| node.uuid()).collect();
    // Eight deaths are enough to know whether there were too many.
    sqlx::query_as!(
        Changed,
        r#"WITH silent AS (
               SELECT l.node_id FROM node_lease l
               WHERE l.node_id = ANY($1) AND l.expires_at < clock_timestamp() AND NOT l.goodbye
               ORDER BY l.node_id
               FOR UPDATE
           )
           UPDATE node n
           SET died_at = clock_timestamp(), told_state = 'dead', told_at = clock_timestamp(),
               deaths = (clock_timestamp() || n.deaths)[1:8]
           FROM silent s
           WHERE n.id = s.node_id AND n.died_at IS NULL AND n.removed_at IS NULL
           RETURNING n.id, n.name"#,
        &nodes
    )
    .fetch_all(conn)
    .await
}

/// Takes those of the nodes back into life that renew their lease. One that died too often keeps
/// its work, and gets no new work for some time.
pub(crate) async fn node_return(
    conn: &mut PgConnection,
    nodes: &[NodeId],
) -> sqlx::Result<Vec<Returned>> {
    let nodes: Vec<_> = nodes.iter().map(|node| node.uuid()).collect();
    sqlx::query_as!(
        Returned,
        r#"WITH back AS (
               SELECT n.id, d.deaths,
                      CASE WHEN n.unsteady_until IS NOT NULL
                             OR n.unsteady_ended_at > clock_timestamp() - make_interval(secs => $3)
                           THEN n.unsteady_times + 1
                           WHEN d.deaths >= $2 THEN 1
                           ELSE 0 END AS times
               FROM node n
               JOIN node_lease l ON l.node_id = n.id
               CROSS JOIN LATERAL (
                   SELECT count(*) AS deaths FROM unnest(n.deaths) AS t (at)
                   WHERE t.at > clock_timestamp() - make_interval(secs => $3)
               ) AS d
               WHERE n.id = ANY($1) AND n.died_at IS NOT NULL AND n.removed_at IS NULL
                 AND l.expires_at >= clock_timestamp() AND NOT l.goodbye
               ORDER BY n.id
               FOR NO KEY UPDATE OF n
           ), judged AS (
               SELECT id, deaths, times,
                      CASE WHEN times > 0
                           THEN LEAST($5, $4 * 2 ^ (LEAST(times, 16) - 1)) END AS seconds
               FROM back
           )
           UPDATE node n
           SET died_at = NULL, told_state = 'ready', told_at = clock_timestamp(),
               unsteady_times = j.times,
               unsteady_until = clock_timestamp() + make_interval(secs => j.seconds)
           FROM judged j WHERE n.id = j.id
           RETURNING n.id, n.name, j.deaths AS "deaths!", j.seconds AS unsteady"#,
        &nodes,
        OFTEN,
        OFTEN_WITHIN,
        UNSTEADY_FIRST,
        UNSTEADY_MOST
    )
    .fetch_all(conn)
    .await
}
