//! API keys: rows of `api_key`.

use chrono::{DateTime, Utc};
use headworks_types::{Action, ApiKey, ApiKeyCreate, ApiKeyId, GrantId, ProjectId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    access::roles_with,
    grant::{from_names, to_names},
};
use crate::{app::Reach, credential::NewCredential};

struct Row {
    id: Uuid,
    project_id: Uuid,
    name: String,
    lookup: String,
    scopes: Option<Vec<String>>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

/// A key that works now.
pub(crate) struct SignIn {
    pub(crate) id: Uuid,
    pub(crate) project_id: Uuid,
    pub(crate) digest: Vec<u8>,
    pub(crate) scopes: Option<Vec<String>>,
}

/// The key of this lookup. It asks for no project: it finds out whose the caller is.
pub(crate) async fn api_key_sign_in(
    conn: &mut PgConnection,
    lookup: &str,
) -> sqlx::Result<Option<SignIn>> {
    sqlx::query_as!(
        SignIn,
        "SELECT id, project_id, digest, scopes
         FROM api_key
         WHERE lookup = $1 AND revoked_at IS NULL
           AND (expires_at IS NULL OR expires_at > clock_timestamp())",
        lookup
    )
    .fetch_optional(conn)
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
        "SELECT id, project_id, name, lookup, scopes, expires_at, revoked_at, created_at
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
        "SELECT id, project_id, name, lookup, scopes, expires_at, revoked_at, created_at
         FROM api_key
         WHERE id = $1 AND ($2::uuid[] IS NULL OR project_id = ANY($2))",
        id.uuid(),
        reach.projects()
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Row::into_api_key))
}

/// When the key expires.
pub(crate) async fn api_key_expiry(
    conn: &mut PgConnection,
    project: ProjectId,
    id: ApiKeyId,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    let expires_at = sqlx::query_scalar!(
        "SELECT expires_at FROM api_key WHERE id = $1 AND project_id = $2",
        id.uuid(),
        project.uuid()
    );
    Ok(expires_at.fetch_optional(conn).await?.flatten())
}

/// A new key.
pub(crate) async fn api_key_insert(
    conn: &mut PgConnection,
    project: ProjectId,
    id: ApiKeyId,
    new: &ApiKeyCreate,
    credential: &NewCredential,
) -> sqlx::Result<ApiKey> {
    let scopes = new.scopes.as_deref().map(to_names);
    let row = sqlx::query_as!(
        Row,
        "INSERT INTO api_key (id, project_id, name, lookup, digest, scopes, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         RETURNING id, project_id, name, lookup, scopes, expires_at, revoked_at, created_at",
        id.uuid(),
        project.uuid(),
        new.name,
        credential.lookup,
        credential.digest,
        scopes.as_deref(),
        new.expires_at
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
         RETURNING id, project_id, name, lookup, scopes, expires_at, revoked_at, created_at",
        id.uuid(),
        project.uuid()
    )
    .fetch_one(conn)
    .await?;
    Ok(row.into_api_key())
}

/// The keys that work for ever and may manage keys in the whole cluster, each with the grant that
/// lets it. A key that expires and a grant with conditions do not count: nobody would be left then.
/// Nor does a key that is denied anything: it could not make another one that may do all. Both are
/// locked, so that two administrators cannot remove each other at once.
pub(crate) async fn api_key_lock_administrators(
    conn: &mut PgConnection,
) -> sqlx::Result<Vec<(ApiKeyId, GrantId)>> {
    let rows = sqlx::query!(
        r#"SELECT k.id AS api_key_id, g.id AS grant_id
           FROM api_key k JOIN "grant" g ON g.api_key_id = k.id
           WHERE g.on_cluster AND g.effect = 'allow'
             AND ('user.manage' = ANY(g.actions) OR g.role = ANY($1))
             AND num_nonnulls(g.schedule, g.networks, g.not_before, g.not_after) = 0
             AND k.revoked_at IS NULL AND k.expires_at IS NULL
             AND (k.scopes IS NULL OR 'user.manage' = ANY(k.scopes))
           ORDER BY k.id, g.id
           FOR NO KEY UPDATE"#,
        &roles_with(Action::UserManage)
    )
    .fetch_all(&mut *conn)
    .await?;
    let keys: Vec<_> = rows.iter().map(|row| row.api_key_id).collect();
    // Only behind the lock is it sure who has been denied something.
    let denied = sqlx::query_scalar!(
        r#"SELECT DISTINCT api_key_id AS "api_key_id!" FROM "grant"
           WHERE effect = 'deny' AND api_key_id = ANY($1)"#,
        &keys
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .filter(|row| !denied.contains(&row.api_key_id))
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
            scopes: self.scopes.as_deref().map(from_names),
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
            created_at: self.created_at,
        }
    }
}
