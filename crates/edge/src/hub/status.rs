//! What a stream's source does, in words.

use chrono::{DateTime, Utc};
use headworks_types::{Track, edge::SlotState};

/// What a stream's source does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    /// For programs.
    pub(crate) state: SlotState,
    /// For people.
    pub(crate) message: String,
    /// Since when it is in this state.
    pub(crate) since: DateTime<Utc>,
    /// What the camera is made of, as last seen.
    pub(crate) tracks: Vec<Track>,
}

impl Status {
    /// Of a source that has done nothing yet.
    pub(super) fn fresh(now: DateTime<Utc>) -> Self {
        Self {
            state: SlotState::Idle,
            message: "just placed here".to_owned(),
            since: now,
            tracks: Vec::new(),
        }
    }

    /// Changes what it says; `since` stays while the state stays. Returns true if anything is new.
    pub(super) fn set(&mut self, state: SlotState, message: String, now: DateTime<Utc>) -> bool {
        if self.state == state && self.message == message {
            return false;
        }
        if self.state != state {
            self.since = now;
        }
        self.state = state;
        self.message = message;
        true
    }

    pub(crate) fn is_live(&self) -> bool {
        self.state == SlotState::Live
    }
}
