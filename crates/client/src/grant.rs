//! Grants.

use headworks_types::{Grant, GrantCreate, GrantId, Page};

use crate::{Call, Change, Client, Create};

impl Client {
    /// `GET /v1/grants`
    pub fn grant_list(&self) -> Call<Page<Grant>> {
        self.get(&["v1", "grants"])
    }

    /// `POST /v1/grants`
    pub fn grant_create(&self, grant: &GrantCreate) -> Call<Grant, Create> {
        self.post(&["v1", "grants"], grant)
    }

    /// `GET /v1/grants/{grant_id}`
    pub fn grant_view(&self, id: GrantId) -> Call<Grant> {
        self.get(&["v1", "grants", &id.to_string()])
    }

    /// `DELETE /v1/grants/{grant_id}`
    pub fn grant_delete(&self, id: GrantId) -> Call<(), Change> {
        self.delete(&["v1", "grants", &id.to_string()])
    }
}
