//! `headworks plan …`

use clap::{Args, Subcommand};
use headworks_types::{
    CameraId, NodeId, PlanCamera, PlanCapacity, PlanImpact, PlanMove, PlanNode, PlanPreview,
    PlanQuestion,
};

use super::Noun;
use crate::{
    failure::Failure,
    output::{self, Row},
};

/// What to do with plans.
#[derive(Debug, Subcommand)]
pub(crate) enum PlanVerb {
    /// Show what a change would move and whom it would interrupt; nothing is changed
    Preview(Box<Preview>),
}

/// Changes that are only thought of; each may be given several times.
#[derive(Debug, Args)]
pub(crate) struct Preview {
    /// A node that would take no new work
    #[arg(long, value_name = "NODE")]
    cordon: Vec<NodeId>,
    /// A node that would be emptied
    #[arg(long, value_name = "NODE")]
    drain: Vec<NodeId>,
    /// A node that would be switched off without a word
    #[arg(long, value_name = "NODE")]
    kill: Vec<NodeId>,
    /// A node that would be removed
    #[arg(long, value_name = "NODE")]
    remove: Vec<NodeId>,
    /// A node that would join
    #[arg(long, value_name = "NAME:SITE:ZONE:CAPACITY", value_parser = new_node)]
    add: Vec<PlanNode>,
    /// A node that would take more or less
    #[arg(long, value_name = "NODE:UNITS", value_parser = capacity)]
    capacity: Vec<PlanCapacity>,
    /// A camera that would be enabled
    #[arg(long, value_name = "CAMERA")]
    enable: Vec<CameraId>,
    /// A camera that would be disabled
    #[arg(long, value_name = "CAMERA")]
    disable: Vec<CameraId>,
    /// A camera that only nodes of this site would have
    #[arg(long, value_name = "CAMERA:SITE", value_parser = site)]
    camera_site: Vec<PlanCamera>,
    /// A camera that would be deleted
    #[arg(long, value_name = "CAMERA")]
    remove_camera: Vec<CameraId>,
}

impl Preview {
    fn into_question(self) -> PlanQuestion {
        let switched = |camera_id: CameraId, enabled| PlanCamera {
            camera_id,
            placement: None,
            enabled: Some(enabled),
        };
        let on = self.enable.into_iter().map(|id| switched(id, true));
        let off = self.disable.into_iter().map(|id| switched(id, false));
        PlanQuestion {
            cordon_nodes: self.cordon,
            drain_nodes: self.drain,
            kill_nodes: self.kill,
            remove_nodes: self.remove,
            add_nodes: self.add,
            node_capacities: self.capacity,
            cameras: on.chain(off).chain(self.camera_site).collect(),
            remove_cameras: self.remove_camera,
        }
    }
}

fn new_node(text: &str) -> Result<PlanNode, String> {
    let parts: Vec<_> = text.split(':').collect();
    let [name, site, zone, capacity] = parts[..] else {
        return Err("expected NAME:SITE:ZONE:CAPACITY".to_owned());
    };
    Ok(PlanNode {
        name: name.to_owned(),
        site: site.to_owned(),
        zone: zone.to_owned(),
        labels: Default::default(),
        capacity: units(capacity)?,
    })
}

fn capacity(text: &str) -> Result<PlanCapacity, String> {
    let (node, capacity) = text.split_once(':').ok_or("expected NODE:UNITS")?;
    Ok(PlanCapacity {
        node_id: node.parse().map_err(|error| format!("{node}: {error}"))?,
        capacity: units(capacity)?,
    })
}

fn site(text: &str) -> Result<PlanCamera, String> {
    let (camera, site) = text.split_once(':').ok_or("expected CAMERA:SITE")?;
    Ok(PlanCamera {
        camera_id: camera
            .parse()
            .map_err(|error| format!("{camera}: {error}"))?,
        placement: Some(headworks_types::Placement {
            site: Some(site.to_owned()),
            ..Default::default()
        }),
        enabled: None,
    })
}

fn units(text: &str) -> Result<u32, String> {
    text.parse().map_err(|error| format!("{text}: {error}"))
}

/// Does it.
pub(crate) async fn run(command: Noun<PlanVerb>) -> Result<(), Failure> {
    let client = command.api.client()?;
    let PlanVerb::Preview(preview) = command.verb;
    let preview = client.plan_preview(&preview.into_question()).await?;
    if command.api.json {
        return output::json(&preview);
    }
    for (head, steps) in [("moves", &preview.moves), ("no place", &preview.unplaced)] {
        if !steps.is_empty() {
            output::line(head)?;
            output::list(steps, false)?;
            output::line("")?;
        }
    }
    output::one(&preview, false, record)
}

fn record(preview: &PlanPreview) -> Vec<(&'static str, String)> {
    let summary = &preview.summary;
    vec![
        ("moves", summary.moves.to_string()),
        ("no place", summary.unplaced.to_string()),
        ("interrupts", impact(&summary.interrupted)),
        ("moves without a break", impact(&summary.unbroken)),
    ]
}

fn impact(impact: &PlanImpact) -> String {
    format!(
        "{} viewers, {} publishers, {} restreams",
        impact.viewers, impact.publishers, impact.restreams
    )
}

impl Row for PlanMove {
    const COLUMNS: &'static [&'static str] =
        &["CAMERA", "ROLE", "FROM", "TO", "BREAK", "VIEWERS", "REASON"];

    fn cells(&self) -> Vec<String> {
        let node = |node: &Option<String>| node.clone().unwrap_or_else(|| "-".to_owned());
        vec![
            self.camera_name.clone(),
            self.slot.role.as_str().to_owned(),
            node(&self.from_node),
            node(&self.to_node),
            if self.interrupts { "yes" } else { "no" }.to_owned(),
            self.viewers.to_string(),
            self.reason.clone(),
        ]
    }
}
