//! `headworks slot …`

use clap::{Subcommand, ValueEnum};
use headworks_types::{CameraId, CameraState, NodeId, Slot, SlotMove, edge::Role};

use super::{Noun, show_name, show_time};
use crate::{
    failure::Failure,
    output::{self, Row},
};

/// What to do with slots.
#[derive(Debug, Subcommand)]
pub(crate) enum SlotVerb {
    /// List units of work: where they are, why, and how they go
    List {
        /// Only the work of this camera
        #[arg(long, value_name = "ID")]
        camera: Option<CameraId>,
        /// Only what this node does
        #[arg(long, value_name = "ID")]
        node: Option<NodeId>,
        /// Only work of this kind
        #[arg(long, value_enum)]
        role: Option<RoleName>,
        /// Only work that goes like that
        #[arg(long, value_enum)]
        state: Option<StateName>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RoleName {
    Ingest,
    Restream,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum StateName {
    Disabled,
    Unplaced,
    Idle,
    Connecting,
    Live,
    Failed,
    Unknown,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Ingest => Self::Ingest,
            RoleName::Restream => Self::Restream,
        }
    }
}

impl From<StateName> for CameraState {
    fn from(name: StateName) -> Self {
        match name {
            StateName::Disabled => Self::Disabled,
            StateName::Unplaced => Self::Unplaced,
            StateName::Idle => Self::Idle,
            StateName::Connecting => Self::Connecting,
            StateName::Live => Self::Live,
            StateName::Failed => Self::Failed,
            StateName::Unknown => Self::Unknown,
        }
    }
}

/// Does it.
pub(crate) async fn run(command: Noun<SlotVerb>) -> Result<(), Failure> {
    let client = command.api.client()?;
    let SlotVerb::List {
        camera,
        node,
        role,
        state,
    } = command.verb;
    let mut list = client.slot_list().limit(1000);
    if let Some(id) = camera {
        list = list.of_camera(id);
    }
    if let Some(id) = node {
        list = list.on_node(id);
    }
    if let Some(role) = role {
        list = list.of_role(role.into());
    }
    if let Some(state) = state {
        list = list.in_state(state.into());
    }
    output::list(&list.all().await?, command.api.json)
}

impl Row for Slot {
    const COLUMNS: &'static [&'static str] = &[
        "CAMERA", "WORK", "NODE", "STATE", "SINCE", "EPOCH", "COST", "MESSAGE",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.key.camera_id.to_string(),
            self.what(),
            self.node_name.clone().unwrap_or_else(|| "-".to_owned()),
            show_name(&self.state),
            show_time(self.since),
            self.epoch.to_string(),
            self.cost.to_string(),
            self.message.clone(),
        ]
    }
}

impl Row for SlotMove {
    const COLUMNS: &'static [&'static str] = &["AT", "WORK", "EPOCH", "FROM", "TO", "WHY"];

    fn cells(&self) -> Vec<String> {
        let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
        vec![
            show_time(self.at),
            self.what(),
            self.epoch.to_string(),
            name(&self.from_node_name),
            name(&self.to_node_name),
            self.reason.clone(),
        ]
    }
}
