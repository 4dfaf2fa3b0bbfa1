//! Which sessions may not go on: judged page by page.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use headworks_types::{PlaybackKeyId, ProjectId, SessionId};
use sqlx::PgConnection;
use uuid::Uuid;

/// A session that may not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) id: SessionId,
    /// Who watches.
    pub(crate) subject: String,
    /// The camera's.
    pub(crate) project: ProjectId,
    pub(crate) token: Option<String>,
}

struct Row {
    id: Uuid,
    subject: String,
    project_id: Uuid,
    token_id: Option<String>,
}

impl From<Row> for Refused {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            subject: row.subject,
            project: row.project_id.into(),
            token: row.token_id,
        }
    }
}

/// The time that somebody has to look back over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Period {
    pub(crate) since: DateTime<Utc>,
    pub(crate) until: DateTime<Utc>,
}

/// The time since the last look at all sessions, if that was so many seconds ago: then it is the
/// caller's turn. No longer than tokens open sessions.
pub(crate) async fn session_review(
    conn: &mut PgConnection,
    seconds: f64,
) -> sqlx::Result<Option<Period>> {
    sqlx::query_as!(
        Period,
        r#"WITH last AS (
               SELECT at FROM session_review
               WHERE at < clock_timestamp() - make_interval(secs => $1)
               FOR UPDATE
           )
           UPDATE session_review SET at = clock_timestamp() FROM last
           RETURNING GREATEST(last.at, session_review.at - interval '12 minutes') AS "since!",
                     session_review.at AS until"#,
        seconds
    )
    .fetch_optional(conn)
    .await
}

/// A session that goes on, as far as anybody was told.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) refused: Refused,
    /// A user's or an API key's; `None` of a customer's key.
    pub(crate) principal: Option<Uuid>,
    pub(crate) camera: Uuid,
    /// The viewer's.
    pub(crate) address: Option<IpAddr>,
    /// True if the camera is heard, too.
    pub(crate) sound: bool,
    /// True unless another one has issued its token who may do nothing any more.
    pub(crate) issuer_works: bool,
    /// Of a customer's key: true if the camera is within its bounds.
    pub(crate) within_bounds: bool,
}

/// Which sessions to judge.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Judged<'a> {
    /// The next page: those after this one, at most so many.
    Page(Option<SessionId>, i64),
    /// Just these.
    These(&'a [SessionId]),
}

/// The sessions to judge that nobody has ended yet, in the order of their ids.
pub(crate) async fn session_list_live(
    conn: &mut PgConnection,
    judged: Judged<'_>,
) -> sqlx::Result<Vec<Live>> {
    let (these, after, limit) = match judged {
        Judged::Page(after, limit) => (None, after, Some(limit)),
        Judged::These(ids) => (Some(ids), None, None),
    };
    let these = these.map(|ids| ids.iter().map(|id| id.uuid()).collect::<Vec<_>>());
    let rows = sqlx::query!(
        r#"SELECT s.id, s.subject, s.principal_id, s.project_id, s.token_id, s.camera_id, s.sound,
                  host(s.address) AS "address!", k.id IS NOT NULL AS "within_bounds!",
                  s.issuer_id IS NULL
                      OR EXISTS (SELECT FROM "user" u WHERE u.id = s.issuer_id AND u.enabled)
                      OR EXISTS (
                          SELECT FROM api_key a
                          WHERE a.id = s.issuer_id AND a.revoked_at IS NULL
                            AND (a.expires_at IS NULL OR a.expires_at > statement_timestamp())
                      ) AS "issuer_works!"
           FROM viewer_session s
           JOIN camera c ON c.id = s.camera_id
           LEFT JOIN camera_group g ON g.id = c.group_id
           LEFT JOIN playback_key k
                ON k.id = s.principal_id AND k.revoked_at IS NULL AND k.project_id = c.project_id
               AND ((k.bounds ->> 'whole_project')::boolean
                    OR k.bounds -> 'camera_ids' ? ('cam_' || replace(c.id::text, '-', ''))
                    OR k.bounds -> 'camera_group_ids' ?| ARRAY(
                        SELECT 'cgrp_' || replace(id::text, '-', '') FROM unnest(g.path) AS p (id)
                    ))
           WHERE NOT EXISTS (
                   SELECT FROM revocation r
                   WHERE r.kind = 'session' AND r.value = 'sess_' || replace(s.id::text, '-', '')
               )
             AND ($1::uuid[] IS NULL OR s.id = ANY($1))
             AND ($2::uuid IS NULL OR s.id > $2)
           ORDER BY s.id
           LIMIT $3"#,
        these.as_deref(),
        after.map(SessionId::uuid),
        limit
    )
    .fetch_all(conn)
    .await?;
    let live = rows.into_iter().map(|row| Live {
        principal: (!row.subject.starts_with(PlaybackKeyId::PREFIX)).then_some(row.principal_id),
        refused: Refused {
            id: row.id.into(),
            subject: row.subject,
            project: row.project_id.into(),
            token: row.token_id,
        },
        camera: row.camera_id,
        address: row.address.parse().ok(),
        sound: row.sound,
        issuer_works: row.issuer_works,
        within_bounds: row.within_bounds,
    });
    Ok(live.collect())
}

/// The newest sessions beyond what their token or user may have at once.
pub(crate) async fn session_list_over_limit(conn: &mut PgConnection) -> sqlx::Result<Vec<Refused>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT s.id AS "id!", s.subject AS "subject!", s.project_id AS "project_id!", s.token_id
           FROM (
               SELECT s.id, s.subject, s.project_id, s.token_id, s.max_sessions,
                      row_number() OVER (
                          PARTITION BY s.project_id, s.key_id, s.token_id
                          ORDER BY s.started_at, s.id
                      ) AS place
               FROM viewer_session s
               WHERE s.max_sessions IS NOT NULL
               UNION ALL
               SELECT s.id, s.subject, s.project_id, s.token_id, u.max_sessions,
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
