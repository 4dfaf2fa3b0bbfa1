//! Stream keys: rows of `stream_key`. Their project is the one of their camera.

use chrono::{DateTime, Utc};
use headworks_types::{CameraId, ProjectId, StreamKey, StreamKeyId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::credential::NewCredential;

struct Row {
    id: Uuid,
    camera_id: Uuid,
    name: String,
    lookup: String,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

/// The keys of a camera of this project, also revoked and expired ones.
pub(crate) async fn stream_key_list(
    conn: &mut PgConnection,
    project: ProjectId,
    camera: CameraId,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<StreamKey>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT k.id, k.camera_id, k.name, k.lookup, k.expires_at, k.revoked_at, k.created_at
         FROM stream_key k JOIN camera c ON c.id = k.camera_id
         WHERE c.project_id = $1 AND k.camera_id = $2 AND ($3::uuid IS NULL OR k.id > $3)
         ORDER BY k.id
         LIMIT $4",
        project.uuid(),
        camera.uuid(),
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Row::into_stream_key).collect())
}

/// Which camera the key is for. Whether the caller may know of that is for the caller to ask next.
pub(crate) async fn stream_key_camera(
    conn: &mut PgConnection,
    id: StreamKeyId,
) -> sqlx::Result<Option<CameraId>> {
    let camera = sqlx::query_scalar!("SELECT camera_id FROM stream_key WHERE id = $1", id.uuid())
        .fetch_optional(conn)
        .await?;
    Ok(camera.map(Into::into))
}

/// The key of a camera of this project, locked until the transaction ends.
pub(crate) async fn stream_key_lock(
    conn: &mut PgConnection,
    project: ProjectId,
    id: StreamKeyId,
) -> sqlx::Result<Option<StreamKey>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT k.id, k.camera_id, k.name, k.lookup, k.expires_at, k.revoked_at, k.created_at
         FROM stream_key k JOIN camera c ON c.id = k.camera_id
         WHERE k.id = $1 AND c.project_id = $2
         FOR UPDATE OF k",
        id.uuid(),
        project.uuid()
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Row::into_stream_key))
}

/// A new key.
pub(crate) async fn stream_key_insert(
    conn: &mut PgConnection,
    camera: CameraId,
    id: StreamKeyId,
    name: &str,
    expires_at: Option<DateTime<Utc>>,
    credential: &NewCredential,
) -> sqlx::Result<StreamKey> {
    let row = sqlx::query_as!(
        Row,
        "INSERT INTO stream_key (id, camera_id, name, lookup, digest, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         RETURNING id, camera_id, name, lookup, expires_at, revoked_at, created_at",
        id.uuid(),
        camera.uuid(),
        name,
        credential.lookup,
        credential.digest,
        expires_at
    )
    .fetch_one(conn)
    .await?;
    Ok(row.into_stream_key())
}

/// Lets the key end so many seconds from now, unless it ends before.
pub(crate) async fn stream_key_expire(
    conn: &mut PgConnection,
    project: ProjectId,
    id: StreamKeyId,
    in_seconds: u32,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE stream_key k
         SET expires_at = LEAST(k.expires_at, clock_timestamp() + make_interval(secs => $3))
         FROM camera c
         WHERE k.id = $1 AND c.id = k.camera_id AND c.project_id = $2",
        id.uuid(),
        project.uuid(),
        f64::from(in_seconds)
    )
    .execute(conn)
    .await?;
    super::ensure_one_row(&result)
}

/// Revokes the key; the time of an earlier revocation stays.
pub(crate) async fn stream_key_revoke(
    conn: &mut PgConnection,
    project: ProjectId,
    id: StreamKeyId,
) -> sqlx::Result<StreamKey> {
    let row = sqlx::query_as!(
        Row,
        "UPDATE stream_key k SET revoked_at = COALESCE(k.revoked_at, clock_timestamp())
         FROM camera c
         WHERE k.id = $1 AND c.id = k.camera_id AND c.project_id = $2
         RETURNING k.id, k.camera_id, k.name, k.lookup, k.expires_at, k.revoked_at, k.created_at",
        id.uuid(),
        project.uuid()
    )
    .fetch_one(conn)
    .await?;
    Ok(row.into_stream_key())
}

impl Row {
    fn into_stream_key(self) -> StreamKey {
        StreamKey {
            id: self.id.into(),
            camera_id: self.camera_id.into(),
            name: self.name,
            lookup: self.lookup,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
            created_at: self.created_at,
        }
    }
}
