//! `headworks user-group …`

use clap::Subcommand;
use headworks_types::{
    UserGroup, UserGroupCreate, UserGroupId, UserGroupMember, UserGroupMemberAdd, UserGroupUpdate,
    UserId,
};

use super::{Noun, label, labels, show_labels, show_time};
use crate::{
    failure::Failure,
    output::{self, Row},
};

/// What to do with user groups.
#[derive(Debug, Subcommand)]
pub(crate) enum UserGroupVerb {
    /// Add a user group; grants say what its members may do
    Create {
        /// What people call it
        #[arg(long)]
        name: String,
        /// Your own name for the group, by which OpenID providers fill it; unique
        #[arg(long, value_name = "ID")]
        external_id: Option<String>,
        /// A label; may be given several times
        #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
        label: Vec<(String, String)>,
    },
    /// List user groups
    List {
        /// Only those that this user is in
        #[arg(long, value_name = "ID")]
        user: Option<UserId>,
    },
    /// Show one user group
    View {
        /// The group's id
        id: UserGroupId,
    },
    /// Rename a user group
    Rename {
        /// The group's id
        id: UserGroupId,
        /// What people call it from now on
        name: String,
    },
    /// Delete a user group; its users stay
    Delete {
        /// The group's id
        id: UserGroupId,
    },
    /// Put a user into a group
    Add {
        /// The group's id
        id: UserGroupId,
        /// The user's id
        user: UserId,
    },
    /// Take a user out of a group
    Remove {
        /// The group's id
        id: UserGroupId,
        /// The user's id
        user: UserId,
    },
    /// List who is in a group
    Members {
        /// The group's id
        id: UserGroupId,
    },
}

/// Does it.
pub(crate) async fn run(command: Noun<UserGroupVerb>) -> Result<(), Failure> {
    let client = command.api.client()?;
    let json = command.api.json;
    match command.verb {
        UserGroupVerb::Create {
            name,
            external_id,
            label,
        } => {
            let group = UserGroupCreate {
                name,
                external_id,
                labels: labels(label),
            };
            output::one(&client.user_group_create(&group).await?, json, record)
        }
        UserGroupVerb::List { user } => {
            let list = match user {
                Some(user) => client.user_group_list_of_user(user),
                None => client.user_group_list(),
            };
            output::list(&list.limit(1000).all().await?, json)
        }
        UserGroupVerb::View { id } => output::one(&client.user_group_view(id).await?, json, record),
        UserGroupVerb::Rename { id, name } => {
            let change = UserGroupUpdate {
                name: Some(name),
                ..UserGroupUpdate::default()
            };
            output::one(&client.user_group_update(id, &change).await?, json, record)
        }
        UserGroupVerb::Delete { id } => Ok(client.user_group_delete(id).await?),
        UserGroupVerb::Add { id, user } => {
            let member = UserGroupMemberAdd { user_id: user };
            let member = client.user_group_member_add(id, &member).await?;
            output::list(&[member], json)
        }
        UserGroupVerb::Remove { id, user } => Ok(client.user_group_member_remove(id, user).await?),
        UserGroupVerb::Members { id } => {
            let members = client.user_group_member_list(id).limit(1000).all().await?;
            output::list(&members, json)
        }
    }
}

impl Row for UserGroup {
    const COLUMNS: &'static [&'static str] = &["ID", "NAME", "EXTERNAL ID", "LABELS"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.name.clone(),
            self.external_id.clone().unwrap_or_else(|| "-".to_owned()),
            show_labels(&self.labels),
        ]
    }
}

impl Row for UserGroupMember {
    const COLUMNS: &'static [&'static str] = &["USER", "NAME", "SINCE", "BY"];

    fn cells(&self) -> Vec<String> {
        let by = self.oidc_provider.clone();
        vec![
            self.user_id.to_string(),
            self.name.clone(),
            show_time(self.created_at),
            by.unwrap_or_else(|| "-".to_owned()),
        ]
    }
}

fn record(group: &UserGroup) -> Vec<(&'static str, String)> {
    vec![
        ("id", group.id.to_string()),
        ("name", group.name.clone()),
        ("external id", group.external_id.clone().unwrap_or_default()),
        ("labels", show_labels(&group.labels)),
        ("created", show_time(group.created_at)),
    ]
}
