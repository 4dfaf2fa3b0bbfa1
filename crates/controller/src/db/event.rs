//! Events: what happened, in an order in which no reader misses one.
//!
//! Ids are drawn when a row is written, but rows become visible when their transaction commits, so
//! that a low id may appear after a higher one was read. Readers therefore go in the order of
//! (transaction, id) and stop below the oldest transaction that is still open: everything before
//! it is complete.

use headworks_types::{Event, EventKind, ProjectId};
use sqlx::PgConnection;

use super::{audit::audit_insert, from_json, to_json};
use crate::app::{Reach, audit::of_change};

/// An event to be.
pub(crate) struct NewEvent<'a> {
    /// Whose; `None` is the cluster's.
    pub(crate) project_id: Option<ProjectId>,
    /// What happened.
    pub(crate) kind: EventKind,
    /// The id of what it happened to.
    pub(crate) subject: String,
    /// The id of who did it, or `planner`.
    pub(crate) actor: &'a str,
    /// In words.
    pub(crate) message: String,
}

/// Appends an event. Call it in the transaction that makes it true.
pub(crate) async fn event_insert(conn: &mut PgConnection, event: NewEvent<'_>) -> sqlx::Result<()> {
    event_insert_many(conn, vec![event]).await
}

/// Appends events in this order, in one statement; those of a request also to the audit log.
pub(crate) async fn event_insert_many(
    conn: &mut PgConnection,
    events: Vec<NewEvent<'_>>,
) -> sqlx::Result<()> {
    let projects: Vec<_> = events
        .iter()
        .map(|event| event.project_id.map(ProjectId::uuid))
        .collect();
    let kinds = events
        .iter()
        .map(|event| kind_to_text(event.kind))
        .collect::<sqlx::Result<Vec<_>>>()?;
    let actors: Vec<_> = events.iter().map(|event| event.actor.to_owned()).collect();
    let records: Vec<_> = events
        .iter()
        .filter_map(|e| of_change(e.project_id, e.actor, &e.subject, &e.message))
        .collect();
    let (subjects, messages): (Vec<_>, Vec<_>) = events
        .into_iter()
        .map(|event| (event.subject, event.message))
        .unzip();
    sqlx::query!(
        r#"INSERT INTO event (project_id, kind, subject, actor, message)
           SELECT e.project_id, e.kind, e.subject, e.actor, e.message
           FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[])
                WITH ORDINALITY AS e (project_id, kind, subject, actor, message, place)
           ORDER BY e.place"#,
        &projects as &[Option<uuid::Uuid>],
        &kinds,
        &subjects,
        &actors,
        &messages
    )
    .execute(&mut *conn)
    .await?;
    if records.is_empty() {
        return Ok(());
    }
    audit_insert(conn, &records).await
}

/// True if there is an event of this id: readers may go on from it.
pub(crate) async fn event_exists(
    conn: &mut PgConnection,
    reach: &Reach,
    id: i64,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM event WHERE id = $1 AND ($2::uuid[] IS NULL OR project_id = ANY($2))
           ) AS "exists!""#,
        id,
        reach.projects()
    )
    .fetch_one(conn)
    .await
}

/// The events after `after` that no earlier one can join any more.
pub(crate) async fn event_list(
    conn: &mut PgConnection,
    reach: &Reach,
    after: Option<i64>,
    limit: i64,
) -> sqlx::Result<Vec<Event>> {
    match reach.projects() {
        None => event_list_all(conn, after, limit).await,
        Some(projects) => event_list_of(conn, projects, after, limit).await,
    }
}

struct Row {
    id: i64,
    kind: String,
    subject: String,
    actor: String,
    message: String,
    at: chrono::DateTime<chrono::Utc>,
}

async fn event_list_all(
    conn: &mut PgConnection,
    after: Option<i64>,
    limit: i64,
) -> sqlx::Result<Vec<Event>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT id, kind, subject, actor, message, at
           FROM event
           WHERE (xact, id) > (
                   COALESCE((SELECT xact FROM event WHERE id = $1), '0'::xid8),
                   COALESCE($1, 0)
               )
             AND xact < pg_snapshot_xmin(pg_current_snapshot())
           ORDER BY xact, id
           LIMIT $2"#,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Event::try_from).collect()
}

/// One index scan for each project, each at most as long as the page.
async fn event_list_of(
    conn: &mut PgConnection,
    projects: &[uuid::Uuid],
    after: Option<i64>,
    limit: i64,
) -> sqlx::Result<Vec<Event>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT e.id, e.kind, e.subject, e.actor, e.message, e.at
           FROM unnest($1::uuid[]) AS p (id)
           CROSS JOIN LATERAL (
               SELECT * FROM event
               WHERE project_id = p.id
                 AND (xact, id) > (
                     COALESCE((SELECT xact FROM event WHERE id = $2), '0'::xid8),
                     COALESCE($2, 0)
                 )
                 AND xact < pg_snapshot_xmin(pg_current_snapshot())
               ORDER BY xact, id
               LIMIT $3
           ) AS e
           ORDER BY e.xact, e.id
           LIMIT $3"#,
        projects,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Event::try_from).collect()
}

impl TryFrom<Row> for Event {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id,
            kind: from_json(row.kind.into())?,
            subject: row.subject,
            actor: row.actor,
            message: row.message,
            at: row.at,
        })
    }
}

fn kind_to_text(kind: EventKind) -> sqlx::Result<String> {
    match to_json(&kind)? {
        serde_json::Value::String(text) => Ok(text),
        other => Err(sqlx::Error::Encode(
            format!("{other} is no event kind").into(),
        )),
    }
}

/// Deletes those of the first `limit` events that are older than `days`. Ids rise with time, so
/// nothing old hides behind them.
pub(crate) async fn event_sweep(
    conn: &mut PgConnection,
    days: i32,
    limit: i64,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        r#"DELETE FROM event WHERE id IN (
               SELECT id FROM (SELECT id, at FROM event ORDER BY id LIMIT $2) AS oldest
               WHERE at < clock_timestamp() - make_interval(days => $1)
           )"#,
        days,
        limit
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
