//! All work that the controller gives this edge, whatever its role.
//!
//! The agent calls [`Work::start`] and [`Work::stop`]; each role's own module does it, and says in
//! [`Work::reports`] what became of it. For strict work the agent also tells [`Work::fence`] when
//! it may be done.

use std::collections::HashMap;

use headworks_types::{
    NodeLoad,
    edge::{self, DesiredSlot, Role, SlotKey, SlotReport},
};

use crate::{
    ingest::{self, Ingests},
    restream::{self, Fence, Restreams},
};

/// The work of every role. Clones are the same.
#[derive(Clone)]
pub(crate) struct Work {
    ingests: Ingests,
    restreams: Restreams,
}

/// What the work of a slot has taken from this node so far. It may begin anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Consumed {
    /// Bytes that came from the camera.
    pub(crate) received: u64,
    /// Bytes that went to the target of a restream.
    pub(crate) sent: u64,
    /// Processor time of its child process, in hundredths of a second, while it has one.
    pub(crate) child_ticks: Option<u64>,
}

impl Work {
    pub(crate) fn new(ingests: Ingests, restreams: Restreams) -> Self {
        Self { ingests, restreams }
    }

    /// Starts work. Work of the same key that is there already goes on with what is new.
    pub(crate) fn start(&self, slot: DesiredSlot) {
        match slot.work {
            edge::Work::Ingest(work) => self.ingests.start(ingest::Job {
                key: slot.key,
                epoch: slot.epoch,
                camera_name: slot.camera_name,
                work,
            }),
            edge::Work::Restream(work) => self.restreams.start(restream::Job {
                key: slot.key,
                epoch: slot.epoch,
                camera_name: slot.camera_name,
                work,
            }),
        }
    }

    /// Ends work.
    pub(crate) fn stop(&self, key: SlotKey) {
        match key.role {
            Role::Ingest => self.ingests.stop(key),
            Role::Restream => self.restreams.stop(key),
        }
    }

    /// Ends work that this edge may do no more of: it is no node of the cluster.
    pub(crate) fn stop_now(&self, key: SlotKey) {
        match key.role {
            Role::Ingest => self.ingests.stop_now(key),
            Role::Restream => self.restreams.stop(key),
        }
    }

    /// Says when strict work may be done.
    pub(crate) fn fence(&self) -> &Fence {
        self.restreams.fence()
    }

    /// Waits until the strict work that was told to stop has stopped. That takes a second or two
    /// at most.
    pub(crate) async fn strict_stopped(&self) {
        self.restreams.stopped().await;
    }

    /// The same for all strict work, when the tasks of the edge are told to end.
    pub(crate) async fn all_strict_stopped(&self) {
        self.restreams.all_stopped().await;
    }

    /// What became of all work.
    pub(crate) fn reports(&self) -> Vec<SlotReport> {
        let mut reports = self.ingests.reports();
        reports.extend(self.restreams.reports());
        reports
    }

    /// What all work has taken from this node.
    pub(crate) fn consumed(&self) -> HashMap<SlotKey, Consumed> {
        let mut consumed = self.ingests.consumed();
        consumed.extend(self.restreams.consumed());
        consumed
    }

    /// The media side of the node's load; processor, memory and rate are left at zero.
    pub(crate) fn load(&self) -> NodeLoad {
        self.ingests.load()
    }
}
