//! Whom a change of rights reaches: the subjects of tokens, `usr_…` and `key_…`.

use headworks_types::RoleId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::session::Period;

/// Who is granted the role, whatever it is on.
pub(crate) async fn subject_list_of_role(
    conn: &mut PgConnection,
    role: RoleId,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"SELECT DISTINCT s.subject AS "subject!"
           FROM "grant" g CROSS JOIN LATERAL grant_subjects(g) AS s (subject)
           WHERE g.role_id = $1"#,
        role.uuid()
    )
    .fetch_all(conn)
    .await
}

/// Who is granted or denied anything on one of these camera groups.
pub(crate) async fn subject_list_of_camera_groups(
    conn: &mut PgConnection,
    groups: &[Uuid],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"SELECT DISTINCT s.subject AS "subject!"
           FROM "grant" g CROSS JOIN LATERAL grant_subjects(g) AS s (subject)
           WHERE g.camera_group_id = ANY($1)"#,
        groups
    )
    .fetch_all(conn)
    .await
}

/// From whom time has taken something: what was allowed has ended, what is denied has begun, or the
/// key has expired.
pub(crate) async fn subject_list_of_time(
    conn: &mut PgConnection,
    period: Period,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"SELECT s.subject AS "subject!"
           FROM "grant" g
           -- Its networks are looked at last, and are no matter of time.
           CROSS JOIN LATERAL (
               SELECT COALESCE(grant_idle(g, $1, NULL), 'networks') = 'networks' AS before,
                      COALESCE(grant_idle(g, $2, NULL), 'networks') = 'networks' AS after
           ) AS held
           CROSS JOIN LATERAL grant_subjects(g) AS s (subject)
           WHERE num_nonnulls(g.minutes, g.not_before, g.not_after) > 0
             AND held.before <> held.after AND held.before = (g.effect = 'allow')
           UNION
           SELECT 'key_' || replace(k.id::text, '-', '')
           FROM api_key k
           WHERE k.expires_at > $1 AND k.expires_at <= $2 AND k.revoked_at IS NULL"#,
        period.since,
        period.until
    )
    .fetch_all(conn)
    .await
}
