//! What is observed of a slot that is placed, in words.

use std::time::Duration;

use chrono::{DateTime, Utc};
use headworks_duty::Life;
use headworks_types::{CameraState, NodeState, edge::SlotState};

/// A placed slot with what its node reported.
pub(super) struct Observed<'a> {
    /// The node's name.
    pub(super) node: &'a str,
    pub(super) life: Life,
    pub(super) renewed_at: Option<DateTime<Utc>>,
    /// When it was placed there.
    pub(super) placed: DateTime<Utc>,
    pub(super) state: Option<&'a str>,
    pub(super) message: Option<&'a str>,
    pub(super) since: Option<DateTime<Utc>>,
}

impl Observed<'_> {
    /// What it does, the same for people, and since when, where `suspect` is the silence that makes
    /// a node suspect. No state means that nobody knows.
    pub(super) fn words(
        &self,
        suspect: Duration,
    ) -> sqlx::Result<(Option<SlotState>, String, DateTime<Utc>)> {
        let node = self.node;
        if self.life.state(suspect) != NodeState::Ready {
            let message = format!("node {node} {}", self.life.words(suspect));
            return Ok((None, message, self.renewed_at.unwrap_or(self.placed)));
        }
        let (Some(state), Some(message), Some(since)) = (self.state, self.message, self.since)
        else {
            let message = format!("placed on {node}, which has not reported on it yet");
            return Ok((Some(SlotState::Connecting), message, self.placed));
        };
        let Some(state) = SlotState::from_name(state) else {
            return Err(sqlx::Error::Decode(
                format!("{state} is no slot state").into(),
            ));
        };
        Ok((Some(state), message.to_owned(), since))
    }
}

/// What a camera's record says of a slot that is observed so.
pub(super) fn camera_state(observed: Option<SlotState>) -> CameraState {
    match observed {
        None => CameraState::Unknown,
        Some(SlotState::Idle) => CameraState::Idle,
        Some(SlotState::Connecting) => CameraState::Connecting,
        Some(SlotState::Live) => CameraState::Live,
        Some(SlotState::Failed) => CameraState::Failed,
    }
}
