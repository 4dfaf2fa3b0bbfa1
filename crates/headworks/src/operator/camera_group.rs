//! `headworks camera-group …`

use clap::Subcommand;
use headworks_types::{CameraGroup, CameraGroupCreate, CameraGroupId, CameraGroupUpdate};

use super::{Noun, label, labels, show_labels, show_time};
use crate::{
    failure::Failure,
    output::{self, Row},
};

/// What to do with camera groups.
#[derive(Debug, Subcommand)]
pub(crate) enum CameraGroupVerb {
    /// Add a camera group
    Create {
        /// What people call it
        #[arg(long)]
        name: String,
        /// The group that it is in; at the top if absent
        #[arg(long, value_name = "ID")]
        parent: Option<CameraGroupId>,
        /// Your own name for it; unique
        #[arg(long, value_name = "ID")]
        external_id: Option<String>,
        /// A label; may be given several times
        #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
        label: Vec<(String, String)>,
    },
    /// List camera groups
    List {
        /// Only groups right in this one
        #[arg(long, value_name = "ID")]
        parent: Option<CameraGroupId>,
    },
    /// Show one camera group
    View {
        /// The group's id
        id: CameraGroupId,
    },
    /// Rename a camera group
    Rename {
        /// The group's id
        id: CameraGroupId,
        /// What people call it from now on
        name: String,
    },
    /// Move a camera group with everything below it
    Move {
        /// The group's id
        id: CameraGroupId,
        /// The group that it goes into; to the top if absent
        #[arg(long, value_name = "ID")]
        parent: Option<CameraGroupId>,
    },
    /// Delete an empty camera group
    Delete {
        /// The group's id
        id: CameraGroupId,
    },
}

/// Does it.
pub(crate) async fn run(command: Noun<CameraGroupVerb>) -> Result<(), Failure> {
    let client = command.api.client()?;
    let json = command.api.json;
    let update = async |id, change: CameraGroupUpdate| {
        let changed = client.camera_group_update(id, &change).await?;
        output::one(&changed, json, record)
    };
    match command.verb {
        CameraGroupVerb::Create {
            name,
            parent,
            external_id,
            label,
        } => {
            let group = CameraGroupCreate {
                name,
                parent_id: parent,
                external_id,
                labels: labels(label),
            };
            output::one(&client.camera_group_create(&group).await?, json, record)
        }
        CameraGroupVerb::List { parent } => {
            let mut list = client.camera_group_list().limit(1000);
            if let Some(id) = parent {
                list = list.in_group(id);
            }
            output::list(&list.all().await?, json)
        }
        CameraGroupVerb::View { id } => {
            output::one(&client.camera_group_view(id).await?, json, record)
        }
        CameraGroupVerb::Rename { id, name } => {
            let name = Some(name);
            let rest = CameraGroupUpdate::default();
            update(id, CameraGroupUpdate { name, ..rest }).await
        }
        CameraGroupVerb::Move { id, parent } => {
            let parent_id = Some(parent);
            let rest = CameraGroupUpdate::default();
            update(id, CameraGroupUpdate { parent_id, ..rest }).await
        }
        CameraGroupVerb::Delete { id } => Ok(client.camera_group_delete(id).await?),
    }
}

impl Row for CameraGroup {
    const COLUMNS: &'static [&'static str] = &["ID", "NAME", "IN", "EXTERNAL ID", "LABELS"];

    fn cells(&self) -> Vec<String> {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        vec![
            self.id.to_string(),
            self.name.clone(),
            or_none(self.parent_id.map(|id| id.to_string())),
            or_none(self.external_id.clone()),
            show_labels(&self.labels),
        ]
    }
}

fn record(group: &CameraGroup) -> Vec<(&'static str, String)> {
    let path: Vec<_> = group.path.iter().map(ToString::to_string).collect();
    vec![
        ("id", group.id.to_string()),
        ("name", group.name.clone()),
        ("path", path.join(" / ")),
        ("external id", group.external_id.clone().unwrap_or_default()),
        ("labels", show_labels(&group.labels)),
        ("created", show_time(group.created_at)),
    ]
}
