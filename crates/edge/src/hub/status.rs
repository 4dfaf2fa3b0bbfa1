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
    pub(crate) fn is_live(&self) -> bool {
        self.state == SlotState::Live
    }
}
