//! How cameras are doing, in words.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use headworks_duty::Life;
use headworks_types::{CameraId, CameraState, CameraStatus};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    DISABLED,
    observed::{Observed, camera_state},
};
use crate::db::from_json;

/// The status of these cameras, where `suspect` is the silence that makes a node suspect. A camera
/// that does not exist is not among them.
pub(crate) async fn status_list(
    conn: &mut PgConnection,
    cameras: &[CameraId],
    suspect: Duration,
) -> sqlx::Result<HashMap<CameraId, CameraStatus>> {
    let cameras: Vec<_> = cameras.iter().map(|camera| camera.uuid()).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT c.id AS camera_id, c.enabled,
                  c.created_at, c.updated_at,
                  s.node_id, s.epoch, s.reason, s.assigned_at,
                  n.name AS "node_name?",
                  n.died_at IS NOT NULL AS "died!",
                  COALESCE(l.goodbye, false) AS "goodbye!",
                  l.renewed_at AS "renewed_at?",
                  EXTRACT(EPOCH FROM clock_timestamp() - l.renewed_at)::float8 AS silence,
                  t.state AS "state?", t.message AS "message?", t.since AS "since?",
                  t.tracks AS "tracks?", t.viewers AS "viewers?",
                  t.publisher, t.refused
           FROM slot s
           JOIN camera c ON c.id = s.camera_id
           LEFT JOIN node n ON n.id = s.node_id
           LEFT JOIN node_lease l ON l.node_id = s.node_id
           LEFT JOIN slot_status t
             ON (t.camera_id, t.role, t.ordinal) = (s.camera_id, s.role, s.ordinal)
            AND t.node_id = s.node_id AND t.epoch = s.epoch
           WHERE s.camera_id = ANY($1) AND s.role = 'ingest' AND s.ordinal = 0"#,
        &cameras
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    rows.map(|row| Ok((row.camera_id.into(), row.into_status(suspect)?)))
        .collect()
}

struct Row {
    camera_id: Uuid,
    enabled: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
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
    tracks: Option<serde_json::Value>,
    viewers: Option<i32>,
    publisher: Option<serde_json::Value>,
    refused: Option<serde_json::Value>,
}

impl Row {
    fn into_status(self, suspect: Duration) -> sqlx::Result<CameraStatus> {
        let (state, message, since) = self.words(suspect)?;
        // Who watches and who publishes is not believed of a node that is silent.
        let (viewers, publisher) = match state {
            CameraState::Live
            | CameraState::Connecting
            | CameraState::Idle
            | CameraState::Failed => (self.viewers.unwrap_or_default(), self.publisher),
            CameraState::Disabled | CameraState::Unplaced | CameraState::Unknown => (0, None),
        };
        Ok(CameraStatus {
            state,
            message,
            since,
            node_id: self.node_id.map(Into::into),
            node_name: self.node_name,
            reason: self.reason,
            epoch: self.epoch,
            tracks: self.tracks.map_or(Ok(Vec::new()), from_json)?,
            viewers: viewers.unsigned_abs(),
            publisher: publisher.map(from_json).transpose()?,
            refused: self.refused.map(from_json).transpose()?,
        })
    }

    /// State, message, and since when.
    fn words(&self, suspect: Duration) -> sqlx::Result<(CameraState, String, DateTime<Utc>)> {
        let placed = self.assigned_at.unwrap_or(self.created_at);
        if !self.enabled {
            return Ok((CameraState::Disabled, DISABLED.to_owned(), self.updated_at));
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
