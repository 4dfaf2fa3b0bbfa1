//! All work that the controller gives this edge, whatever its role.
//!
//! The agent calls [`Work::start`] and [`Work::stop`]; each role's own module does it, and says in
//! [`Work::reports`] what became of it.

use headworks_types::{
    NodeLoad,
    edge::{self, DesiredSlot, Role, SlotKey, SlotReport},
};

use crate::ingest::{Ingests, Job};

/// The work of every role. Clones are the same.
#[derive(Clone)]
pub(crate) struct Work {
    ingests: Ingests,
}

impl Work {
    pub(crate) fn new(ingests: Ingests) -> Self {
        Self { ingests }
    }

    /// Starts work. Work of the same key that is there already goes on with what is new.
    pub(crate) fn start(&self, slot: DesiredSlot) {
        match slot.work {
            edge::Work::Ingest(work) => self.ingests.start(Job {
                key: slot.key,
                epoch: slot.epoch,
                camera_name: slot.camera_name,
                work,
            }),
            edge::Work::Restream(work) => {
                tracing::warn!(restream.id = %work.id, "this edge does not push");
            }
        }
    }

    /// Ends work.
    pub(crate) fn stop(&self, key: SlotKey) {
        match key.role {
            Role::Ingest => self.ingests.stop(key),
            Role::Restream => {}
        }
    }

    /// What became of all work.
    pub(crate) fn reports(&self) -> Vec<SlotReport> {
        self.ingests.reports()
    }

    /// The media side of the node's load; processor and memory are left at zero.
    pub(crate) fn load(&self) -> NodeLoad {
        self.ingests.load()
    }
}
