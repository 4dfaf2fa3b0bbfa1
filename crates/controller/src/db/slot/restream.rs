//! Slots of restreams: one for each, for good. When a restream is deleted its slot stays as long as
//! the camera, so that no other target ever gets its ordinal and its epochs.

use std::{collections::HashMap, num::NonZeroU32, time::Duration};

use chrono::{DateTime, Utc};
use headworks_duty::{LastHolder, Life};
use headworks_planner::{Slot, Wanted};
use headworks_types::{
    CameraId, Capabilities, NodeId, RestreamId, RestreamState, RestreamStatus, RestreamVideo,
    edge::{RestreamReport, Role, STRICT_MARGIN, SlotKey, SlotState},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    DISABLED, FleetSlot, NEW, fleet::units, key_arrays, observed::Observed, slot_key, slot_release,
};
use crate::db::{from_json, node::revision_bump};

/// The words for the slot of a restream that is stopped.
pub(crate) const STOPPED: &str = "the restream is stopped";
/// What pushing a stream as it is takes from a node.
const COPY_COST: NonZeroU32 = NonZeroU32::MIN;
/// What encoding a stream anew takes from a node.
const ENCODE_COST: NonZeroU32 = NonZeroU32::new(8).expect("is not zero");

/// What a restream takes from a node.
pub(crate) fn restream_cost(video: &RestreamVideo) -> NonZeroU32 {
    match video {
        RestreamVideo::Copy => COPY_COST,
        RestreamVideo::H264 { .. } => ENCODE_COST,
    }
}

/// The slot of a restream.
pub(crate) fn restream_slot(camera_id: CameraId, ordinal: i16) -> sqlx::Result<SlotKey> {
    slot_key(camera_id.uuid(), Role::Restream.as_str(), ordinal)
}

/// Adds a slot to each of the cameras, which are locked. Returns their ordinals; a camera that has
/// no number left is not among them.
pub(crate) async fn restream_slot_insert(
    conn: &mut PgConnection,
    cameras: &[CameraId],
) -> sqlx::Result<HashMap<CameraId, i16>> {
    let cameras: Vec<_> = cameras.iter().map(|camera| camera.uuid()).collect();
    let rows = sqlx::query!(
        r#"INSERT INTO slot (camera_id, role, ordinal, reason)
           SELECT n.camera_id, 'restream', n.ordinal, $2
           FROM (SELECT c.id AS camera_id,
                        (SELECT COALESCE(max(s.ordinal) + 1, 0) FROM slot s
                         WHERE s.camera_id = c.id AND s.role = 'restream') AS ordinal
                 FROM camera c WHERE c.id = ANY($1)) AS n
           WHERE n.ordinal <= 32767
           RETURNING camera_id, ordinal"#,
        &cameras,
        NEW
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|row| (row.camera_id.into(), row.ordinal))
        .collect())
}

/// Tells the holder of the slot, if any, that its restream has changed.
pub(crate) async fn restream_slot_touch(
    conn: &mut PgConnection,
    camera: CameraId,
    ordinal: i16,
) -> sqlx::Result<()> {
    // The lock makes an assignment that runs at the same time come wholly before or after.
    // What it takes is measured anew: it may be encoded now, or not any more.
    let holder = sqlx::query_scalar!(
        r#"UPDATE slot SET measured = NULL
           WHERE camera_id = $1 AND role = 'restream' AND ordinal = $2
           RETURNING node_id"#,
        camera.uuid(),
        ordinal
    )
    .fetch_one(&mut *conn)
    .await?;
    if let Some(holder) = holder {
        return revision_bump(conn, &[holder]).await;
    }
    sqlx::query!(
        r#"UPDATE slot SET reason = $3
           WHERE camera_id = $1 AND role = 'restream' AND ordinal = $2 AND reason = $4"#,
        camera.uuid(),
        ordinal,
        NEW,
        STOPPED
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes the slot from its holder, if any.
pub(crate) async fn restream_slot_release(
    conn: &mut PgConnection,
    camera: CameraId,
    ordinal: i16,
    reason: &str,
) -> sqlx::Result<()> {
    slot_release(conn, camera, Some(ordinal), reason).await
}

/// The slots of the restreams of these cameras, or of all, as the planner wants them.
pub(super) async fn restream_fleet(
    conn: &mut PgConnection,
    cameras: Option<&[Uuid]>,
) -> sqlx::Result<Vec<FleetSlot>> {
    let rows = sqlx::query_as!(
        FleetRow,
        r#"SELECT s.camera_id, s.ordinal, s.node_id, s.epoch, s.cost, s.measured, s.reason,
                  s.left_node_id, s.left_revision,
                  c.enabled AS camera_enabled, r.enabled AS restream_enabled, r.video,
                  l.goodbye AS "goodbye?", l.applied_revision AS "applied?", v.revision AS "revision?",
                  l.expires_at + make_interval(secs => $1) < clock_timestamp() AS over,
                  l.strict_after >= clock_timestamp() OR (SELECT database_era_is_over())
                      AS succeeds
           FROM slot s
           JOIN camera c ON c.id = s.camera_id
           JOIN restream r ON (r.camera_id, r.ordinal) = (s.camera_id, s.ordinal)
           LEFT JOIN node_lease l ON l.node_id = COALESCE(s.node_id, s.left_node_id)
           LEFT JOIN node_revision v ON v.node_id = l.node_id
           WHERE s.role = 'restream' AND ($2::uuid[] IS NULL OR s.camera_id = ANY($2))"#,
        STRICT_MARGIN.as_secs_f64(),
        cameras
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(FleetRow::into_slot).collect()
}

struct FleetRow {
    camera_id: Uuid,
    ordinal: i16,
    node_id: Option<Uuid>,
    epoch: i64,
    cost: i32,
    measured: Option<i32>,
    reason: String,
    left_node_id: Option<Uuid>,
    left_revision: Option<i64>,
    camera_enabled: bool,
    restream_enabled: bool,
    video: serde_json::Value,
    goodbye: Option<bool>,
    applied: Option<i64>,
    revision: Option<i64>,
    over: Option<bool>,
    succeeds: Option<bool>,
}

impl FleetRow {
    fn into_slot(self) -> sqlx::Result<FleetSlot> {
        let camera = CameraId::from(self.camera_id);
        let bound = self.bound();
        let video = from_json(self.video)?;
        let slot = Slot {
            node: self.node_id.map(Into::into),
            wanted: match (self.camera_enabled, self.restream_enabled) {
                (false, _) => Wanted::No(DISABLED),
                (true, false) => Wanted::No(STOPPED),
                (true, true) => Wanted::Yes,
            },
            needs: Capabilities {
                ffmpeg: video != RestreamVideo::Copy,
                files: false,
            },
            cost: units(self.measured).unwrap_or(restream_cost(&video)),
            booked: units(Some(self.cost)),
            follows: Some(SlotKey {
                camera_id: camera,
                role: Role::Ingest,
                ordinal: 0,
            }),
            bound,
            ..Slot::new(restream_slot(camera, self.ordinal)?)
        };
        Ok(FleetSlot {
            slot,
            epoch: self.epoch,
            reason: self.reason,
        })
    }

    /// The node that may still push, as far as the database knows. `slot_assign` looks again, under
    /// a lock.
    fn bound(&self) -> Option<NodeId> {
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

/// Those of the slots whose restream is stopped or gone.
pub(super) async fn restream_unwanted(
    conn: &mut PgConnection,
    slots: impl Iterator<Item = SlotKey>,
) -> sqlx::Result<Vec<SlotKey>> {
    let (cameras, roles, ordinals) = key_arrays(slots.filter(|slot| slot.role == Role::Restream));
    if cameras.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        r#"SELECT k.camera_id AS "camera_id!", k.role AS "role!", k.ordinal AS "ordinal!"
           FROM unnest($1::uuid[], $2::text[], $3::smallint[]) AS k (camera_id, role, ordinal)
           WHERE NOT EXISTS (
               SELECT FROM restream r
               WHERE (r.camera_id, r.ordinal) = (k.camera_id, k.ordinal) AND r.enabled
           )"#,
        &cameras,
        &roles,
        &ordinals
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    rows.map(|row| slot_key(row.camera_id, &row.role, row.ordinal))
        .collect()
}

/// Whose the slots are.
pub(crate) async fn restream_of_slots(
    conn: &mut PgConnection,
    slots: impl Iterator<Item = SlotKey>,
) -> sqlx::Result<HashMap<SlotKey, RestreamId>> {
    let (cameras, _, ordinals) = key_arrays(slots.filter(|slot| slot.role == Role::Restream));
    if cameras.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!(
        r#"SELECT r.id, r.camera_id, r.ordinal
           FROM restream r
           JOIN unnest($1::uuid[], $2::smallint[]) AS k (camera_id, ordinal)
             ON (r.camera_id, r.ordinal) = (k.camera_id, k.ordinal)"#,
        &cameras,
        &ordinals
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    rows.map(|row| {
        Ok((
            restream_slot(row.camera_id.into(), row.ordinal)?,
            row.id.into(),
        ))
    })
    .collect()
}

/// The status of these restreams, where `suspect` is the silence that makes a node suspect.
pub(crate) async fn restream_status_list(
    conn: &mut PgConnection,
    restreams: &[RestreamId],
    suspect: Duration,
) -> sqlx::Result<HashMap<RestreamId, RestreamStatus>> {
    let restreams: Vec<_> = restreams.iter().map(|restream| restream.uuid()).collect();
    let rows = sqlx::query_as!(
        StatusRow,
        r#"SELECT r.id, r.enabled, r.created_at, r.updated_at,
                  c.enabled AS camera_enabled, c.updated_at AS camera_updated_at,
                  s.node_id, s.epoch, s.reason, s.assigned_at,
                  n.name AS "node_name?",
                  n.died_at IS NOT NULL AS "died!",
                  COALESCE(l.goodbye, false) AS "goodbye!",
                  l.renewed_at AS "renewed_at?",
                  EXTRACT(EPOCH FROM clock_timestamp() - l.renewed_at)::float8 AS silence,
                  t.state AS "state?", t.message AS "message?", t.since AS "since?", t.restream
           FROM restream r
           JOIN camera c ON c.id = r.camera_id
           JOIN slot s ON (s.camera_id, s.role, s.ordinal) = (r.camera_id, r.role, r.ordinal)
           LEFT JOIN node n ON n.id = s.node_id
           LEFT JOIN node_lease l ON l.node_id = s.node_id
           LEFT JOIN slot_status t
             ON (t.camera_id, t.role, t.ordinal) = (s.camera_id, s.role, s.ordinal)
            AND t.node_id = s.node_id AND t.epoch = s.epoch
           WHERE r.id = ANY($1)"#,
        &restreams
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    rows.map(|row| Ok((row.id.into(), row.into_status(suspect)?)))
        .collect()
}

struct StatusRow {
    id: Uuid,
    enabled: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    camera_enabled: bool,
    camera_updated_at: DateTime<Utc>,
    node_id: Option<Uuid>,
    epoch: i64,
    reason: String,
    assigned_at: Option<DateTime<Utc>>,
    node_name: Option<String>,
    died: bool,
    goodbye: bool,
    renewed_at: Option<DateTime<Utc>>,
    silence: Option<f64>,
    state: Option<String>,
    message: Option<String>,
    since: Option<DateTime<Utc>>,
    restream: Option<serde_json::Value>,
}

impl StatusRow {
    fn into_status(mut self, suspect: Duration) -> sqlx::Result<RestreamStatus> {
        let report: Option<RestreamReport> = self.restream.take().map(from_json).transpose()?;
        let report = report.unwrap_or_default();
        let (state, message, since) = self.words(suspect)?;
        let reason = match state {
            RestreamState::Disabled => message.clone(),
            _ => self.reason,
        };
        Ok(RestreamStatus {
            state,
            message,
            since,
            node_id: self.node_id.map(Into::into),
            node_name: self.node_name,
            reason,
            epoch: self.epoch,
            attempts: report.attempts,
            bytes_sent: report.bytes_sent,
            connected_at: report.connected_at,
            last_error: report.last_error,
            url_expires_at: report.url_expires_at,
        })
    }

    /// State, message, and since when.
    fn words(&self, suspect: Duration) -> sqlx::Result<(RestreamState, String, DateTime<Utc>)> {
        if !self.camera_enabled {
            let since = self.camera_updated_at;
            return Ok((RestreamState::Disabled, DISABLED.to_owned(), since));
        }
        if !self.enabled {
            return Ok((RestreamState::Disabled, STOPPED.to_owned(), self.updated_at));
        }
        let placed = self.assigned_at.unwrap_or(self.created_at);
        let Some(node) = &self.node_name else {
            return Ok((RestreamState::Unplaced, self.reason.clone(), placed));
        };
        let observed = Observed {
            node,
            life: Life {
                died: self.died,
                goodbye: self.goodbye,
                silence: self.silence,
            },
            renewed_at: self.renewed_at,
            placed,
            state: self.state.as_deref(),
            message: self.message.as_deref(),
            since: self.since,
        };
        let (state, message, since) = observed.words(suspect)?;
        let state = match state {
            None => RestreamState::Unknown,
            Some(SlotState::Idle) => RestreamState::Idle,
            Some(SlotState::Connecting) => RestreamState::Connecting,
            Some(SlotState::Live) => RestreamState::Live,
            Some(SlotState::Failed) => RestreamState::Failed,
        };
        Ok((state, message, since))
    }
}
