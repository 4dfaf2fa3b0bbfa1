//! Which sessions may not go on: judged for all at once.

use headworks_types::SessionId;
use sqlx::PgConnection;
use uuid::Uuid;

/// A session that may not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) id: SessionId,
    /// Who watches.
    pub(crate) subject: String,
}

struct Row {
    id: Uuid,
    subject: String,
}

impl From<Row> for Refused {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            subject: row.subject,
        }
    }
}

/// True if nobody has looked at all sessions for so many seconds; then it is the caller's turn.
pub(crate) async fn session_review(conn: &mut PgConnection, seconds: f64) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        r#"UPDATE session_review SET at = clock_timestamp()
           WHERE at < clock_timestamp() - make_interval(secs => $1)"#,
        seconds
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Sessions of those who may not watch the camera any more, and are not told yet.
pub(crate) async fn session_list_unallowed(conn: &mut PgConnection) -> sqlx::Result<Vec<Refused>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT s.id, s.subject
           FROM viewer_session s
           WHERE NOT EXISTS (
                   SELECT FROM revocation r
                   WHERE r.kind = 'session' AND r.value = 'sess_' || replace(s.id::text, '-', '')
               )
             AND NOT EXISTS (
                   SELECT FROM playback_key k
                   WHERE s.subject LIKE 'pkey\_%' AND k.id = s.principal_id
                     AND k.revoked_at IS NULL
               )
             AND NOT EXISTS (
                   SELECT FROM "grant" g
                   LEFT JOIN "user" u ON u.id = g.user_id
                   LEFT JOIN api_key k ON k.id = g.api_key_id
                   WHERE g.principal_id = s.principal_id
                     AND 'camera.view_live' = ANY(g.actions)
                     AND (g.on_cluster OR g.object_project_id = s.project_id
                          OR g.camera_id = s.camera_id)
                     AND COALESCE(u.enabled, k.revoked_at IS NULL
                         AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp()))
               )"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The newest sessions beyond what their token or user may have at once.
pub(crate) async fn session_list_over_limit(conn: &mut PgConnection) -> sqlx::Result<Vec<Refused>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT s.id AS "id!", s.subject AS "subject!"
           FROM (
               SELECT s.id, s.subject, s.max_sessions,
                      row_number() OVER (
                          PARTITION BY s.project_id, s.key_id, s.token_id
                          ORDER BY s.started_at, s.id
                      ) AS place
               FROM viewer_session s
               WHERE s.max_sessions IS NOT NULL
               UNION ALL
               SELECT s.id, s.subject, u.max_sessions,
                      row_number() OVER (
                          PARTITION BY s.principal_id ORDER BY s.started_at, s.id
                      )
               FROM viewer_session s JOIN "user" u ON u.id = s.principal_id
               WHERE u.max_sessions IS NOT NULL
           ) AS s
           WHERE s.place > s.max_sessions
             AND NOT EXISTS (
                   SELECT FROM revocation r
                   WHERE r.kind = 'session' AND r.value = 'sess_' || replace(s.id::text, '-', '')
               )"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}
