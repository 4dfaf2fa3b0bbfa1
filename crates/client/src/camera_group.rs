//! Camera groups.

use headworks_types::{CameraGroup, CameraGroupCreate, CameraGroupId, CameraGroupUpdate, Page};

use crate::{Call, Change, Client, Create};

impl Client {
    /// `GET /v1/camera_groups`
    pub fn camera_group_list(&self) -> Call<Page<CameraGroup>> {
        self.get(&["v1", "camera_groups"])
    }

    /// `POST /v1/camera_groups`
    pub fn camera_group_create(&self, group: &CameraGroupCreate) -> Call<CameraGroup, Create> {
        self.post(&["v1", "camera_groups"], group)
    }

    /// `GET /v1/camera_groups/{camera_group_id}`
    pub fn camera_group_view(&self, id: CameraGroupId) -> Call<CameraGroup> {
        self.get(&["v1", "camera_groups", &id.to_string()])
    }

    /// `PATCH /v1/camera_groups/{camera_group_id}`
    pub fn camera_group_update(
        &self,
        id: CameraGroupId,
        change: &CameraGroupUpdate,
    ) -> Call<CameraGroup, Change> {
        self.patch(&["v1", "camera_groups", &id.to_string()], change)
    }

    /// `DELETE /v1/camera_groups/{camera_group_id}`
    pub fn camera_group_delete(&self, id: CameraGroupId) -> Call<(), Change> {
        self.delete(&["v1", "camera_groups", &id.to_string()])
    }
}

impl Call<Page<CameraGroup>> {
    /// Only groups right in this one.
    pub fn in_group(self, id: CameraGroupId) -> Self {
        self.with_query("parent_id", id.to_string())
    }
}
