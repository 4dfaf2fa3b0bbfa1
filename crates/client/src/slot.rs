//! Slots: what work there is, and who does it.

use headworks_types::{
    CameraId, CameraPlacement, CameraState, NodeId, Page, Slot, SlotMove, edge::Role,
};

use crate::{Call, Client};

impl Client {
    /// `GET /v1/slots`
    pub fn slot_list(&self) -> Call<Page<Slot>> {
        self.get(&["v1", "slots"])
    }

    /// `GET /v1/cameras/{camera_id}/moves`
    pub fn move_list(&self, camera: CameraId) -> Call<Page<SlotMove>> {
        self.get(&["v1", "cameras", &camera.to_string(), "moves"])
    }

    /// `GET /v1/cameras/{camera_id}/placement`
    pub fn camera_explain(&self, camera: CameraId) -> Call<CameraPlacement> {
        self.get(&["v1", "cameras", &camera.to_string(), "placement"])
    }
}

impl Call<Page<Slot>> {
    /// Only the work of this camera.
    pub fn of_camera(self, id: CameraId) -> Self {
        self.with_query("camera_id", id.to_string())
    }

    /// Only what this node does.
    pub fn on_node(self, id: NodeId) -> Self {
        self.with_query("node_id", id.to_string())
    }

    /// Only work of this kind.
    pub fn of_role(self, role: Role) -> Self {
        self.with_query("role", role.as_str().to_owned())
    }

    /// Only work that goes like that.
    pub fn in_state(self, state: CameraState) -> Self {
        self.with_query("state", state.as_str().to_owned())
    }
}
