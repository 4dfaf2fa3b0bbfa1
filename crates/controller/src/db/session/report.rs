//! What an edge reports of its viewers.

use chrono::{DateTime, TimeDelta, Utc};
use headworks_types::{
    ApiKeyId, NodeId, PlaybackKeyId, SessionId, UserId,
    edge::{SessionOpened, SessionReport, SessionSent},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::revocation::revocation_let_go;

/// The longest text of a session that is stored, in characters.
const TEXT: usize = 128;

/// Takes a report. False, and nothing is changed, if one before it is missing.
pub(crate) async fn session_report(
    conn: &mut PgConnection,
    node: NodeId,
    report: &SessionReport,
) -> sqlx::Result<bool> {
    if !step(conn, node, report).await? {
        return Ok(false);
    }
    let closed = if report.complete {
        close_others(conn, node, &report.opened).await?
    } else {
        close(conn, node, &report.closed).await?
    };
    revocation_let_go(conn, &closed).await?;
    open(conn, node, &report.opened).await?;
    sent(conn, node, &report.sent).await?;
    Ok(true)
}

/// Goes on to this report, if it is the next one: of the same process, of a newer one, or of the one
/// that has the lease, which is newer whatever its clock says.
async fn step(conn: &mut PgConnection, node: NodeId, report: &SessionReport) -> sqlx::Result<bool> {
    let result = if report.complete {
        sqlx::query!(
            r#"INSERT INTO session_feed (node_id, instance, sequence) VALUES ($1, $2, $3)
               ON CONFLICT (node_id) DO UPDATE
               SET instance = EXCLUDED.instance, sequence = EXCLUDED.sequence
               WHERE (session_feed.instance, session_feed.sequence)
                     < (EXCLUDED.instance, EXCLUDED.sequence)
                  OR session_feed.instance <> EXCLUDED.instance AND EXCLUDED.instance = (
                         SELECT l.instance FROM node_lease l WHERE l.node_id = EXCLUDED.node_id
                     )"#,
            node.uuid(),
            report.instance,
            report.sequence
        )
        .execute(conn)
        .await?
    } else {
        sqlx::query!(
            r#"UPDATE session_feed SET sequence = $3::bigint
               WHERE node_id = $1 AND instance = $2 AND sequence = $3::bigint - 1"#,
            node.uuid(),
            report.instance,
            report.sequence
        )
        .execute(conn)
        .await?
    };
    Ok(result.rows_affected() == 1)
}

/// Closes all sessions of the node but these.
async fn close_others(
    conn: &mut PgConnection,
    node: NodeId,
    stay: &[SessionOpened],
) -> sqlx::Result<Vec<SessionId>> {
    let stay: Vec<_> = stay.iter().map(|opened| opened.id.uuid()).collect();
    let closed = sqlx::query_scalar!(
        r#"DELETE FROM viewer_session s
           WHERE s.node_id = $1
             AND NOT EXISTS (SELECT FROM unnest($2::uuid[]) AS stay (id) WHERE stay.id = s.id)
           RETURNING s.id"#,
        node.uuid(),
        &stay
    )
    .fetch_all(conn)
    .await?;
    Ok(closed.into_iter().map(Into::into).collect())
}

async fn close(
    conn: &mut PgConnection,
    node: NodeId,
    closed: &[SessionId],
) -> sqlx::Result<Vec<SessionId>> {
    if closed.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = closed.iter().map(|id| id.uuid()).collect();
    let closed = sqlx::query_scalar!(
        "DELETE FROM viewer_session WHERE node_id = $1 AND id = ANY($2) RETURNING id",
        node.uuid(),
        &ids
    )
    .fetch_all(conn)
    .await?;
    Ok(closed.into_iter().map(Into::into).collect())
}

/// Adds sessions. Those of a camera that was deleted meanwhile are left out: they end by
/// themselves.
async fn open(conn: &mut PgConnection, node: NodeId, opened: &[SessionOpened]) -> sqlx::Result<()> {
    if opened.is_empty() {
        return Ok(());
    }
    let uuids = |of: fn(&SessionOpened) -> Uuid| opened.iter().map(of).collect::<Vec<_>>();
    let texts = |of: fn(&SessionOpened) -> String| opened.iter().map(of).collect::<Vec<_>>();
    let times = |of: fn(&SessionOpened) -> DateTime<Utc>| {
        opened.iter().map(of).map(clamp).collect::<Vec<_>>()
    };
    let viewers: Vec<_> = opened
        .iter()
        .map(|o| o.viewer_id.as_deref().map(clean))
        .collect();
    let tokens: Vec<_> = opened
        .iter()
        .map(|o| o.token_id.as_deref().map(clean))
        .collect();
    let limits: Vec<_> = opened
        .iter()
        .map(|o| {
            o.max_sessions
                .map(|max| i32::try_from(max).unwrap_or(i32::MAX))
        })
        .collect();
    let bytes: Vec<_> = opened.iter().map(|o| number(o.bytes_sent)).collect();
    let issuers: Vec<_> = opened
        .iter()
        .map(|o| o.issuer.as_deref().map(principal))
        .collect();
    let sounds: Vec<_> = opened.iter().map(|o| o.sound).collect();
    sqlx::query!(
        r#"INSERT INTO viewer_session
               (id, node_id, project_id, camera_id, subject, principal_id, viewer_id, token_id,
                key_id, max_sessions, protocol, address, bytes_sent, issued_at, started_at,
                watch_until, sound, issuer_id)
           SELECT DISTINCT ON (n.id)
                  n.id, $1, c.project_id, c.id, n.subject, n.principal_id, n.viewer_id, n.token_id,
                  n.key_id, n.max_sessions, n.protocol, n.address::inet, n.bytes_sent,
                  n.issued_at, n.started_at, n.watch_until, n.sound,
                  n.issuer_id
           FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::text[], $7::text[],
                       $8::text[], $9::integer[], $10::text[], $11::text[], $12::bigint[],
                       $13::timestamptz[], $14::timestamptz[], $15::timestamptz[],
                       $16::boolean[], $17::uuid[])
                AS n (id, camera_id, subject, principal_id, viewer_id, token_id, key_id,
                      max_sessions, protocol, address, bytes_sent, issued_at, started_at,
                      watch_until, sound, issuer_id)
           JOIN camera c ON c.id = n.camera_id
           ORDER BY n.id
           ON CONFLICT (id) DO UPDATE
           SET bytes_sent = EXCLUDED.bytes_sent, address = EXCLUDED.address
           WHERE viewer_session.node_id = EXCLUDED.node_id"#,
        node.uuid(),
        &uuids(|o| o.id.uuid()),
        &uuids(|o| o.camera_id.uuid()),
        &texts(|o| clean(&o.subject)),
        &uuids(|o| principal(&o.subject)),
        &viewers as &[Option<String>],
        &tokens as &[Option<String>],
        &texts(|o| clean(&o.key_id)),
        &limits as &[Option<i32>],
        &texts(|o| o.protocol.as_str().to_owned()),
        &texts(|o| o.address.to_string()),
        &bytes,
        &times(|o| o.issued_at),
        &times(|o| o.started_at),
        &times(|o| o.watch_until),
        &sounds,
        &issuers as &[Option<Uuid>]
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn sent(conn: &mut PgConnection, node: NodeId, sent: &[SessionSent]) -> sqlx::Result<()> {
    if sent.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = sent.iter().map(|sent| sent.id.uuid()).collect();
    let bytes: Vec<_> = sent.iter().map(|sent| number(sent.bytes_sent)).collect();
    sqlx::query!(
        r#"UPDATE viewer_session s SET bytes_sent = n.bytes_sent
           FROM unnest($2::uuid[], $3::bigint[]) AS n (id, bytes_sent)
           WHERE s.id = n.id AND s.node_id = $1"#,
        node.uuid(),
        &ids,
        &bytes
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The subject's id without its prefix; of none that we know, nobody's.
fn principal(subject: &str) -> Uuid {
    let user = subject.parse().map(UserId::uuid);
    let key = || subject.parse().map(ApiKeyId::uuid);
    let playback_key = || subject.parse().map(PlaybackKeyId::uuid);
    user.or_else(|_| key())
        .or_else(|_| playback_key())
        .unwrap_or_default()
}

fn number(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A time that PostgreSQL takes.
fn clamp(at: DateTime<Utc>) -> DateTime<Utc> {
    at.clamp(
        DateTime::<Utc>::UNIX_EPOCH,
        DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(365_000),
    )
}

/// A text that PostgreSQL takes.
fn clean(text: &str) -> String {
    let text = text.chars().take(TEXT);
    text.map(|c| if c.is_control() { ' ' } else { c }).collect()
}
