//! Slots: what work there is, who holds it, and how it goes.
//!
//! Lock order, for everything that changes an assignment: capacity, then slot, then lease, then
//! revision; rows of one kind in the order of their keys.

mod assign;
mod fleet;
mod handover;
mod history;
mod list;
mod observed;
mod report;
mod reprice;
mod restream;
mod status;
#[cfg(test)]
mod tests;
mod vacate;
mod watch;

use std::collections::HashMap;

use headworks_types::{
    Advertise, CameraId, NodeId,
    edge::{Role, SlotKey},
};
use sqlx::{Acquire, PgConnection};
use uuid::Uuid;

pub(crate) use assign::{Outcome, Step, slot_assign, slot_explain};
pub(crate) use fleet::{FleetSlot, plan_change_take, slot_fleet, slot_near};
pub(crate) use history::{move_list, move_sweep};
pub(crate) use list::{SlotFilter, slot_list};
pub(crate) use report::{Report, slot_report};
pub(crate) use reprice::slot_reprice;
pub(crate) use restream::{
    STOPPED, restream_cost, restream_of_slots, restream_slot, restream_slot_insert,
    restream_slot_release, restream_slot_touch, restream_status_list,
};
pub(crate) use status::status_list;
pub(crate) use vacate::{slot_released_event, slot_vacate};
pub(crate) use watch::{Desired, desired_list};

use super::{from_json, node::revision_bump};

/// The words for a slot that its camera does not want. They are stored as its reason.
pub(crate) const DISABLED: &str = "the camera is disabled";
const NEW: &str = "waits for the planner";

/// A key as the database has it.
fn slot_key(camera_id: Uuid, role: &str, ordinal: i16) -> sqlx::Result<SlotKey> {
    let role = Role::from_name(role)
        .ok_or_else(|| sqlx::Error::Decode(format!("{role} is no role").into()))?;
    let ordinal = u16::try_from(ordinal).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(SlotKey {
        camera_id: camera_id.into(),
        role,
        ordinal,
    })
}

/// Keys as arrays for `unnest`.
fn key_arrays(keys: impl Iterator<Item = SlotKey>) -> (Vec<Uuid>, Vec<String>, Vec<i16>) {
    let (mut cameras, mut roles, mut ordinals) = (Vec::new(), Vec::new(), Vec::new());
    for key in keys {
        cameras.push(key.camera_id.uuid());
        roles.push(key.role.as_str().to_owned());
        ordinals.push(i16::try_from(key.ordinal).unwrap_or(i16::MAX));
    }
    (cameras, roles, ordinals)
}

/// Adds the slot of a new camera.
pub(crate) async fn slot_insert(conn: &mut PgConnection, camera: CameraId) -> sqlx::Result<()> {
    slot_insert_all(conn, &[camera]).await
}

/// Adds the slots of new cameras, in one statement.
pub(crate) async fn slot_insert_all(
    conn: &mut PgConnection,
    cameras: &[CameraId],
) -> sqlx::Result<()> {
    let cameras: Vec<_> = cameras.iter().map(|camera| camera.uuid()).collect();
    let result = sqlx::query!(
        r#"INSERT INTO slot (camera_id, role, ordinal, reason)
           SELECT id, 'ingest', 0,
                  CASE WHEN enabled THEN $3 ELSE $2 END
           FROM camera WHERE id = ANY($1)"#,
        &cameras,
        DISABLED,
        NEW
    )
    .execute(conn)
    .await?;
    if result.rows_affected() == cameras.len() as u64 {
        Ok(())
    } else {
        Err(sqlx::Error::RowNotFound)
    }
}

/// The camera has changed: tells the holder of its slot, or takes the slot away if the camera does
/// not want it to be anywhere any more.
pub(crate) async fn slot_touch(conn: &mut PgConnection, camera: CameraId) -> sqlx::Result<()> {
    let wanted = sqlx::query_scalar!("SELECT enabled FROM camera WHERE id = $1", camera.uuid())
        .fetch_one(&mut *conn)
        .await?;
    if !wanted {
        return slot_release(conn, camera, None, DISABLED).await;
    }
    if slot_tell(conn, camera).await? {
        return Ok(());
    }
    sqlx::query!(
        r#"UPDATE slot SET reason = $2
           WHERE camera_id = $1 AND node_id IS NULL AND reason = $3"#,
        camera.uuid(),
        NEW,
        DISABLED
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Tells the holder of the camera's slot, if any, that there is something new to know about it;
/// the watch finds out what. False if nobody holds it.
pub(crate) async fn slot_tell(conn: &mut PgConnection, camera: CameraId) -> sqlx::Result<bool> {
    // The lock makes an assignment that runs at the same time come wholly before or after, so that
    // the holder of the end is the one who is told.
    let holder = sqlx::query_scalar!(
        r#"SELECT node_id FROM slot WHERE camera_id = $1 AND role = 'ingest' AND ordinal = 0
           FOR NO KEY UPDATE"#,
        camera.uuid()
    )
    .fetch_one(&mut *conn)
    .await?;
    if let Some(holder) = holder {
        revision_bump(conn, &[holder]).await?;
    }
    Ok(holder.is_some())
}

/// Takes all of the camera's slots away, before the camera is deleted.
pub(crate) async fn slot_release_all(
    conn: &mut PgConnection,
    camera: CameraId,
) -> sqlx::Result<()> {
    slot_release(conn, camera, None, "the camera is being deleted").await
}

/// Takes the restream's slot of this ordinal, or all of the camera's slots, from their holders, if
/// any, and gives the capacity back.
async fn slot_release(
    conn: &mut PgConnection,
    camera: CameraId,
    restream: Option<i16>,
    reason: &str,
) -> sqlx::Result<()> {
    // The holders' capacity must be locked before the slots, but only the slots tell who they are.
    // So look, lock, and look again; the savepoint lets go of locks that were not the right ones.
    loop {
        let mut attempt = conn.begin().await?;
        let holders = slot_holders(&mut attempt, camera, restream).await?;
        sqlx::query!(
            r#"SELECT used FROM node_capacity WHERE node_id = ANY($1)
               ORDER BY node_id
               FOR UPDATE"#,
            &holders
        )
        .fetch_all(&mut *attempt)
        .await?;
        let held = slot_lock_holders(&mut attempt, camera, restream).await?;
        if held.iter().any(|slot| !holders.contains(&slot.node_id)) {
            attempt.rollback().await?;
            continue;
        }
        slot_clear(&mut attempt, camera, restream, reason).await?;
        let (nodes, costs): (Vec<Uuid>, Vec<i32>) =
            held.iter().map(|slot| (slot.node_id, slot.cost)).unzip();
        sqlx::query!(
            r#"UPDATE node_capacity c SET used = c.used - d.cost::integer
               FROM (SELECT node_id, sum(cost) AS cost
                     FROM unnest($1::uuid[], $2::integer[]) AS h (node_id, cost)
                     GROUP BY node_id) AS d
               WHERE c.node_id = d.node_id"#,
            &nodes,
            &costs
        )
        .execute(&mut *attempt)
        .await?;
        revision_bump(&mut attempt, &holders).await?;
        let moved = held
            .iter()
            .map(|slot| (slot.key, Some(slot.node_id.into())));
        history::move_insert(&mut attempt, moved).await?;
        let left = held.into_iter().map(|slot| slot.key);
        handover::slot_mark_left(&mut attempt, left).await?;
        return attempt.commit().await;
    }
}

/// A slot that somebody holds.
struct Held {
    key: SlotKey,
    node_id: Uuid,
    cost: i32,
}

/// Who holds the slots, each once.
async fn slot_holders(
    conn: &mut PgConnection,
    camera: CameraId,
    restream: Option<i16>,
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"SELECT DISTINCT node_id AS "node_id!" FROM slot
           WHERE camera_id = $1 AND node_id IS NOT NULL
             AND ($2::smallint IS NULL OR (role = 'restream' AND ordinal = $2))"#,
        camera.uuid(),
        restream
    )
    .fetch_all(conn)
    .await
}

/// The slots that somebody holds; all are locked.
async fn slot_lock_holders(
    conn: &mut PgConnection,
    camera: CameraId,
    restream: Option<i16>,
) -> sqlx::Result<Vec<Held>> {
    let rows = sqlx::query!(
        r#"SELECT camera_id, role, ordinal, node_id, cost FROM slot
           WHERE camera_id = $1
             AND ($2::smallint IS NULL OR (role = 'restream' AND ordinal = $2))
           ORDER BY camera_id, role, ordinal
           FOR NO KEY UPDATE"#,
        camera.uuid(),
        restream
    )
    .fetch_all(conn)
    .await?;
    let held = rows.into_iter().filter_map(|row| {
        let node_id = row.node_id?;
        let key = slot_key(row.camera_id, &row.role, row.ordinal);
        Some(key.map(|key| Held {
            key,
            node_id,
            cost: row.cost,
        }))
    });
    held.collect()
}

/// Writes that nobody holds the slots.
async fn slot_clear(
    conn: &mut PgConnection,
    camera: CameraId,
    restream: Option<i16>,
    reason: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"UPDATE slot
           SET node_id = NULL, cost = 0, reason = $3,
               -- Another target, or another encoding, takes something else.
               measured = CASE role WHEN 'restream' THEN NULL ELSE measured END,
               left_node_id = COALESCE(node_id, left_node_id),
               left_revision = CASE WHEN node_id IS NULL THEN left_revision END,
               assigned_at = CASE WHEN node_id IS NULL THEN assigned_at ELSE clock_timestamp() END,
               moves = CASE WHEN node_id IS NULL THEN moves ELSE moves + 1 END
           WHERE camera_id = $1
             AND ($2::smallint IS NULL OR (role = 'restream' AND ordinal = $2))"#,
        camera.uuid(),
        restream,
        reason
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Where viewers and publishers reach these cameras. A camera that is nowhere is not among them.
pub(crate) async fn playback_list(
    conn: &mut PgConnection,
    cameras: &[CameraId],
) -> sqlx::Result<HashMap<CameraId, (NodeId, Advertise)>> {
    let cameras: Vec<_> = cameras.iter().map(|camera| camera.uuid()).collect();
    let rows = sqlx::query!(
        r#"SELECT s.camera_id, n.id, n.advertise
           FROM slot s JOIN node n ON n.id = s.node_id
           WHERE s.camera_id = ANY($1) AND s.role = 'ingest' AND s.ordinal = 0"#,
        &cameras
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    rows.map(|row| {
        let place = (row.id.into(), from_json(row.advertise)?);
        Ok((row.camera_id.into(), place))
    })
    .collect()
}
