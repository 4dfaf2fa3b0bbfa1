//! Customers' keys for playback tokens: rows of `playback_key`.

use chrono::{DateTime, Utc};
use headworks_types::{PlaybackKey, PlaybackKeyId, edge::PlaybackKeyRule};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{camera_group::tree_lock, from_json, to_json};
use crate::app::Reach;

struct Row {
    id: Uuid,
    project_id: Uuid,
    name: String,
    public_key: Value,
    bounds: Value,
    revoked_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

/// The keys of the projects within reach, also revoked ones.
pub(crate) async fn playback_key_list(
    conn: &mut PgConnection,
    reach: &Reach,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<PlaybackKey>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT id, project_id, name, public_key, bounds, revoked_at, created_at
           FROM playback_key
           WHERE ($1::uuid[] IS NULL OR project_id = ANY($1)) AND ($2::uuid IS NULL OR id > $2)
           ORDER BY id
           LIMIT $3"#,
        reach.projects(),
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(PlaybackKey::try_from).collect()
}

/// The key, if its project is within reach.
pub(crate) async fn playback_key_get(
    conn: &mut PgConnection,
    reach: &Reach,
    id: PlaybackKeyId,
) -> sqlx::Result<Option<PlaybackKey>> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT id, project_id, name, public_key, bounds, revoked_at, created_at
           FROM playback_key
           WHERE id = $1 AND ($2::uuid[] IS NULL OR project_id = ANY($2))"#,
        id.uuid(),
        reach.projects()
    )
    .fetch_optional(conn)
    .await?;
    row.map(PlaybackKey::try_from).transpose()
}

/// How many keys of the project work. Nobody adds another one until the transaction ends.
pub(crate) async fn playback_key_count(
    conn: &mut PgConnection,
    project: headworks_types::ProjectId,
) -> sqlx::Result<i64> {
    tree_lock(conn, project).await?;
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM playback_key
           WHERE project_id = $1 AND revoked_at IS NULL"#,
        project.uuid()
    )
    .fetch_one(conn)
    .await
}

/// The keys that work, for edges.
pub(crate) async fn playback_key_rules(
    conn: &mut PgConnection,
) -> sqlx::Result<Vec<PlaybackKeyRule>> {
    let rows = sqlx::query!(
        r#"SELECT id, project_id, public_key, bounds FROM playback_key
           WHERE revoked_at IS NULL
           ORDER BY id"#
    )
    .fetch_all(conn)
    .await?;
    let rules = rows.into_iter().map(|row| {
        Ok(PlaybackKeyRule {
            id: row.id.into(),
            project_id: row.project_id.into(),
            public_key: from_json(row.public_key)?,
            bounds: from_json(row.bounds)?,
        })
    });
    rules.collect()
}

/// The key, if it works.
pub(crate) async fn playback_key_rule(
    conn: &mut PgConnection,
    id: PlaybackKeyId,
) -> sqlx::Result<Option<PlaybackKeyRule>> {
    let row = sqlx::query!(
        "SELECT project_id, public_key, bounds FROM playback_key
         WHERE id = $1 AND revoked_at IS NULL",
        id.uuid()
    )
    .fetch_optional(conn)
    .await?;
    let rule = row.map(|row| {
        Ok(PlaybackKeyRule {
            id,
            project_id: row.project_id.into(),
            public_key: from_json(row.public_key)?,
            bounds: from_json(row.bounds)?,
        })
    });
    rule.transpose()
}

/// A new key; its `created_at` does not count.
pub(crate) async fn playback_key_insert(
    conn: &mut PgConnection,
    key: &PlaybackKey,
) -> sqlx::Result<PlaybackKey> {
    let row = sqlx::query_as!(
        Row,
        r#"INSERT INTO playback_key (id, project_id, name, public_key, bounds)
           VALUES ($1, $2, $3, $4, $5)
           RETURNING id, project_id, name, public_key, bounds, revoked_at, created_at"#,
        key.id.uuid(),
        key.project_id.uuid(),
        key.name,
        to_json(&key.public_key)?,
        to_json(&key.bounds)?
    )
    .fetch_one(conn)
    .await?;
    row.try_into()
}

/// The key does not work any more. What was revoked before stays as it was.
pub(crate) async fn playback_key_revoke(
    conn: &mut PgConnection,
    reach: &Reach,
    id: PlaybackKeyId,
) -> sqlx::Result<PlaybackKey> {
    let row = sqlx::query_as!(
        Row,
        r#"UPDATE playback_key SET revoked_at = COALESCE(revoked_at, clock_timestamp())
           WHERE id = $1 AND ($2::uuid[] IS NULL OR project_id = ANY($2))
           RETURNING id, project_id, name, public_key, bounds, revoked_at, created_at"#,
        id.uuid(),
        reach.projects()
    )
    .fetch_one(conn)
    .await?;
    row.try_into()
}

impl TryFrom<Row> for PlaybackKey {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id.into(),
            project_id: row.project_id.into(),
            name: row.name,
            public_key: from_json(row.public_key)?,
            bounds: from_json(row.bounds)?,
            revoked_at: row.revoked_at,
            created_at: row.created_at,
        })
    }
}
