//! API keys: rows of `api_key`.

use chrono::{DateTime, Utc};
use headworks_types::{ApiKey, ApiKeyId, GrantId, ProjectId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{app::Reach, credential::NewCredential};

struct Row {
    id: Uuid,
    project_id: Uuid,
    name: String,
    lookup: String,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

/// A key that works now, with one of its grants: one row for each object it has actions on, where
/// all single cameras count as one. A key without grants has one row without actions.
pub(crate) struct SignIn {
    pub(crate) id: Uuid,
    pub(crate) project_id: Uuid,
    pub(crate) digest: Vec<u8>,
    pub(crate) on_cluster: Option<bool>,
    pub(crate) object_project_id: Option<Uuid>,
    pub(crate) actions: Option<Vec<String>>,
}

/// The key of this lookup with what it may do. It asks for no project: it finds out whose the
/// caller is.
pub(crate) async fn api_key_sign_in(
    conn: &mut PgConnection,
    lookup: &str,
) -> sqlx::Result<Vec<SignIn>> {
    sqlx::query_as!(
        SignIn,
        r#"SELECT k.id, k.project_id, k.digest,
                  g.on_cluster AS "on_cluster?",
                  g.object_project_id AS "object_project_id?",
                  array_agg(DISTINCT action) FILTER (WHERE action IS NOT NULL) AS actions
           FROM api_key k
           LEFT JOIN "grant" g ON g.api_key_id = k.id
           LEFT JOIN LATERAL unnest(g.actions) AS action ON true
           WHERE k.lookup = $1
             AND k.revoked_at IS NULL
             AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
           GROUP BY k.id, g.on_cluster, g.object_project_id"#,
        lookup
    )
    .fetch_all(conn)
    .await
}

/// The keys of the projects within reach, also revoked and expired ones.
pub(crate) async fn api_key_list(
    conn: &mut PgConnection,
    reach: &Reach,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<ApiKey>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, project_id, name, lookup, expires_at, revoked_at, created_at
         FROM api_key
         WHERE ($1::uuid[] IS NULL OR project_id = ANY($1)) AND ($2::uuid IS NULL OR id > $2)
         ORDER BY id
         LIMIT $3",
        reach.projects(),
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Row::into_api_key).collect())
}

/// The key, if its project is within reach.
pub(crate) async fn api_key_get(
    conn: &mut PgConnection,
    reach: &Reach,
    id: ApiKeyId,
) -> sqlx::Result<Option<ApiKey>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, project_id, name, lookup, expires_at, revoked_at, created_at
         FROM api_key
         WHERE id = $1 AND ($2::uuid[] IS NULL OR project_id = ANY($2))",
        id.uuid(),
        reach.projects()
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Row::into_api_key))
}

/// A new key.
pub(crate) async fn api_key_insert(
    conn: &mut PgConnection,
    project: ProjectId,
    id: ApiKeyId,
    name: &str,
    expires_at: Option<DateTime<Utc>>,
    credential: &NewCredential,
) -> sqlx::Result<ApiKey> {
    let row = sqlx::query_as!(
        Row,
        "INSERT INTO api_key (id, project_id, name, lookup, digest, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         RETURNING id, project_id, name, lookup, expires_at, revoked_at, created_at",
        id.uuid(),
        project.uuid(),
        name,
        credential.lookup,
        credential.digest,
        expires_at
    )
    .fetch_one(conn)
    .await?;
    Ok(row.into_api_key())
}

/// Revokes the key; the time of an earlier revocation stays.
pub(crate) async fn api_key_revoke(
    conn: &mut PgConnection,
    project: ProjectId,
    id: ApiKeyId,
) -> sqlx::Result<ApiKey> {
    let row = sqlx::query_as!(
        Row,
        "UPDATE api_key SET revoked_at = COALESCE(revoked_at, clock_timestamp())
         WHERE id = $1 AND project_id = $2
         RETURNING id, project_id, name, lookup, expires_at, revoked_at, created_at",
        id.uuid(),
        project.uuid()
    )
    .fetch_one(conn)
    .await?;
    Ok(row.into_api_key())
}

/// The keys that work for ever and may manage keys in the whole cluster, each with the grant that
/// lets it. One that expires does not count: nobody would be left then.
/// Both are locked, so that two administrators cannot remove each other at once.
pub(crate) async fn api_key_lock_administrators(
    conn: &mut PgConnection,
) -> sqlx::Result<Vec<(ApiKeyId, GrantId)>> {
    let rows = sqlx::query!(
        r#"SELECT k.id AS api_key_id, g.id AS grant_id
           FROM api_key k JOIN "grant" g ON g.api_key_id = k.id
           WHERE g.on_cluster AND 'user.manage' = ANY(g.actions)
             AND k.revoked_at IS NULL AND k.expires_at IS NULL
           ORDER BY k.id, g.id
           FOR NO KEY UPDATE"#
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|row| (row.api_key_id.into(), row.grant_id.into()))
        .collect())
}

impl Row {
    fn into_api_key(self) -> ApiKey {
        ApiKey {
            id: self.id.into(),
            project_id: self.project_id.into(),
            name: self.name,
            lookup: self.lookup,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
            created_at: self.created_at,
        }
    }
}
