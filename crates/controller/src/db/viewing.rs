//! How cameras may be watched, where that is not as usual: rows of `camera_viewing`.

use std::collections::HashMap;

use headworks_types::{CameraId, NodeId, Viewing, edge::ViewPolicy};
use sqlx::PgConnection;

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
    let all: Vec<_> = cameras.iter().map(|(id, _)| id.uuid()).collect();
    sqlx::query!("DELETE FROM camera_viewing WHERE camera_id = ANY($1)", &all)
        .execute(&mut *conn)
        .await?;
    let special = || cameras.iter().filter(|(_, viewing)| !viewing.is_usual());
    if special().next().is_none() {
        return Ok(());
    }
    let ids: Vec<_> = special().map(|(id, _)| id.uuid()).collect();
    let limits: Vec<_> = special()
        .map(|(_, viewing)| viewing.max_viewers.map(u32::cast_signed))
        .collect();
    let sensitive: Vec<_> = special().map(|(_, viewing)| viewing.sensitive).collect();
    // A camera that was left out when cameras were added has no row either.
    sqlx::query!(
        r#"INSERT INTO camera_viewing (camera_id, max_viewers, sensitive)
           SELECT n.camera_id, n.max_viewers, n.sensitive
           FROM unnest($1::uuid[], $2::integer[], $3::boolean[])
                AS n (camera_id, max_viewers, sensitive)
           JOIN camera c ON c.id = n.camera_id"#,
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
        r#"SELECT DISTINCT v.camera_id, v.max_viewers, v.sensitive
           FROM slot s JOIN camera_viewing v ON v.camera_id = s.camera_id
           WHERE s.node_id = $1"#,
        node.uuid()
    )
    .fetch_all(conn)
    .await?;
    let policies = rows.into_iter().map(|row| {
        let policy = ViewPolicy {
            groups: Vec::new(),
            sensitive: row.sensitive,
            max_viewers: row.max_viewers.map(i32::unsigned_abs),
        };
        (row.camera_id.into(), policy)
    });
    Ok(policies.collect())
}
