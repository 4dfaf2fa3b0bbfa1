//! How cameras may be watched, where that is not as usual: rows of `camera_viewing`.

use std::collections::HashMap;

use headworks_types::{CameraGroupId, CameraId, NodeId, Viewing, edge::ViewPolicy};
use sqlx::PgConnection;

use super::node::revision_bump;

/// Those of the cameras for which something is said.
pub(crate) async fn viewing_list(
    conn: &mut PgConnection,
    cameras: &[CameraId],
) -> sqlx::Result<HashMap<CameraId, Viewing>> {
    let cameras: Vec<_> = cameras.iter().map(|camera| camera.uuid()).collect();
    let rows = sqlx::query!(
        "SELECT camera_id, max_viewers, sensitive FROM camera_viewing WHERE camera_id = ANY($1)",
        &cameras
    )
    .fetch_all(conn)
    .await?;
    let viewing = rows.into_iter().map(|row| {
        let viewing = Viewing {
            max_viewers: row.max_viewers.map(i32::unsigned_abs),
            sensitive: row.sensitive,
        };
        (row.camera_id.into(), viewing)
    });
    Ok(viewing.collect())
}

/// Says how these cameras may be watched. What is as usual has no row.
pub(crate) async fn viewing_put(
    conn: &mut PgConnection,
    cameras: &[(CameraId, Viewing)],
) -> sqlx::Result<()> {
    let special = || cameras.iter().filter(|(_, viewing)| !viewing.is_usual());
    let usual = cameras.iter().filter(|(_, viewing)| viewing.is_usual());
    let usual: Vec<_> = usual.map(|(id, _)| id.uuid()).collect();
    sqlx::query!(
        "DELETE FROM camera_viewing WHERE camera_id = ANY($1)",
        &usual
    )
    .execute(&mut *conn)
    .await?;
    if special().next().is_none() {
        return Ok(());
    }
    let ids: Vec<_> = special().map(|(id, _)| id.uuid()).collect();
    let limits: Vec<_> = special()
        .map(|(_, viewing)| viewing.max_viewers.map(u32::cast_signed))
        .collect();
    let sensitive: Vec<_> = special().map(|(_, viewing)| viewing.sensitive).collect();
    // A camera that was left out when cameras were added has no row either. What stays as it is is
    // not written, so that no edge is told of it.
    sqlx::query!(
        r#"INSERT INTO camera_viewing AS v (camera_id, max_viewers, sensitive)
           SELECT n.camera_id, n.max_viewers, n.sensitive
           FROM unnest($1::uuid[], $2::integer[], $3::boolean[])
                AS n (camera_id, max_viewers, sensitive)
           JOIN camera c ON c.id = n.camera_id
           ON CONFLICT (camera_id) DO UPDATE
               SET max_viewers = excluded.max_viewers, sensitive = excluded.sensitive
               WHERE (v.max_viewers, v.sensitive)
                     IS DISTINCT FROM (excluded.max_viewers, excluded.sensitive)"#,
        &ids,
        &limits as &[Option<i32>],
        &sensitive
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What the node has to know of its cameras, where there is anything.
pub(crate) async fn view_policy_list(
    conn: &mut PgConnection,
    node: NodeId,
) -> sqlx::Result<HashMap<CameraId, ViewPolicy>> {
    let rows = sqlx::query!(
        r#"SELECT c.id, v.max_viewers AS "max_viewers?", v.sensitive AS "sensitive?",
                  g.path AS "path?"
           FROM camera c
           LEFT JOIN camera_viewing v ON v.camera_id = c.id
           LEFT JOIN camera_group g ON g.id = c.group_id
           WHERE c.id IN (SELECT camera_id FROM slot WHERE node_id = $1)
             AND (v.camera_id IS NOT NULL OR g.id IS NOT NULL)"#,
        node.uuid()
    )
    .fetch_all(conn)
    .await?;
    let policies = rows.into_iter().map(|row| {
        let groups = row.path.unwrap_or_default().into_iter();
        let policy = ViewPolicy {
            groups: groups.map(Into::into).collect(),
            sensitive: row.sensitive.unwrap_or_default(),
            max_viewers: row.max_viewers.map(i32::unsigned_abs),
        };
        (row.id.into(), policy)
    });
    Ok(policies.collect())
}

/// Tells the nodes that have cameras below the group that it is somewhere else now.
pub(crate) async fn view_policy_tell(
    conn: &mut PgConnection,
    group: CameraGroupId,
) -> sqlx::Result<()> {
    let nodes = sqlx::query_scalar!(
        r#"SELECT DISTINCT s.node_id AS "node_id!"
           FROM camera_group g
           JOIN camera c ON c.group_id = g.id
           JOIN slot s ON s.camera_id = c.id
           WHERE g.path @> ARRAY[$1::uuid] AND s.node_id IS NOT NULL"#,
        group.uuid()
    )
    .fetch_all(&mut *conn)
    .await?;
    revision_bump(conn, &nodes).await
}
