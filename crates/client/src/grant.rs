//! Grants.

use headworks_types::{
    ApiKeyId, CameraGroupId, CameraId, Grant, GrantCreate, GrantId, Page, RoleId, UserGroupId,
    UserId,
};
use reqwest::Method;

use crate::{Call, Client, Create};

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
    pub fn grant_delete(&self, id: GrantId) -> Call<()> {
        Call::new(self, Method::DELETE, &["v1", "grants", &id.to_string()])
    }
}

impl Call<Page<Grant>> {
    /// Only grants to this user.
    pub fn to_user(self, id: UserId) -> Self {
        self.with_query("user_id", id.to_string())
    }

    /// Only grants to this API key.
    pub fn to_api_key(self, id: ApiKeyId) -> Self {
        self.with_query("api_key_id", id.to_string())
    }

    /// Only grants to this user group.
    pub fn to_user_group(self, id: UserGroupId) -> Self {
        self.with_query("user_group_id", id.to_string())
    }

    /// Only grants on this camera group itself.
    pub fn on_camera_group(self, id: CameraGroupId) -> Self {
        self.with_query("camera_group_id", id.to_string())
    }

    /// Only grants as this role.
    pub fn as_role(self, id: RoleId) -> Self {
        self.with_query("role_id", id.to_string())
    }

    /// Only grants on this camera.
    pub fn on_camera(self, id: CameraId) -> Self {
        self.with_query("camera_id", id.to_string())
    }
}
