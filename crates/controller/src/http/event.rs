//! `/v1/events`.

use axum::Json;
use headworks_types::{Action, Event, Page, PageQuery};

use super::{
    error::Result,
    extract::Query,
    page::{self, bad_token},
};
use crate::{app::Caller, db, state::State};

/// List events
///
/// What happened in the projects on which the key has `project.manage`, oldest first; on the
/// cluster also what happened to nodes. To go on later from the end, take the `id` of the last
/// event as `page_token`. Events that a transaction still writes appear when it ends, always after
/// those that are listed already.
#[utoipa::path(
    get, path = "/v1/events", operation_id = "event_list", tag = "event",
    params(PageQuery),
    responses((status = 200, description = "A page of events.", body = Page<Event>))
)]
pub(crate) async fn event_list(
    state: State,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Event>>> {
    let limit = page::limit(query.limit)?;
    let after = query.page_token.map(|token| token.parse::<i64>());
    let after = after.transpose().map_err(|_| bad_token())?;
    let reach = caller.reach(Action::ProjectManage)?;
    let mut conn = state.pool.acquire().await?;
    if let Some(id) = after
        && !db::event::event_exists(&mut conn, &reach, id).await?
    {
        return Err(bad_token());
    }
    let events = db::event::event_list(&mut conn, &reach, after, i64::from(limit) + 1).await?;
    Ok(Json(page::truncate(events, limit, |event| {
        event.id.to_string()
    })))
}
