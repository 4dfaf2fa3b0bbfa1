//! `headworks role …`

use clap::Subcommand;
use headworks_types::{Action, Role, RoleCreate, RoleId, RoleRef, RoleUpdate};

use super::{Noun, action, names, show_optional_time};
use crate::{
    failure::Failure,
    output::{self, Row},
};

/// What to do with roles.
#[derive(Debug, Subcommand)]
pub(crate) enum RoleVerb {
    /// Add a role
    Create {
        /// What people call it; unique
        #[arg(long)]
        name: String,
        /// What it may do; may be given several times
        #[arg(long, value_name = "ACTION", value_parser = action, required = true)]
        action: Vec<Action>,
    },
    /// List roles, the built-in ones too
    List,
    /// Show one role
    View {
        /// The role's id, or the name of a built-in one
        id: RoleRef,
    },
    /// Change a role, and so every grant of it
    Update {
        /// The role's id
        id: RoleId,
        /// Another name
        #[arg(long)]
        name: Option<String>,
        /// All that it may do from now on; may be given several times
        #[arg(long, value_name = "ACTION", value_parser = action)]
        action: Vec<Action>,
    },
    /// Delete a role that is granted to nobody
    Delete {
        /// The role's id
        id: RoleId,
    },
}

/// Does it.
pub(crate) async fn run(command: Noun<RoleVerb>) -> Result<(), Failure> {
    let client = command.api.client()?;
    let json = command.api.json;
    match command.verb {
        RoleVerb::Create { name, action } => {
            let role = RoleCreate {
                name,
                actions: action,
            };
            output::one(&client.role_create(&role).await?, json, record)
        }
        RoleVerb::List => output::list(&client.role_list().limit(1000).all().await?, json),
        RoleVerb::View { id } => output::one(&client.role_view(id).await?, json, record),
        RoleVerb::Update { id, name, action } => {
            let change = RoleUpdate {
                name,
                actions: (!action.is_empty()).then_some(action),
            };
            output::one(&client.role_update(id, &change).await?, json, record)
        }
        RoleVerb::Delete { id } => Ok(client.role_delete(id).await?),
    }
}

impl Row for Role {
    const COLUMNS: &'static [&'static str] = &["ID", "NAME", "MAY"];

    fn cells(&self) -> Vec<String> {
        vec![self.id.to_string(), self.name.clone(), names(&self.actions)]
    }
}

fn record(role: &Role) -> Vec<(&'static str, String)> {
    vec![
        ("id", role.id.to_string()),
        ("name", role.name.clone()),
        ("may", names(&role.actions)),
        ("created", show_optional_time(role.created_at)),
    ]
}
