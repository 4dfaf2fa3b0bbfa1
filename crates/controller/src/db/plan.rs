//! Who would notice if work moved.

use std::collections::{BTreeSet, HashMap};

use headworks_types::{CameraId, NodeId};
use sqlx::PgConnection;

/// Who watches and publishes now.
#[derive(Debug, Default)]
pub(crate) struct Audience {
    /// Sessions, by what is watched and where.
    pub(crate) viewers: HashMap<(CameraId, NodeId), u32>,
    /// Cameras that somebody publishes.
    pub(crate) publishers: BTreeSet<CameraId>,
    by_camera: HashMap<CameraId, u32>,
}

impl Audience {
    /// How many watch the camera, anywhere.
    pub(crate) fn of(&self, camera: CameraId) -> u32 {
        self.by_camera.get(&camera).copied().unwrap_or(0)
    }
}

/// Counts who watches and publishes.
pub(crate) async fn audience(conn: &mut PgConnection) -> sqlx::Result<Audience> {
    let rows = sqlx::query!(
        r#"SELECT camera_id, node_id, count(*) AS "count!"
           FROM viewer_session
           GROUP BY camera_id, node_id"#
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut audience = Audience::default();
    for row in rows {
        let (camera, count) = (
            CameraId::from(row.camera_id),
            u32::try_from(row.count).unwrap_or(u32::MAX),
        );
        *audience.by_camera.entry(camera).or_default() += count;
        let place = (camera, NodeId::from(row.node_id));
        audience.viewers.insert(place, count);
    }
    let rows = sqlx::query_scalar!(
        r#"SELECT t.camera_id
           FROM slot_status t
           JOIN slot s ON (s.camera_id, s.role, s.ordinal) = (t.camera_id, t.role, t.ordinal)
            AND s.node_id = t.node_id AND s.epoch = t.epoch
           WHERE t.publisher IS NOT NULL"#
    )
    .fetch_all(conn)
    .await?;
    audience.publishers = rows.into_iter().map(Into::into).collect();
    Ok(audience)
}

/// What these cameras are called.
pub(crate) async fn camera_names(
    conn: &mut PgConnection,
    cameras: &[CameraId],
) -> sqlx::Result<HashMap<CameraId, String>> {
    let cameras: Vec<_> = cameras.iter().map(|camera| camera.uuid()).collect();
    let rows = sqlx::query!("SELECT id, name FROM camera WHERE id = ANY($1)", &cameras)
        .fetch_all(conn)
        .await?;
    let rows = rows.into_iter();
    Ok(rows.map(|row| (row.id.into(), row.name)).collect())
}
