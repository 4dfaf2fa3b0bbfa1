//! Slots as the planner wants them.

use std::num::NonZeroU32;

use headworks_planner::{Slot, Wanted};
use sqlx::PgConnection;

use super::{DISABLED, restream::restream_fleet, slot_key};
use crate::db::from_json;

/// What one camera takes from a node, pulled or published.
const INGEST_COST: NonZeroU32 = NonZeroU32::MIN;

/// A slot, and what is needed to change it.
pub(crate) struct FleetSlot {
    pub(crate) slot: Slot,
    pub(crate) epoch: i64,
    pub(crate) reason: String,
}

/// All slots.
pub(crate) async fn slot_fleet(conn: &mut PgConnection) -> sqlx::Result<Vec<FleetSlot>> {
    let rows = sqlx::query!(
        r#"SELECT s.camera_id, s.role, s.ordinal, s.node_id, s.epoch, s.cost, s.reason,
                  c.enabled, c.placement
           FROM slot s JOIN camera c ON c.id = s.camera_id
           WHERE s.role = 'ingest'"#
    )
    .fetch_all(&mut *conn)
    .await?;
    let slots = rows.into_iter().map(|row| {
        let held = NonZeroU32::new(row.cost.unsigned_abs());
        Ok(FleetSlot {
            slot: Slot {
                key: slot_key(row.camera_id, &row.role, row.ordinal)?,
                node: row.node_id.map(Into::into),
                wanted: if row.enabled {
                    Wanted::Yes
                } else {
                    Wanted::No(DISABLED)
                },
                placement: from_json(row.placement)?,
                cost: held.unwrap_or(INGEST_COST),
                follows: None,
                bound: None,
            },
            epoch: row.epoch,
            reason: row.reason,
        })
    });
    let mut slots = slots.collect::<sqlx::Result<Vec<_>>>()?;
    slots.extend(restream_fleet(conn).await?);
    Ok(slots)
}
