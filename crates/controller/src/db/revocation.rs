//! What is signed and does not count any more: rows of `revocation`.
//!
//! There is one row for each thing that is revoked, however often that happens, and it goes when
//! nothing is left that it could refuse: so the list that every edge has stays short.

use std::time::Duration;

use chrono::{DateTime, Utc};
use headworks_types::{
    ProjectId, SessionId, UserGroupId, UserId,
    edge::{Revocation, RevocationKind},
};
use sqlx::PgConnection;

use super::node::DOORBELL;

/// For how long a token can have opened a session that still runs, in seconds. No token watches
/// longer; a few seconds more are for clocks that are apart.
const WATCHES: i64 = 43_200 + 60;
/// For how long a token opens sessions, in seconds, in the same way.
const OPENS: i64 = 600 + 60;
/// For how long the revocation of a session stays that is over: until every edge has it.
const OVER: Duration = Duration::from_secs(60);

/// What is revoked.
pub(crate) struct NewRevocation<'a> {
    pub(crate) kind: RevocationKind,
    pub(crate) value: &'a str,
    /// Of a token.
    pub(crate) project: Option<ProjectId>,
    /// Whether running sessions end too.
    pub(crate) ends_sessions: bool,
}

/// Revokes what was issued until now. Edges are told as soon as the transaction commits.
pub(crate) async fn revocation_insert(
    conn: &mut PgConnection,
    new: &[NewRevocation<'_>],
) -> sqlx::Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    let kinds: Vec<_> = new.iter().map(|new| new.kind.as_str().to_owned()).collect();
    let values: Vec<_> = new.iter().map(|new| new.value.to_owned()).collect();
    let projects: Vec<_> = new
        .iter()
        .map(|new| new.project.map(ProjectId::uuid))
        .collect();
    let ends: Vec<_> = new.iter().map(|new| new.ends_sessions).collect();
    sqlx::query!(
        r#"INSERT INTO revocation (kind, value, project_id, ends_sessions, issued_before, expires_at)
           SELECT DISTINCT ON (n.kind, n.value, n.project_id, n.ends_sessions)
                  n.kind, n.value, n.project_id, n.ends_sessions, clock_timestamp(),
                  clock_timestamp() + make_interval(
                      secs => CASE WHEN n.ends_sessions THEN $5::bigint ELSE $6::bigint END)
           FROM unnest($1::text[], $2::text[], $3::uuid[], $4::boolean[])
                AS n (kind, value, project_id, ends_sessions)
           ORDER BY n.kind, n.value, n.project_id, n.ends_sessions
           ON CONFLICT ON CONSTRAINT revocation_key DO UPDATE
           SET issued_before = GREATEST(revocation.issued_before, EXCLUDED.issued_before),
               expires_at = GREATEST(revocation.expires_at, EXCLUDED.expires_at)"#,
        &kinds,
        &values,
        &projects as &[Option<uuid::Uuid>],
        &ends,
        WATCHES,
        OPENS
    )
    .execute(&mut *conn)
    .await?;
    ring(conn).await
}

/// How many other tokens of the project were taken back and may still matter. Until the transaction
/// ends nobody takes more back.
pub(crate) async fn revocation_count_tokens(
    conn: &mut PgConnection,
    project: ProjectId,
    token: &str,
) -> sqlx::Result<i64> {
    sqlx::query!(
        "SELECT id FROM project WHERE id = $1 FOR NO KEY UPDATE",
        project.uuid()
    )
    .fetch_optional(&mut *conn)
    .await?;
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM revocation
           WHERE kind = 'token' AND project_id = $1 AND value <> $2 AND ends_sessions
             AND expires_at > clock_timestamp()"#,
        project.uuid(),
        token
    )
    .fetch_one(conn)
    .await
}

/// Who is in the group.
pub(crate) async fn user_group_members(
    conn: &mut PgConnection,
    group: UserGroupId,
) -> sqlx::Result<Vec<UserId>> {
    let members = sqlx::query_scalar!(
        "SELECT user_id FROM user_group_member WHERE user_group_id = $1",
        group.uuid()
    )
    .fetch_all(conn)
    .await?;
    Ok(members.into_iter().map(Into::into).collect())
}

/// Tells edges of what is new in the bundle, as soon as the transaction commits.
pub(crate) async fn ring(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("SELECT pg_notify($1, '')", DOORBELL)
        .execute(conn)
        .await?;
    Ok(())
}

/// Everything that is revoked and may still matter.
pub(crate) async fn revocation_list(conn: &mut PgConnection) -> sqlx::Result<Vec<Revocation>> {
    let rows = sqlx::query!(
        r#"SELECT kind, value, project_id, ends_sessions, issued_before, expires_at
           FROM revocation
           WHERE expires_at > clock_timestamp()
           ORDER BY kind, value, project_id, ends_sessions"#
    )
    .fetch_all(conn)
    .await?;
    // A kind that this version does not know is for newer edges.
    let known = rows.into_iter().filter_map(|row| {
        Some(Revocation {
            kind: RevocationKind::from_name(&row.kind)?,
            value: row.value,
            project_id: row.project_id.map(Into::into),
            issued_before: row.issued_before,
            ends_sessions: row.ends_sessions,
            expires_at: row.expires_at,
        })
    });
    Ok(known.collect())
}

/// These sessions are over. Their revocation goes a little later: one may have ended by itself while
/// its edge did not know yet that it was to, and its viewer may come back with its ticket.
pub(crate) async fn revocation_let_go(
    conn: &mut PgConnection,
    sessions: &[SessionId],
) -> sqlx::Result<()> {
    if sessions.is_empty() {
        return Ok(());
    }
    let values: Vec<_> = sessions.iter().map(ToString::to_string).collect();
    // In the order in which they are inserted, so that nobody waits for each other.
    sqlx::query!(
        r#"UPDATE revocation r
           SET expires_at = LEAST(r.expires_at, clock_timestamp() + make_interval(secs => $2))
           FROM (SELECT value FROM revocation
                 WHERE kind = 'session' AND value = ANY($1)
                 ORDER BY value
                 FOR UPDATE) AS over
           WHERE r.kind = 'session' AND r.value = over.value"#,
        &values,
        OVER.as_secs_f64()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// When a new token that these subjects stand for is issued: now, or, where something of them was
/// just revoked, with the next second, since tokens know whole seconds only and that one's are refused.
pub(crate) async fn revocation_issue_time(
    conn: &mut PgConnection,
    subjects: &[String],
) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar!(
        r#"SELECT GREATEST(
                      date_trunc('second', clock_timestamp()),
                      date_trunc('second', max(issued_before)) + interval '1 second'
                  ) AS "at!"
           FROM revocation WHERE kind = 'subject' AND value = ANY($1)"#,
        subjects
    )
    .fetch_one(conn)
    .await
}

/// Removes what matters no more.
pub(crate) async fn revocation_sweep(conn: &mut PgConnection) -> sqlx::Result<u64> {
    let result = sqlx::query!("DELETE FROM revocation WHERE expires_at < clock_timestamp()")
        .execute(conn)
        .await?;
    Ok(result.rows_affected())
}
