//! The audit log: rows of `audit`, which are only ever added, and deleted when they are old.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use headworks_types::{
    AuditRecord, AuditResult, NodeId, ProjectId,
    edge::{AuditDelivery, AuditEntry},
};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::from_json;
use crate::app::Reach;

/// A record to be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewAudit {
    /// Whose; `None` is the cluster's, or nobody's that we know.
    pub(crate) project_id: Option<ProjectId>,
    /// The id of who did it; `None` for a stranger.
    pub(crate) actor: Option<String>,
    /// The operation's id.
    pub(crate) action: String,
    /// The id of what it was done to.
    pub(crate) object: Option<String>,
    /// What became of it.
    pub(crate) result: AuditResult,
    /// Why not.
    pub(crate) code: Option<String>,
    /// From where.
    pub(crate) address: Option<IpAddr>,
    /// As in the logs.
    pub(crate) request_id: Option<String>,
    /// More; never a secret.
    pub(crate) detail: Value,
}

/// What to look for; what is `None` is not asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct AuditFilter {
    pub(crate) actor: Option<String>,
    pub(crate) action: Option<String>,
    pub(crate) object: Option<String>,
    pub(crate) result: Option<AuditResult>,
    pub(crate) since: Option<DateTime<Utc>>,
    pub(crate) until: Option<DateTime<Utc>>,
}

/// A place in the order of the list: newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) at: DateTime<Utc>,
    pub(crate) id: i64,
}

/// Adds records in one statement. What tells of a change belongs in its transaction.
pub(crate) async fn audit_insert(
    conn: &mut PgConnection,
    records: &[NewAudit],
) -> sqlx::Result<()> {
    let each = || records.iter();
    let projects: Vec<_> = each().map(|r| r.project_id.map(ProjectId::uuid)).collect();
    let actors: Vec<_> = each().map(|r| r.actor.clone()).collect();
    let actions: Vec<_> = each().map(|r| r.action.clone()).collect();
    let objects: Vec<_> = each().map(|r| r.object.clone()).collect();
    let results: Vec<_> = each().map(|r| r.result.as_str().to_owned()).collect();
    let codes: Vec<_> = each().map(|r| r.code.clone()).collect();
    let addresses: Vec<_> = each().map(|r| to_text(r.address)).collect();
    let requests: Vec<_> = each().map(|r| r.request_id.clone()).collect();
    let details: Vec<_> = each().map(|r| r.detail.clone()).collect();
    sqlx::query!(
        r#"INSERT INTO audit (project_id, actor, action, object, result, code, address, request_id,
                              detail)
           SELECT r.project_id, r.actor, r.action, r.object, r.result, r.code, r.address::inet,
                  r.request_id, r.detail
           FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                       $7::text[], $8::text[], $9::jsonb[])
                WITH ORDINALITY AS r (project_id, actor, action, object, result, code, address,
                                      request_id, detail, place)
           ORDER BY r.place"#,
        &projects as &[Option<Uuid>],
        &actors as &[Option<String>],
        &actions,
        &objects as &[Option<String>],
        &results,
        &codes as &[Option<String>],
        &addresses as &[Option<String>],
        &requests as &[Option<String>],
        &details
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Adds what a node has kept for us; what is there already stays as it is. To which project a
/// record belongs is the camera's word, not the node's, also after the camera was deleted. Returns how many were new.
pub(crate) async fn audit_deliver(
    conn: &mut PgConnection,
    node: NodeId,
    delivery: &AuditDelivery,
) -> sqlx::Result<u64> {
    let each = || delivery.entries.iter();
    let sequences: Vec<_> = each().map(|e| e.sequence).collect();
    let times: Vec<_> = each().map(|e| e.at).collect();
    let actors: Vec<_> = each().map(|e| e.subject.clone()).collect();
    let actions: Vec<_> = each().map(|e| e.action.as_str().to_owned()).collect();
    let cameras: Vec<_> = each()
        .map(|e| e.camera_id.map(headworks_types::CameraId::uuid))
        .collect();
    let objects: Vec<_> = each()
        .map(|e| e.camera_id.map(|id| id.to_string()))
        .collect();
    let results: Vec<_> = each().map(|e| e.result.as_str().to_owned()).collect();
    let codes: Vec<_> = each().map(|e| e.reason.clone()).collect();
    let addresses: Vec<_> = each().map(|e| to_text(e.address)).collect();
    let details: Vec<_> = each().map(detail).collect();
    let added = sqlx::query!(
        r#"INSERT INTO audit (node_id, queue, sequence, at, project_id, actor, action, object, result,
                              code, address, detail)
           SELECT $1, $2, r.sequence, r.at,
                  COALESCE(c.project_id, (
                      -- The camera is deleted. The refusals of others may name it too.
                      SELECT a.project_id FROM audit a
                      WHERE a.object = r.object AND a.result = 'ok' AND a.project_id IS NOT NULL
                      ORDER BY a.at DESC, a.id DESC
                      LIMIT 1
                  )),
                  r.actor, r.action, r.object, r.result,
                  r.code, r.address::inet, r.detail
           FROM unnest($3::bigint[], $4::timestamptz[], $5::text[], $6::text[], $7::uuid[],
                       $8::text[], $9::text[], $10::text[], $11::text[], $12::jsonb[])
                AS r (sequence, at, actor, action, camera_id, object, result, code, address, detail)
           LEFT JOIN camera c ON c.id = r.camera_id
           ORDER BY r.sequence
           ON CONFLICT (node_id, queue, sequence) WHERE queue IS NOT NULL DO NOTHING"#,
        node.uuid(),
        delivery.queue,
        &sequences,
        &times,
        &actors as &[Option<String>],
        &actions,
        &cameras as &[Option<Uuid>],
        &objects as &[Option<String>],
        &results,
        &codes as &[Option<String>],
        &addresses as &[Option<String>],
        &details
    )
    .execute(conn)
    .await?;
    Ok(added.rows_affected())
}

fn to_text(address: Option<IpAddr>) -> Option<String> {
    address.map(|address| address.to_string())
}

/// What has no column of its own.
fn detail(entry: &AuditEntry) -> Value {
    let fields = [
        ("protocol", json!(entry.protocol)),
        ("session_id", json!(entry.session_id)),
        ("viewer_id", json!(entry.viewer_id)),
        ("bytes", json!(entry.bytes)),
        (
            "count",
            json!(Some(entry.count).filter(|&count| count != 1)),
        ),
    ];
    let said = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(said.map(|(name, value)| (name.to_owned(), value)).collect())
}

/// The records within reach, newest first, after the place.
pub(crate) async fn audit_list(
    conn: &mut PgConnection,
    reach: &Reach,
    filter: &AuditFilter,
    after: Option<Place>,
    limit: i64,
) -> sqlx::Result<Vec<AuditRecord>> {
    let rows = sqlx::query!(
        r#"SELECT id, at, project_id, actor, action, object, result, code,
                  host(address) AS address, request_id, node_id, detail
           FROM audit
           WHERE ($1::uuid[] IS NULL OR project_id = ANY($1))
             AND ($2::text IS NULL OR actor = $2)
             AND ($3::text IS NULL OR action = $3)
             AND ($4::text IS NULL OR object = $4)
             AND ($5::text IS NULL OR result = $5)
             AND ($6::timestamptz IS NULL OR at >= $6)
             AND ($7::timestamptz IS NULL OR at < $7)
             AND ($8::timestamptz IS NULL OR (at, id) < ($8, $9::bigint))
           ORDER BY at DESC, id DESC
           LIMIT $10"#,
        reach.projects(),
        filter.actor,
        filter.action,
        filter.object,
        filter.result.map(AuditResult::as_str),
        filter.since,
        filter.until,
        after.map(|place| place.at),
        after.map(|place| place.id),
        limit
    )
    .fetch_all(conn)
    .await?;
    let records = rows.into_iter().map(|row| {
        Ok(AuditRecord {
            id: row.id,
            at: row.at,
            project_id: row.project_id.map(Into::into),
            actor: row.actor,
            action: row.action,
            object: row.object,
            result: from_json(row.result.into())?,
            code: row.code,
            address: row.address.and_then(|text| text.parse().ok()),
            request_id: row.request_id,
            node_id: row.node_id.map(Into::into),
            detail: row.detail,
        })
    });
    records.collect()
}

/// Deletes at most `limit` records from before `until`, the oldest first.
pub(crate) async fn audit_sweep(
    conn: &mut PgConnection,
    until: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<u64> {
    let swept = sqlx::query!(
        r#"DELETE FROM audit WHERE id IN (
               SELECT id FROM audit WHERE at < $1 ORDER BY at, id LIMIT $2
           )"#,
        until,
        limit
    )
    .execute(conn)
    .await?;
    Ok(swept.rows_affected())
}
