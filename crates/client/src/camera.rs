//! Cameras.

use headworks_types::{
    Camera, CameraBulkCreate, CameraBulkResult, CameraCreate, CameraGroupId, CameraId,
    CameraPlayback, CameraPlaybackRequest, CameraUpdate, Page,
};

use crate::{Call, Change, Client, Create};

impl Client {
    /// `GET /v1/cameras`
    pub fn camera_list(&self) -> Call<Page<Camera>> {
        self.get(&["v1", "cameras"])
    }

    /// `POST /v1/cameras`
    pub fn camera_create(&self, camera: &CameraCreate) -> Call<Camera, Create> {
        self.post(&["v1", "cameras"], camera)
    }

    /// `POST /v1/cameras:bulk_create`
    pub fn camera_bulk_create(&self, cameras: &CameraBulkCreate) -> Call<CameraBulkResult, Create> {
        self.post(&["v1", "cameras:bulk_create"], cameras)
    }

    /// `GET /v1/cameras/{camera_id}`
    pub fn camera_view(&self, id: CameraId) -> Call<Camera> {
        self.get(&["v1", "cameras", &id.to_string()])
    }

    /// `PATCH /v1/cameras/{camera_id}`
    pub fn camera_update(&self, id: CameraId, change: &CameraUpdate) -> Call<Camera, Change> {
        self.patch(&["v1", "cameras", &id.to_string()], change)
    }

    /// `DELETE /v1/cameras/{camera_id}`
    pub fn camera_delete(&self, id: CameraId) -> Call<(), Change> {
        self.delete(&["v1", "cameras", &id.to_string()])
    }

    /// `POST /v1/cameras/{camera_id}/playback`
    pub fn camera_playback(
        &self,
        id: CameraId,
        ask: &CameraPlaybackRequest,
    ) -> Call<CameraPlayback, Create> {
        self.post(&["v1", "cameras", &id.to_string(), "playback"], ask)
    }
}

impl Call<Page<Camera>> {
    /// Only cameras in this group and everywhere below it.
    pub fn in_group(self, id: CameraGroupId) -> Self {
        self.with_query("group_id", id.to_string())
    }
}
