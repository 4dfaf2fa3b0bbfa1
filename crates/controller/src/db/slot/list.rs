//! Slots as people see them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use headworks_duty::Life;
use headworks_types::{
    CameraId, CameraState, NodeId, Slot,
    edge::{Role, SlotKey},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    DISABLED, STOPPED,
    observed::{Observed, camera_state},
    slot_key,
};
use crate::app::Sight;

/// What a list is narrowed to.
#[derive(Debug, Default)]
pub(crate) struct SlotFilter {
    pub(crate) node: Option<NodeId>,
    pub(crate) camera: Option<CameraId>,
    pub(crate) role: Option<Role>,
    pub(crate) state: Option<CameraState>,
}

/// The slots of the cameras in `of`, or all of them, after `after`, in the order of their keys, where
/// `suspect` is the silence that makes a node suspect. Slots of restreams that are deleted are none any more.
pub(crate) async fn slot_list(
    conn: &mut PgConnection,
    of: Option<&Sight>,
    suspect: Duration,
    filter: &SlotFilter,
    after: Option<SlotKey>,
    limit: i64,
) -> sqlx::Result<Vec<Slot>> {
    let rows = sqlx::query_as!(
        Row,
        r#"WITH rights AS MATERIALIZED (
               SELECT * FROM unnest($1::uuid[], $2::integer[], $3::integer[]) AS r (id, allow, deny)
           ), cluster AS (
               SELECT COALESCE(bit_or(allow), 0) AS allow, COALESCE(bit_or(deny), 0) AS deny
               FROM rights WHERE id = '00000000-0000-0000-0000-000000000000'
           ), reached AS MATERIALIZED (
               SELECT g.id, bit_or(r.allow) AS allow, bit_or(r.deny) AS deny
               FROM unnest($5::uuid[], $6::integer[], $7::integer[]) AS r (id, allow, deny)
               JOIN camera_group g ON g.path @> ARRAY[r.id]
               GROUP BY g.id
           )
           SELECT s.camera_id, s.role, s.ordinal, s.epoch, s.node_id, s.cost, s.reason,
                  s.assigned_at, c.created_at, c.enabled, w.wanted AS "wanted!",
                  n.name AS "node_name?", n.died_at IS NOT NULL AS "died!",
                  COALESCE(l.goodbye, false) AS "goodbye!",
                  l.renewed_at AS "renewed_at?",
                  EXTRACT(EPOCH FROM clock_timestamp() - l.renewed_at)::float8 AS silence,
                  t.state AS "state?", t.message AS "message?", t.since AS "since?",
                  e.last_error AS "last_error?", e.last_error_at
           FROM slot s
           JOIN camera c ON c.id = s.camera_id
           LEFT JOIN restream r
             ON (r.camera_id, r.role, r.ordinal) = (s.camera_id, s.role, s.ordinal)
           LEFT JOIN camera_group g ON g.id = c.group_id
           LEFT JOIN reached ON reached.id = g.id
           LEFT JOIN rights p ON p.id = c.project_id
           LEFT JOIN rights own ON own.id = c.id
           CROSS JOIN cluster
           LEFT JOIN node n ON n.id = s.node_id
           LEFT JOIN node_lease l ON l.node_id = s.node_id
           LEFT JOIN slot_status e
             ON (e.camera_id, e.role, e.ordinal) = (s.camera_id, s.role, s.ordinal)
           LEFT JOIN slot_status t
             ON (t.camera_id, t.role, t.ordinal) = (s.camera_id, s.role, s.ordinal)
            AND t.node_id = s.node_id AND t.epoch = s.epoch
           CROSS JOIN LATERAL (
               SELECT c.enabled AND (s.role = 'ingest' OR r.enabled) AS wanted
           ) AS w
           CROSS JOIN LATERAL (
               SELECT CASE WHEN NOT w.wanted THEN 'disabled'
                           WHEN s.node_id IS NULL THEN 'unplaced'
                           WHEN n.died_at IS NOT NULL OR COALESCE(l.goodbye, false)
                             OR l.renewed_at IS NULL
                             OR l.renewed_at < clock_timestamp() - make_interval(secs => $8)
                           THEN 'unknown'
                           ELSE COALESCE(t.state, 'connecting') END AS state
           ) AS x
           WHERE (s.role = 'ingest' OR r.id IS NOT NULL)
             AND ($9 OR (COALESCE(own.allow, 0) | COALESCE(reached.allow, 0)
                             | COALESCE(p.allow, 0) | cluster.allow)
                            & ~(COALESCE(own.deny, 0) | COALESCE(reached.deny, 0)
                                | COALESCE(p.deny, 0) | cluster.deny) & $4 <> 0)
             AND ($10::uuid IS NULL OR s.node_id = $10)
             AND ($11::uuid IS NULL OR s.camera_id = $11)
             AND ($12::text IS NULL OR s.role = $12)
             AND ($13::text IS NULL OR x.state = $13)
             AND ($14::uuid IS NULL
                  OR (s.camera_id, s.role, s.ordinal) > ($14, $15::text, $16::smallint))
           ORDER BY s.camera_id, s.role, s.ordinal
           LIMIT $17"#,
        of.map_or(&[][..], Sight::objects),
        of.map_or(&[][..], Sight::allow),
        of.map_or(&[][..], Sight::deny),
        of.map_or(0, Sight::mask),
        of.map_or(&[][..], Sight::groups),
        of.map_or(&[][..], Sight::group_allow),
        of.map_or(&[][..], Sight::group_deny),
        suspect.as_secs_f64(),
        of.is_none(),
        filter.node.map(NodeId::uuid),
        filter.camera.map(CameraId::uuid),
        filter.role.map(Role::as_str),
        filter.state.map(CameraState::as_str),
        after.map(|key| key.camera_id.uuid()),
        after.map(|key| key.role.as_str()),
        after.map(|key| i16::try_from(key.ordinal).unwrap_or(i16::MAX)),
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| row.into_slot(suspect)).collect()
}

struct Row {
    camera_id: Uuid,
    role: String,
    ordinal: i16,
    epoch: i64,
    node_id: Option<Uuid>,
    cost: i32,
    reason: String,
    assigned_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    enabled: bool,
    wanted: bool,
    node_name: Option<String>,
    died: bool,
    goodbye: bool,
    renewed_at: Option<DateTime<Utc>>,
    silence: Option<f64>,
    state: Option<String>,
    message: Option<String>,
    since: Option<DateTime<Utc>>,
    last_error: Option<String>,
    last_error_at: Option<DateTime<Utc>>,
}

impl Row {
    fn into_slot(self, suspect: Duration) -> sqlx::Result<Slot> {
        let (state, message, since) = self.words(suspect)?;
        Ok(Slot {
            key: slot_key(self.camera_id, &self.role, self.ordinal)?,
            epoch: self.epoch,
            node_id: self.node_id.map(Into::into),
            node_name: self.node_name,
            cost: self.cost.unsigned_abs(),
            reason: self.reason,
            assigned_at: self.assigned_at,
            state,
            message,
            since,
            last_error: self.last_error,
            last_error_at: self.last_error_at,
        })
    }

    fn words(&self, suspect: Duration) -> sqlx::Result<(CameraState, String, DateTime<Utc>)> {
        let placed = self.assigned_at.unwrap_or(self.created_at);
        if !self.wanted {
            let why = if self.enabled { STOPPED } else { DISABLED };
            return Ok((CameraState::Disabled, why.to_owned(), placed));
        }
        let Some(node) = &self.node_name else {
            return Ok((CameraState::Unplaced, self.reason.clone(), placed));
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
        Ok((camera_state(state), message, since))
    }
}
