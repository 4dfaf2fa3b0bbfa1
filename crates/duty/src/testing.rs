//! Work for tests.

use headworks_types::{
    CameraId, CameraSource, ProjectId, StartMode,
    edge::{DesiredSlot, IngestWork, Role, SlotKey, ViewPolicy, Work},
};
use proptest::prelude::*;
use uuid::Uuid;

use crate::Slots;

/// The ingest of camera `camera`.
pub(crate) fn slot(camera: u8, epoch: i64) -> DesiredSlot {
    DesiredSlot {
        key: SlotKey {
            camera_id: CameraId::from(Uuid::from_u128(camera.into())),
            role: Role::Ingest,
            ordinal: 0,
        },
        epoch,
        project_id: ProjectId::from(Uuid::nil()),
        camera_name: format!("camera {camera}"),
        view: ViewPolicy::default(),
        work: Work::Ingest(IngestWork {
            source: CameraSource::pull("rtsp://127.0.0.1:1/".parse().expect("parses")),
            credentials: None,
            start: StartMode::OnDemand,
            exclusive: false,
            stream_keys: Vec::new(),
            outbound_allow: Vec::new(),
        }),
    }
}

/// Some work of some cameras under some epochs.
pub(crate) fn slots() -> impl Strategy<Value = Slots> {
    proptest::collection::vec((0_u8..6, 0_i64..4), 0..6).prop_map(|slots| {
        let slots = slots.into_iter().map(|(camera, epoch)| slot(camera, epoch));
        slots.map(|slot| (slot.key, slot)).collect()
    })
}
