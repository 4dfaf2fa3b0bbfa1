//! The story of a run in words.

use headworks_types::{
    NodeId,
    edge::{Role, SlotKey, WatchMessage},
};

use super::World;
use crate::edge::Input;

/// "camera 3" or "push 3".
pub(crate) fn slot(key: SlotKey) -> String {
    let camera = key.camera_id.uuid().as_u128() - 1;
    match key.role {
        Role::Ingest => format!("camera {camera}"),
        Role::Restream => format!("push {camera}"),
    }
}

/// What happens to an edge; none if it is not worth a line.
pub(super) fn edge(input: &Input) -> Option<String> {
    let words = match input {
        Input::Granted(_, Ok(revision)) => format!("is granted revision {revision}"),
        Input::Granted(_, Err(refusal)) => format!("is not granted: {refusal:?}"),
        Input::RenewDeadline(_)
        | Input::RenewDue
        | Input::WatchDue
        | Input::PushEnded(_)
        | Input::WatchIdle(..) => return None,
        Input::WatchEnded(_) => "has no watch any more".to_owned(),
        Input::Watched(_, message) => format!("hears {}", watched(message)),
        Input::Saved => "has it on disk".to_owned(),
        Input::Terminate => "is told to end".to_owned(),
    };
    Some(words)
}

fn watched(message: &WatchMessage) -> String {
    let slots = |slots: &[headworks_types::edge::DesiredSlot]| {
        let slots = slots.iter();
        let slots: Vec<_> = slots
            .map(|one| format!("{} ({})", slot(one.key), one.epoch))
            .collect();
        slots.join(", ")
    };
    match message {
        WatchMessage::Snapshot {
            revision,
            slots: all,
        } => format!("all of revision {revision}: {}", slots(all)),
        WatchMessage::Delta {
            revision,
            upsert,
            remove,
        } => {
            let remove: Vec<_> = remove.iter().map(|key| slot(*key)).collect();
            let (upsert, remove) = (slots(upsert), remove.join(", "));
            format!("revision {revision}: now {upsert}; no more {remove}")
        }
        WatchMessage::Bookmark { revision, .. } => format!("that nothing is new at {revision}"),
        WatchMessage::Bundle(_) | WatchMessage::Directory(_) => "something else".to_owned(),
    }
}

impl World {
    /// "edge-1", and which of its processes.
    pub(super) fn edge_name(&self, process: usize) -> String {
        format!("edge-{} (process {process})", self.edges[process].place)
    }

    /// "controller-1", and which of its processes.
    pub(super) fn controller_name(&self, process: usize) -> String {
        let place = self.controllers[process].place;
        format!("controller-{place} (process {process})")
    }

    /// The node's name.
    pub(super) fn node_name(&self, node: NodeId) -> String {
        let row = self.database.nodes.get(&node);
        row.map_or_else(|| node.to_string(), |row| row.name.clone())
    }
}
