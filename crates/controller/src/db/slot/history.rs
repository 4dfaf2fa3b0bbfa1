//! Where slots have been. Each has [`PLACES`] places for its moves, written round and round, so that
//! nothing has to be deleted for what comes.

use headworks_types::{CameraId, NodeId, SlotMove, edge::SlotKey};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{key_arrays, slot_key};

/// How many moves of a slot are kept; as the table checks.
const PLACES: i32 = 50;

/// Notes that these slots have moved from the nodes that are given here to those that they have
/// now. Call it in the transaction that moves them, after that, once for each move.
pub(super) async fn move_insert(
    conn: &mut PgConnection,
    moved: impl Iterator<Item = (SlotKey, Option<NodeId>)>,
) -> sqlx::Result<()> {
    let (keys, from): (Vec<_>, Vec<_>) = moved
        .map(|(key, from)| (key, from.map(NodeId::uuid)))
        .unzip();
    if keys.is_empty() {
        return Ok(());
    }
    let (cameras, roles, ordinals) = key_arrays(keys.into_iter());
    sqlx::query!(
        r#"INSERT INTO slot_move AS m (camera_id, role, ordinal, place, epoch, from_node_id,
                                       from_node_name, to_node_id, to_node_name, reason)
           SELECT s.camera_id, s.role, s.ordinal, s.moves % $5, s.epoch, k.node_id, f.name,
                  s.node_id, t.name, s.reason
           FROM unnest($1::uuid[], $2::text[], $3::smallint[], $4::uuid[])
                AS k (camera_id, role, ordinal, node_id)
           JOIN slot s
             ON (s.camera_id, s.role, s.ordinal) = (k.camera_id, k.role, k.ordinal)
           LEFT JOIN node f ON f.id = k.node_id
           LEFT JOIN node t ON t.id = s.node_id
           ON CONFLICT (camera_id, role, ordinal, place) DO UPDATE SET
               id = excluded.id,
               epoch = excluded.epoch,
               from_node_id = excluded.from_node_id,
               from_node_name = excluded.from_node_name,
               to_node_id = excluded.to_node_id,
               to_node_name = excluded.to_node_name,
               reason = excluded.reason,
               at = excluded.at"#,
        &cameras,
        &roles,
        &ordinals,
        &from as &[Option<Uuid>],
        PLACES
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The moves of a camera's slots before `before`, newest first, each with its id.
pub(crate) async fn move_list(
    conn: &mut PgConnection,
    camera: CameraId,
    before: Option<i64>,
    limit: i64,
) -> sqlx::Result<Vec<(i64, SlotMove)>> {
    let rows = sqlx::query!(
        r#"SELECT id, camera_id, role, ordinal, epoch, from_node_id, from_node_name, to_node_id,
                  to_node_name, reason, at
           FROM slot_move
           WHERE camera_id = $1 AND ($2::bigint IS NULL OR id < $2)
           ORDER BY id DESC
           LIMIT $3"#,
        camera.uuid(),
        before,
        limit
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    rows.map(|row| {
        let moved = SlotMove {
            key: slot_key(row.camera_id, &row.role, row.ordinal)?,
            epoch: row.epoch,
            from_node_id: row.from_node_id.map(Into::into),
            from_node_name: row.from_node_name,
            to_node_id: row.to_node_id.map(Into::into),
            to_node_name: row.to_node_name,
            reason: row.reason,
            at: row.at,
        };
        Ok((row.id, moved))
    })
    .collect()
}

/// Deletes at most `limit` moves that are older than `days`.
pub(crate) async fn move_sweep(
    conn: &mut PgConnection,
    days: i32,
    limit: i64,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        r#"DELETE FROM slot_move WHERE ctid = ANY (ARRAY (
               SELECT ctid FROM slot_move
               WHERE at < clock_timestamp() - make_interval(days => $1)
               LIMIT $2
           ))"#,
        days,
        limit
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
