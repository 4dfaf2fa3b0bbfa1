//! What an edge knows of its cameras, for those who want to watch them.

use std::collections::HashMap;

use headworks_types::{
    CameraId, ProjectId,
    edge::{DesiredSlot, ViewPolicy},
};

/// Whose a camera is, and how it may be watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CameraView {
    pub(crate) project: ProjectId,
    pub(crate) policy: ViewPolicy,
}

/// The cameras of this edge.
pub(crate) type Cameras = HashMap<CameraId, CameraView>;

/// Those of the work that is here.
pub(crate) fn cameras<'a>(slots: impl Iterator<Item = &'a DesiredSlot>) -> Cameras {
    let view = |slot: &DesiredSlot| CameraView {
        project: slot.project_id,
        policy: slot.view.clone(),
    };
    slots.map(|slot| (slot.key.camera_id, view(slot))).collect()
}
