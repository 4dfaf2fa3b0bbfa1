//! `headworks project …`

use clap::Subcommand;
use headworks_types::{Network, Project, ProjectCreate, ProjectId, ProjectUpdate};

use super::{Noun, show_time};
use crate::{
    failure::Failure,
    output::{self, Row},
};

/// What to do with projects.
#[derive(Debug, Subcommand)]
pub(crate) enum ProjectVerb {
    /// Add a project; its cameras, people and keys are nobody else's
    Create {
        /// What people call it; unique
        #[arg(long)]
        name: String,
    },
    /// List projects
    List,
    /// Show one project
    View {
        /// The project's id
        id: ProjectId,
    },
    /// Change a project
    Update {
        /// The project's id
        id: ProjectId,
        /// Another name
        #[arg(long)]
        name: Option<String>,
        /// All closed networks that its cameras and restreams may be in from now on; may be given
        /// several times
        #[arg(long, value_name = "NETWORK", conflicts_with = "no_outbound_allow")]
        outbound_allow: Vec<Network>,
        /// Its cameras and restreams may be in no closed network any more
        #[arg(long)]
        no_outbound_allow: bool,
    },
}

/// Does it.
pub(crate) async fn run(command: Noun<ProjectVerb>) -> Result<(), Failure> {
    let client = command.api.client()?;
    let json = command.api.json;
    match command.verb {
        ProjectVerb::Create { name } => {
            let project = ProjectCreate { name };
            output::one(&client.project_create(&project).await?, json, record)
        }
        ProjectVerb::List => output::list(&client.project_list().limit(1000).all().await?, json),
        ProjectVerb::View { id } => output::one(&client.project_view(id).await?, json, record),
        ProjectVerb::Update {
            id,
            name,
            outbound_allow,
            no_outbound_allow,
        } => {
            let says = no_outbound_allow || !outbound_allow.is_empty();
            let change = ProjectUpdate {
                name,
                outbound_allow: says.then_some(outbound_allow),
            };
            output::one(&client.project_update(id, &change).await?, json, record)
        }
    }
}

fn networks(project: &Project) -> String {
    let networks = project.outbound_allow.iter().map(ToString::to_string);
    networks.collect::<Vec<_>>().join(",")
}

impl Row for Project {
    const COLUMNS: &'static [&'static str] = &["ID", "NAME", "OPEN NETWORKS"];

    fn cells(&self) -> Vec<String> {
        vec![self.id.to_string(), self.name.clone(), networks(self)]
    }
}

fn record(project: &Project) -> Vec<(&'static str, String)> {
    vec![
        ("id", project.id.to_string()),
        ("name", project.name.clone()),
        ("open networks", networks(project)),
        ("created", show_time(project.created_at)),
        ("changed", show_time(project.updated_at)),
    ]
}
