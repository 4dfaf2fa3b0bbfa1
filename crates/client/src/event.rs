//! Events.

use headworks_types::{Event, Page};

use crate::{Call, Client};

impl Client {
    /// `GET /v1/events`
    pub fn event_list(&self) -> Call<Page<Event>> {
        self.get(&["v1", "events"])
    }
}
