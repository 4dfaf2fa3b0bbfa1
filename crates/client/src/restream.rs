//! Pushes of cameras to other people's servers.

use headworks_types::{
    CameraId, Page, Restream, RestreamCreate, RestreamId, RestreamImport, RestreamImportResult,
    RestreamUpdate,
};

use crate::{Call, Change, Client, Create};

impl Client {
    /// `GET /v1/restreams`
    pub fn restream_list(&self) -> Call<Page<Restream>> {
        self.get(&["v1", "restreams"])
    }

    /// `GET /v1/cameras/{camera_id}/restreams`
    pub fn restream_list_of_camera(&self, camera: CameraId) -> Call<Page<Restream>> {
        self.get(&["v1", "cameras", &camera.to_string(), "restreams"])
    }

    /// `POST /v1/cameras/{camera_id}/restreams`
    pub fn restream_create(
        &self,
        camera: CameraId,
        restream: &RestreamCreate,
    ) -> Call<Restream, Create> {
        self.post(
            &["v1", "cameras", &camera.to_string(), "restreams"],
            restream,
        )
    }

    /// `POST /v1/restreams:import`
    pub fn restream_import(&self, import: &RestreamImport) -> Call<RestreamImportResult, Create> {
        self.post(&["v1", "restreams:import"], import)
    }

    /// `GET /v1/restreams/{restream_id}`
    pub fn restream_view(&self, id: RestreamId) -> Call<Restream> {
        self.get(&["v1", "restreams", &id.to_string()])
    }

    /// `PATCH /v1/restreams/{restream_id}`
    pub fn restream_update(
        &self,
        id: RestreamId,
        change: &RestreamUpdate,
    ) -> Call<Restream, Change> {
        self.patch(&["v1", "restreams", &id.to_string()], change)
    }

    /// `DELETE /v1/restreams/{restream_id}`
    pub fn restream_delete(&self, id: RestreamId) -> Call<(), Change> {
        self.delete(&["v1", "restreams", &id.to_string()])
    }

    /// `POST /v1/restreams/{restream_id}:start`
    pub fn restream_start(&self, id: RestreamId) -> Call<Restream, Create> {
        self.act(&["v1", "restreams", &format!("{id}:start")])
    }

    /// `POST /v1/restreams/{restream_id}:stop`
    pub fn restream_stop(&self, id: RestreamId) -> Call<Restream, Create> {
        self.act(&["v1", "restreams", &format!("{id}:stop")])
    }

    /// `POST /v1/restreams/{restream_id}:restart`
    pub fn restream_restart(&self, id: RestreamId) -> Call<Restream, Create> {
        self.act(&["v1", "restreams", &format!("{id}:restart")])
    }
}
