//! `/v1/audit`.

use axum::{
    Json,
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use futures::stream;
use headworks_types::{Action, AuditRecord, AuditResult, CameraId, Page};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    error::{Refusal, Result},
    extract::Query,
    page::{self, bad_token, text_filter},
};
use crate::{
    app::{Caller, Reach},
    database::Pool,
    db::audit::{self, AuditFilter, Place},
    state::State,
};

/// Lines of one export.
const EXPORT_MOST: usize = 1_000_000;
/// Records that an export reads at once.
const EXPORT_PAGE: i64 = 1000;

/// What to look for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// Only what was done by this id: `usr_…`, `key_…`, `skey_…`, `node_…`.
    actor: Option<String>,
    /// Only this operation, such as `camera_update`, or what happens on edges: `session_open`,
    /// `session_end`, `publish_start`, `publish_end`.
    action: Option<String>,
    /// Only what was done to this id.
    object: Option<String>,
    /// Only what was done to this camera, also on edges.
    camera_id: Option<CameraId>,
    /// Only with this result.
    result: Option<AuditResult>,
    /// Only from this time on (RFC 3339).
    since: Option<DateTime<Utc>>,
    /// Only before this time (RFC 3339).
    until: Option<DateTime<Utc>>,
}

/// As [`AuditQuery`], in pages.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditListQuery {
    /// How many items a page has, 1 to 1000. Default 50.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
    /// Only what was done by this id: `usr_…`, `key_…`, `skey_…`, `node_…`.
    actor: Option<String>,
    /// Only this operation, such as `camera_update`, or what happens on edges: `session_open`,
    /// `session_end`, `publish_start`, `publish_end`.
    action: Option<String>,
    /// Only what was done to this id.
    object: Option<String>,
    /// Only what was done to this camera, also on edges.
    camera_id: Option<CameraId>,
    /// Only with this result.
    result: Option<AuditResult>,
    /// Only from this time on (RFC 3339).
    since: Option<DateTime<Utc>>,
    /// Only before this time (RFC 3339).
    until: Option<DateTime<Utc>>,
}

/// List the audit log
///
/// Who did or saw what, or was refused, newest first, in the projects on which the caller has
/// `audit.read`; on the cluster also what belongs to no project. Refusals that are alike and come
/// together are one record, with a `count` in its detail. Edges keep what they have to tell while
/// no controller is there, so that their records may come late.
#[utoipa::path(
    get, path = "/v1/audit", operation_id = "audit_list", tag = "audit",
    params(AuditListQuery),
    responses((status = 200, description = "A page of records, newest first.",
        body = Page<AuditRecord>))
)]
pub(crate) async fn audit_list(
    state: State,
    caller: Caller,
    Query(query): Query<AuditListQuery>,
) -> Result<Json<Page<AuditRecord>>> {
    let limit = page::limit(query.limit)?;
    let after = match &query.page_token {
        Some(token) => Some(decode(token).ok_or_else(bad_token)?),
        None => None,
    };
    let filter = AuditQuery {
        actor: query.actor,
        action: query.action,
        object: query.object,
        camera_id: query.camera_id,
        result: query.result,
        since: query.since,
        until: query.until,
    };
    let filter = filter.into_filter()?;
    let reach = caller.reach(Action::AuditRead)?;
    let mut conn = state.pool.acquire().await?;
    let rows = i64::from(limit) + 1;
    let records = audit::audit_list(&mut conn, &reach, &filter, after, rows).await?;
    Ok(Json(page::truncate(records, limit, |record| {
        encode(place(record))
    })))
}

/// Export the audit log
///
/// As the list, as newline-delimited JSON, at most 1,000,000 lines: where there are more, ask again
/// with the time of the last line as `until`. What is older than the controller keeps is not there.
#[utoipa::path(
    get, path = "/v1/audit:export", operation_id = "audit_export", tag = "audit",
    params(AuditQuery),
    responses((status = 200, description = "One record in each line, newest first.",
        body = AuditRecord, content_type = "application/x-ndjson"))
)]
pub(crate) async fn audit_export(
    state: State,
    caller: Caller,
    Query(query): Query<AuditQuery>,
) -> Result<Response> {
    let filter = query.into_filter()?;
    let reach = caller.reach(Action::AuditRead)?;
    let export = Export {
        pool: state.pool,
        reach,
        filter,
        after: None,
        left: EXPORT_MOST,
    };
    let lines = stream::try_unfold(export, Export::next);
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(lines)).into_response())
}

impl AuditQuery {
    fn into_filter(self) -> Result<AuditFilter> {
        let object = text_filter("object", self.object)?;
        let camera = self.camera_id.map(|id| id.to_string());
        if object.is_some() && camera.is_some() {
            let detail = "cannot be asked together with `object`";
            return Err(Refusal::parameter("camera_id", detail));
        }
        Ok(AuditFilter {
            actor: text_filter("actor", self.actor)?,
            action: text_filter("action", self.action)?,
            object: object.or(camera),
            result: self.result,
            since: self.since,
            until: self.until,
        })
    }
}

/// How far an export has come. It holds no connection while the client reads.
struct Export {
    pool: Pool,
    reach: Reach,
    filter: AuditFilter,
    after: Option<Place>,
    left: usize,
}

impl Export {
    /// The next lines.
    async fn next(mut self) -> anyhow::Result<Option<(Bytes, Self)>> {
        if self.left == 0 {
            return Ok(None);
        }
        let records = {
            let mut conn = self.pool.acquire().await?;
            let (reach, filter) = (&self.reach, &self.filter);
            audit::audit_list(&mut conn, reach, filter, self.after, EXPORT_PAGE).await?
        };
        let Some(last) = records.last() else {
            return Ok(None);
        };
        self.after = Some(place(last));
        let mut lines = Vec::new();
        for record in records.iter().take(self.left) {
            serde_json::to_writer(&mut lines, record)?;
            lines.push(b'\n');
        }
        self.left = self.left.saturating_sub(records.len());
        Ok(Some((lines.into(), self)))
    }
}

fn place(record: &AuditRecord) -> Place {
    Place {
        at: record.at,
        id: record.id,
    }
}

/// PostgreSQL keeps microseconds.
fn encode(place: Place) -> String {
    URL_SAFE_NO_PAD.encode(format!(
        "audit {} {}",
        place.at.timestamp_micros(),
        place.id
    ))
}

fn decode(token: &str) -> Option<Place> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let rest = std::str::from_utf8(&bytes).ok()?.strip_prefix("audit ")?;
    let (micros, id) = rest.split_once(' ')?;
    Some(Place {
        at: DateTime::from_timestamp_micros(micros.parse().ok()?)?,
        id: id.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_place() {
        let at = DateTime::from_timestamp_micros(1_700_000_000_123_456).expect("is a time");
        let place = Place { at, id: 7 };
        assert_eq!(decode(&encode(place)), Some(place));
        for bad in ["", "x", "Y2FtXzE", &URL_SAFE_NO_PAD.encode("audit 1")] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
