//! Publishers' stream keys.

use headworks_types::{
    CameraId, Page, StreamKey, StreamKeyCreate, StreamKeyCreated, StreamKeyId, StreamKeyRotate,
    StreamKeyUpdate,
};

use crate::{Call, Change, Client, Create};

impl Client {
    /// `GET /v1/cameras/{camera_id}/stream_keys`
    pub fn stream_key_list(&self, camera: CameraId) -> Call<Page<StreamKey>> {
        self.get(&["v1", "cameras", &camera.to_string(), "stream_keys"])
    }

    /// `POST /v1/cameras/{camera_id}/stream_keys`
    pub fn stream_key_create(
        &self,
        camera: CameraId,
        key: &StreamKeyCreate,
    ) -> Call<StreamKeyCreated, Create> {
        self.post(&["v1", "cameras", &camera.to_string(), "stream_keys"], key)
    }

    /// `GET /v1/stream_keys/{stream_key_id}`
    pub fn stream_key_view(&self, id: StreamKeyId) -> Call<StreamKey> {
        self.get(&["v1", "stream_keys", &id.to_string()])
    }

    /// `PATCH /v1/stream_keys/{stream_key_id}`
    pub fn stream_key_update(
        &self,
        id: StreamKeyId,
        change: &StreamKeyUpdate,
    ) -> Call<StreamKey, Change> {
        self.patch(&["v1", "stream_keys", &id.to_string()], change)
    }

    /// `POST /v1/stream_keys/{stream_key_id}:rotate`
    pub fn stream_key_rotate(
        &self,
        id: StreamKeyId,
        how: &StreamKeyRotate,
    ) -> Call<StreamKeyCreated, Create> {
        self.post(&["v1", "stream_keys", &format!("{id}:rotate")], how)
    }

    /// `POST /v1/stream_keys/{stream_key_id}:revoke`
    pub fn stream_key_revoke(&self, id: StreamKeyId) -> Call<StreamKey, Create> {
        self.act(&["v1", "stream_keys", &format!("{id}:revoke")])
    }
}
