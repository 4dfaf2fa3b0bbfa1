//! Slots as the planner wants them.
//!
//! All of them, or those of some cameras: what has changed since somebody looked stands in
//! `plan_change`, where triggers note it.

use std::{collections::HashMap, num::NonZeroU32, time::Duration};

use headworks_duty::LastHolder;
use headworks_planner::{Slot, Wanted};
use headworks_types::{CameraId, Capabilities, NodeId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{DISABLED, restream::restream_fleet, slot_key};
use crate::db::from_json;

/// What one camera takes from a node, pulled or published, until it is measured.
const INGEST_COST: NonZeroU32 = NonZeroU32::MIN;
/// A slot that has moved is not moved for balance before it has been where it is for so long.
pub(super) const DWELL: Duration = Duration::from_mins(10);
/// For so long a slot that has moved counts as on its way, unless its new holder reports sooner.
pub(super) const JOURNEY: Duration = Duration::from_secs(30);

/// A slot, and what is needed to change it.
#[derive(Debug, Clone)]
pub(crate) struct FleetSlot {
    pub(crate) slot: Slot,
    pub(crate) epoch: i64,
    pub(crate) reason: String,
}

/// The slots of these cameras, or all.
pub(crate) async fn slot_fleet(
    conn: &mut PgConnection,
    cameras: Option<&[CameraId]>,
) -> sqlx::Result<Vec<FleetSlot>> {
    let cameras: Option<Vec<Uuid>> =
        cameras.map(|cameras| cameras.iter().map(|camera| camera.uuid()).collect());
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT s.camera_id, s.role, s.ordinal, s.node_id, s.epoch, s.cost, s.measured, s.reason,
                  s.left_node_id, s.left_revision,
                  c.enabled, c.placement, c.exclusive_source, c.group_id,
                  c.source->>'type' = 'file' AS "is_file!",
                  COALESCE(s.assigned_at < clock_timestamp() - make_interval(secs => $2), false)
                      AS "settled!",
                  CASE WHEN s.assigned_at > clock_timestamp() - make_interval(secs => $3)
                        AND (t.state IS NULL OR t.state = 'connecting')
                       THEN COALESCE(s.came_from_node_id, s.left_node_id)
                  END AS coming_from,
                  n.died_at IS NOT NULL AS "died!",
                  l.goodbye AS "goodbye?", l.applied_revision AS "applied?",
                  v.revision AS "revision?",
                  l.expires_at < clock_timestamp() AS over,
                  l.strict_after >= clock_timestamp() AS succeeds
           FROM slot s
           JOIN camera c ON c.id = s.camera_id
           LEFT JOIN slot_status t
             ON (t.camera_id, t.role, t.ordinal) = (s.camera_id, s.role, s.ordinal)
            AND t.node_id = s.node_id AND t.epoch = s.epoch
           LEFT JOIN node n ON c.exclusive_source AND n.id = COALESCE(s.node_id, s.left_node_id)
           LEFT JOIN node_lease l ON l.node_id = n.id
           LEFT JOIN node_revision v ON v.node_id = n.id
           WHERE s.role = 'ingest' AND ($1::uuid[] IS NULL OR s.camera_id = ANY($1))"#,
        cameras.as_deref(),
        DWELL.as_secs_f64(),
        JOURNEY.as_secs_f64()
    )
    .fetch_all(&mut *conn)
    .await?;
    let slots = rows.into_iter().map(Row::into_slot);
    let mut slots = slots.collect::<sqlx::Result<Vec<_>>>()?;
    slots.extend(restream_fleet(conn, cameras.as_deref()).await?);
    Ok(slots)
}

struct Row {
    camera_id: Uuid,
    role: String,
    ordinal: i16,
    node_id: Option<Uuid>,
    epoch: i64,
    cost: i32,
    measured: Option<i32>,
    reason: String,
    left_node_id: Option<Uuid>,
    left_revision: Option<i64>,
    enabled: bool,
    placement: serde_json::Value,
    exclusive_source: bool,
    group_id: Option<Uuid>,
    is_file: bool,
    settled: bool,
    coming_from: Option<Uuid>,
    died: bool,
    goodbye: Option<bool>,
    applied: Option<i64>,
    revision: Option<i64>,
    over: Option<bool>,
    succeeds: Option<bool>,
}

impl Row {
    fn into_slot(self) -> sqlx::Result<FleetSlot> {
        let bound = self.bound();
        let key = slot_key(self.camera_id, &self.role, self.ordinal)?;
        let slot = Slot {
            node: self.node_id.map(Into::into),
            wanted: if self.enabled {
                Wanted::Yes
            } else {
                Wanted::No(DISABLED)
            },
            placement: from_json(self.placement)?,
            needs: Capabilities {
                ffmpeg: self.is_file,
                files: self.is_file,
            },
            cost: units(self.measured).unwrap_or(INGEST_COST),
            booked: units(Some(self.cost)),
            bound,
            exclusive: self.exclusive_source,
            settled: self.settled,
            coming_from: self.coming_from.map(Into::into),
            group: self.group_id.map(Into::into),
            ..Slot::new(key)
        };
        Ok(FleetSlot {
            slot,
            epoch: self.epoch,
            reason: self.reason,
        })
    }

    /// The node that may still be connected to a camera that refuses a second session. A node that
    /// is dead may be, too; but nobody knows for how long, so the camera goes to another.
    fn bound(&self) -> Option<NodeId> {
        if self.died {
            return None;
        }
        let last = self.node_id.or(self.left_node_id)?;
        let holder = LastHolder {
            goodbye: self.goodbye?,
            over: self.over?,
            succeeds: self.succeeds?,
            applied: self.applied?,
            revision: self.revision?,
        };
        holder
            .may_still_work(self.left_revision)
            .then(|| last.into())
    }
}

/// Units as the database has them; 0 is none.
pub(super) fn units(units: Option<i32>) -> Option<NonZeroU32> {
    NonZeroU32::new(units?.unsigned_abs())
}

/// Nodes on which somebody watches these cameras.
pub(crate) async fn slot_near(
    conn: &mut PgConnection,
    cameras: &[CameraId],
) -> sqlx::Result<HashMap<CameraId, Vec<NodeId>>> {
    let cameras: Vec<_> = cameras.iter().map(|camera| camera.uuid()).collect();
    let rows = sqlx::query!(
        r#"SELECT DISTINCT camera_id, node_id FROM viewer_session WHERE camera_id = ANY($1)"#,
        &cameras
    )
    .fetch_all(conn)
    .await?;
    let mut near: HashMap<CameraId, Vec<NodeId>> = HashMap::new();
    for row in rows {
        let nodes = near.entry(row.camera_id.into()).or_default();
        nodes.push(row.node_id.into());
    }
    Ok(near)
}

/// Cameras that have changed since somebody asked last. Whoever asks must look at them: they are
/// not told twice. What commits later is there the next time.
pub(crate) async fn plan_change_take(conn: &mut PgConnection) -> sqlx::Result<Vec<CameraId>> {
    let rows = sqlx::query_scalar!(
        r#"WITH gone AS (DELETE FROM plan_change RETURNING camera_id)
           SELECT DISTINCT camera_id AS "camera_id!" FROM gone"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}
