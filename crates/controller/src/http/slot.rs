//! `/v1/slots`: what work there is, who does it, and how it goes.

use axum::Json;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use headworks_types::{
    CameraId, CameraPlacement, CameraState, NodeId, Page, PageQuery, Slot, SlotMove,
    edge::{Role, SlotKey},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    error::Result,
    extract::{Path, Query},
    page::{self, bad_token},
};
use crate::{
    app::{self, Caller, camera::require_managed, slot::slot_sight},
    db::slot::{self, SlotFilter},
    state::State,
};

/// What a list of slots takes.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SlotListQuery {
    /// How many items a page has, 1 to 1000. Default 50.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
    /// Only what this node does.
    node_id: Option<NodeId>,
    /// Only the work of this camera.
    camera_id: Option<CameraId>,
    /// Only work of this kind.
    role: Option<Role>,
    /// Only work that goes like that.
    state: Option<CameraState>,
}

/// List slots
///
/// A slot is a unit of work that a node does: to bring a camera's media in, to push it to somebody.
/// With `node.manage` on the cluster all of them, else those of the cameras on which the caller has
/// `camera.manage`.
#[utoipa::path(
    get, path = "/v1/slots", operation_id = "slot_list", tag = "slot",
    params(SlotListQuery),
    responses((status = 200, description = "A page of slots.", body = Page<Slot>))
)]
pub(crate) async fn slot_list(
    state: State,
    caller: Caller,
    Query(query): Query<SlotListQuery>,
) -> Result<Json<Page<Slot>>> {
    let limit = page::limit(query.limit)?;
    let after = match &query.page_token {
        Some(token) => Some(decode(token).ok_or_else(bad_token)?),
        None => None,
    };
    let filter = SlotFilter {
        node: query.node_id,
        camera: query.camera_id,
        role: query.role,
        state: query.state,
    };
    let sight = slot_sight(&caller)?;
    let suspect = state.config.lease_suspect;
    let mut conn = state.pool.acquire().await?;
    let rows = i64::from(limit) + 1;
    let slots = slot::slot_list(&mut conn, sight.as_ref(), suspect, &filter, after, rows).await?;
    Ok(Json(page::truncate(slots, limit, |slot| encode(&slot.key))))
}

/// List where a camera was
///
/// Its own slot and those of its restreams, newest first. The last 50 moves of each are kept, for 90
/// days. Needs `camera.manage` on the camera.
#[utoipa::path(
    get, path = "/v1/cameras/{camera_id}/moves", operation_id = "move_list", tag = "slot",
    params(("camera_id" = CameraId, Path), PageQuery),
    responses((status = 200, description = "A page of moves.", body = Page<SlotMove>))
)]
pub(crate) async fn move_list(
    state: State,
    caller: Caller,
    Path(camera): Path<CameraId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<SlotMove>>> {
    let limit = page::limit(query.limit)?;
    let before = query.page_token.map(|token| token.parse::<i64>());
    let before = before.transpose().map_err(|_| bad_token())?;
    let mut conn = state.pool.acquire().await?;
    require_managed(&mut conn, &caller.sight()?, camera).await?;
    let rows = i64::from(limit) + 1;
    let moves = slot::move_list(&mut conn, camera, before, rows).await?;
    let page = page::truncate(moves, limit, |(id, _)| id.to_string());
    Ok(Json(Page {
        items: page.items.into_iter().map(|(_, moved)| moved).collect(),
        next_page_token: page.next_page_token,
    }))
}

/// Explain where a camera is
///
/// Where its work is done, why, since when, how it goes, where it was, and for each node whether it
/// could take the camera and what keeps it from that. Needs `camera.manage` on the camera.
#[utoipa::path(
    get, path = "/v1/cameras/{camera_id}/placement", operation_id = "camera_explain", tag = "slot",
    params(("camera_id" = CameraId, Path)),
    responses((status = 200, description = "The explanation.", body = CameraPlacement))
)]
pub(crate) async fn camera_explain(
    state: State,
    caller: Caller,
    Path(camera): Path<CameraId>,
) -> Result<Json<CameraPlacement>> {
    let placement = app::slot::camera_explain(&state, &caller, camera).await?;
    Ok(Json(placement))
}

fn encode(key: &SlotKey) -> String {
    URL_SAFE_NO_PAD.encode(format!("slot {key}"))
}

fn decode(token: &str) -> Option<SlotKey> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let rest = std::str::from_utf8(&bytes).ok()?.strip_prefix("slot ")?;
    let (camera, rest) = rest.split_once('/')?;
    let (role, ordinal) = rest.split_once('/')?;
    Some(SlotKey {
        camera_id: camera.parse().ok()?,
        role: Role::from_name(role)?,
        ordinal: ordinal.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_where_to_go_on() {
        let key = SlotKey {
            camera_id: uuid::Uuid::from_u128(7).into(),
            role: Role::Restream,
            ordinal: 3,
        };
        assert_eq!(decode(&encode(&key)), Some(key));
        for bad in ["", "x", "c2xvdCA", "Y2FtXzE"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
