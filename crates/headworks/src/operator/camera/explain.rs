//! `headworks camera explain` and `moves`: where a camera is, why, and where it was.

use headworks_types::{CameraPlacement, NodeFit, Slot};

use crate::{
    failure::Failure,
    operator::{show_name, show_optional_time, show_time},
    output::{self, Row},
};

/// Prints the explanation: each slot as a record, then its moves and what each node has to say.
pub(super) fn show(placement: &CameraPlacement, json: bool) -> Result<(), Failure> {
    if json {
        return output::json(placement);
    }
    for slot in &placement.slots {
        output::one(slot, json, record)?;
        output::line("")?;
    }
    if !placement.moves.is_empty() {
        output::list(&placement.moves, json)?;
        output::line("")?;
    }
    output::list(&placement.nodes, json)
}

fn record(slot: &Slot) -> Vec<(&'static str, String)> {
    let error = slot.last_error.as_ref().map(|error| {
        let at = show_optional_time(slot.last_error_at);
        format!("{error} ({at})")
    });
    let node = slot.node_name.clone();
    vec![
        ("work", slot.what()),
        ("node", node.unwrap_or_else(|| "none".to_owned())),
        ("why", slot.reason.clone()),
        ("placed", show_optional_time(slot.assigned_at)),
        ("state", show_name(&slot.state)),
        ("message", slot.message.clone()),
        ("since", show_time(slot.since)),
        ("last error", error.unwrap_or_default()),
        ("epoch", slot.epoch.to_string()),
        ("cost", slot.cost.to_string()),
    ]
}

impl Row for NodeFit {
    const COLUMNS: &'static [&'static str] = &["NODE", "SITE", "COULD TAKE IT", "WHY"];

    fn cells(&self) -> Vec<String> {
        let could = match (self.has, self.fits) {
            (true, _) => "has it",
            (false, true) => "yes",
            (false, false) => "no",
        };
        vec![
            self.name.clone(),
            self.site.clone(),
            could.to_owned(),
            self.reason.clone(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_and_its_nodes_are_told_in_words() {
        let json = serde_json::json!({
            "camera_id": "cam_00000000000000000000000000000001",
            "slots": [{
                "camera_id": "cam_00000000000000000000000000000001", "role": "restream",
                "ordinal": 2, "epoch": 7, "cost": 0, "reason": "no node has capacity: edge-1 full",
                "state": "unplaced", "message": "x", "since": "2026-11-27T10:00:00Z",
                "last_error": "refused", "last_error_at": "2026-11-27T09:00:00Z",
            }],
            "moves": [{
                "camera_id": "cam_00000000000000000000000000000001", "role": "ingest",
                "ordinal": 0, "epoch": 7, "from_node_name": "edge-1", "reason": "why",
                "at": "2026-11-27T10:00:00Z",
            }],
            "nodes": [{
                "node_id": "node_00000000000000000000000000000001", "name": "edge-1",
                "site": "lyon", "has": false, "fits": false, "reason": "edge-1 full",
            }],
        });
        let placement: CameraPlacement = serde_json::from_value(json).expect("parses");
        let shown = record(&placement.slots[0]);
        let field = |name| {
            shown
                .iter()
                .find(|(key, _)| *key == name)
                .expect("is there")
        };
        assert_eq!(field("work").1, "restream 2");
        assert_eq!(field("node").1, "none");
        assert_eq!(field("last error").1, "refused (2026-11-27T09:00:00Z)");
        assert_eq!(
            placement.moves[0].cells(),
            ["2026-11-27T10:00:00Z", "ingest", "7", "edge-1", "-", "why"]
        );
        assert_eq!(
            placement.nodes[0].cells(),
            ["edge-1", "lyon", "no", "edge-1 full"]
        );
    }
}
