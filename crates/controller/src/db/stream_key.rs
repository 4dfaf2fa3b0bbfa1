//! Stream keys: rows of `stream_key`. Their project is the one of their camera.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use headworks_types::{
    CameraId, OnConflict, ProjectId, StreamKey, StreamKeyId, edge::StreamKeyDigest,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::from_json;
use crate::credential::{NewCredential, edge_digest};

struct Row {
    id: Uuid,
    camera_id: Uuid,
    name: String,
    lookup: String,
    on_conflict: String,
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
        "SELECT k.id, k.camera_id, k.name, k.lookup, k.on_conflict, k.expires_at, k.revoked_at,
                k.created_at
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
    rows.into_iter().map(Row::into_stream_key).collect()
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
        "SELECT k.id, k.camera_id, k.name, k.lookup, k.on_conflict, k.expires_at, k.revoked_at,
                k.created_at
         FROM stream_key k JOIN camera c ON c.id = k.camera_id
         WHERE k.id = $1 AND c.project_id = $2
         FOR UPDATE OF k",
        id.uuid(),
        project.uuid()
    )
    .fetch_optional(conn)
    .await?;
    row.map(Row::into_stream_key).transpose()
}

/// What edges need to know of the keys of these cameras that work now or later, by camera and in
/// the order of their ids.
pub(crate) async fn stream_key_digests(
    conn: &mut PgConnection,
    cameras: &[CameraId],
) -> sqlx::Result<HashMap<CameraId, Vec<StreamKeyDigest>>> {
    let cameras: Vec<_> = cameras.iter().map(|camera| camera.uuid()).collect();
    let rows = sqlx::query!(
        "SELECT camera_id, id, lookup, edge_digest, on_conflict, expires_at
         FROM stream_key
         WHERE camera_id = ANY($1) AND revoked_at IS NULL
           AND (expires_at IS NULL OR expires_at > clock_timestamp())
         ORDER BY id",
        &cameras
    )
    .fetch_all(conn)
    .await?;
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for row in rows {
        let keys = found.entry(row.camera_id.into()).or_default();
        keys.push(StreamKeyDigest {
            id: row.id.into(),
            lookup: row.lookup,
            digest: URL_SAFE_NO_PAD.encode(row.edge_digest),
            expires_at: row.expires_at,
            on_conflict: from_json(row.on_conflict.into())?,
        });
    }
    Ok(found)
}

/// A key to be.
pub(crate) struct NewStreamKey<'a> {
    pub(crate) id: StreamKeyId,
    pub(crate) camera: CameraId,
    pub(crate) name: &'a str,
    pub(crate) expires_at: Option<DateTime<Utc>>,
    pub(crate) on_conflict: OnConflict,
    pub(crate) credential: &'a NewCredential,
}

/// Adds the key.
pub(crate) async fn stream_key_insert(
    conn: &mut PgConnection,
    new: NewStreamKey<'_>,
) -> sqlx::Result<StreamKey> {
    let row = sqlx::query_as!(
        Row,
        "INSERT INTO stream_key (id, camera_id, name, lookup, digest, edge_digest, on_conflict,
                                 expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         RETURNING id, camera_id, name, lookup, on_conflict, expires_at, revoked_at, created_at",
        new.id.uuid(),
        new.camera.uuid(),
        new.name,
        new.credential.lookup,
        new.credential.digest,
        edge_digest(&new.credential.secret),
        new.on_conflict.as_str(),
        new.expires_at
    )
    .fetch_one(conn)
    .await?;
    row.into_stream_key()
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
         RETURNING k.id, k.camera_id, k.name, k.lookup, k.on_conflict, k.expires_at, k.revoked_at,
                   k.created_at",
        id.uuid(),
        project.uuid()
    )
    .fetch_one(conn)
    .await?;
    row.into_stream_key()
}

impl Row {
    fn into_stream_key(self) -> sqlx::Result<StreamKey> {
        Ok(StreamKey {
            id: self.id.into(),
            camera_id: self.camera_id.into(),
            name: self.name,
            lookup: self.lookup,
            on_conflict: from_json(self.on_conflict.into())?,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
            created_at: self.created_at,
        })
    }
}
