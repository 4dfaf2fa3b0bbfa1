//! Users of OpenID providers: rows of `oidc_identity`, `oidc_state`, and the memberships in
//! `user_group_member` that providers have made.

use chrono::{DateTime, Utc};
use headworks_types::{ProjectId, UserGroupId, UserId};
use sqlx::PgConnection;

/// Remembers that a state has come back; false if it had before.
pub(crate) async fn oidc_state_insert(
    conn: &mut PgConnection,
    digest: &[u8],
    expires_at: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "INSERT INTO oidc_state (digest, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        digest,
        expires_at
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Forgets states that have expired: they are refused for that. An hour later, in case clocks
/// differ.
pub(crate) async fn oidc_state_sweep(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM oidc_state WHERE digest IN (
             SELECT digest FROM oidc_state
             WHERE expires_at < clock_timestamp() - interval '1 hour'
             ORDER BY expires_at
             LIMIT $1
             FOR UPDATE SKIP LOCKED
         )",
        limit
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// The project's user whom the issuer knows by this subject.
pub(crate) async fn oidc_identity_find(
    conn: &mut PgConnection,
    project: ProjectId,
    issuer: &str,
    subject: &str,
) -> sqlx::Result<Option<UserId>> {
    let id = sqlx::query_scalar!(
        r#"SELECT u.id FROM oidc_identity i JOIN "user" u ON u.id = i.user_id
           WHERE i.issuer = $1 AND i.subject = $2 AND u.project_id = $3"#,
        issuer,
        subject,
        project.uuid()
    )
    .fetch_optional(conn)
    .await?;
    Ok(id.map(Into::into))
}

/// The issuer knows the user by this subject; false if it knows another one by it.
pub(crate) async fn oidc_identity_insert(
    conn: &mut PgConnection,
    issuer: &str,
    subject: &str,
    user: UserId,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "INSERT INTO oidc_identity (issuer, subject, user_id) VALUES ($1, $2, $3)
         ON CONFLICT DO NOTHING",
        issuer,
        subject,
        user.uuid()
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// The issuer knows the user by this subject no more; false if it did not.
pub(crate) async fn oidc_identity_delete(
    conn: &mut PgConnection,
    issuer: &str,
    subject: &str,
    user: UserId,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "DELETE FROM oidc_identity WHERE issuer = $1 AND subject = $2 AND user_id = $3",
        issuer,
        subject,
        user.uuid()
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Takes the user out of those groups that this provider put them into and does not name any more.
pub(crate) async fn oidc_groups_remove(
    conn: &mut PgConnection,
    project: ProjectId,
    user: UserId,
    provider: &str,
    named: &[String],
) -> sqlx::Result<Vec<UserGroupId>> {
    let ids = sqlx::query_scalar!(
        "DELETE FROM user_group_member m USING user_group g
         WHERE g.id = m.user_group_id AND g.project_id = $1
           AND m.user_id = $2 AND m.oidc_provider = $3
           AND COALESCE(g.external_id <> ALL($4), true)
         RETURNING g.id",
        project.uuid(),
        user.uuid(),
        provider,
        named
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(Into::into).collect())
}

/// Puts the user into the project's groups that this provider names.
pub(crate) async fn oidc_groups_add(
    conn: &mut PgConnection,
    project: ProjectId,
    user: UserId,
    provider: &str,
    named: &[String],
) -> sqlx::Result<Vec<UserGroupId>> {
    let ids = sqlx::query_scalar!(
        "INSERT INTO user_group_member (user_group_id, user_id, oidc_provider)
         SELECT id, $2, $3 FROM user_group WHERE project_id = $1 AND external_id = ANY($4)
         ON CONFLICT DO NOTHING
         RETURNING user_group_id",
        project.uuid(),
        user.uuid(),
        provider,
        named
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(Into::into).collect())
}
