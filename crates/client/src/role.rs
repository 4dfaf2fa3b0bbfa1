//! Roles.

use headworks_types::{Page, Role, RoleCreate, RoleId, RoleRef, RoleUpdate};

use crate::{Call, Change, Client, Create};

impl Client {
    /// `GET /v1/roles`
    pub fn role_list(&self) -> Call<Page<Role>> {
        self.get(&["v1", "roles"])
    }

    /// `POST /v1/roles`
    pub fn role_create(&self, role: &RoleCreate) -> Call<Role, Create> {
        self.post(&["v1", "roles"], role)
    }

    /// `GET /v1/roles/{role_id}`
    pub fn role_view(&self, role: RoleRef) -> Call<Role> {
        self.get(&["v1", "roles", &role.to_string()])
    }

    /// `PATCH /v1/roles/{role_id}`
    pub fn role_update(&self, id: RoleId, change: &RoleUpdate) -> Call<Role, Change> {
        self.patch(&["v1", "roles", &id.to_string()], change)
    }

    /// `DELETE /v1/roles/{role_id}`
    pub fn role_delete(&self, id: RoleId) -> Call<(), Change> {
        self.delete(&["v1", "roles", &id.to_string()])
    }
}
