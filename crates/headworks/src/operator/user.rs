//! `headworks user …`

use clap::Subcommand;
use headworks_types::{User, UserCreate, UserId};

use super::{Noun, label, labels, show_labels, show_time};
use crate::{
    failure::Failure,
    output::{self, Row},
};

/// What to do with users.
#[derive(Debug, Subcommand)]
pub(crate) enum UserVerb {
    /// Add a user
    Create {
        /// What people call the user
        #[arg(long)]
        name: String,
        /// Your own name for the user; unique
        #[arg(long, value_name = "ID")]
        external_id: Option<String>,
        /// A label; may be given several times
        #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
        label: Vec<(String, String)>,
    },
    /// List users
    List,
    /// Show one user
    View {
        /// The user's id
        id: UserId,
    },
    /// Delete a user
    Delete {
        /// The user's id
        id: UserId,
    },
}

/// Does it.
pub(crate) async fn run(command: Noun<UserVerb>) -> Result<(), Failure> {
    let client = command.api.client()?;
    let json = command.api.json;
    match command.verb {
        UserVerb::Create {
            name,
            external_id,
            label,
        } => {
            let user = UserCreate {
                name,
                external_id,
                labels: labels(label),
                max_sessions: None,
            };
            output::one(&client.user_create(&user).await?, json, record)
        }
        UserVerb::List => output::list(&client.user_list().limit(1000).all().await?, json),
        UserVerb::View { id } => output::one(&client.user_view(id).await?, json, record),
        UserVerb::Delete { id } => Ok(client.user_delete(id).await?),
    }
}

impl Row for User {
    const COLUMNS: &'static [&'static str] = &["ID", "NAME", "ENABLED", "EXTERNAL ID", "LABELS"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.name.clone(),
            self.enabled.to_string(),
            self.external_id.clone().unwrap_or_else(|| "-".to_owned()),
            show_labels(&self.labels),
        ]
    }
}

fn record(user: &User) -> Vec<(&'static str, String)> {
    vec![
        ("id", user.id.to_string()),
        ("name", user.name.clone()),
        ("external id", user.external_id.clone().unwrap_or_default()),
        ("labels", show_labels(&user.labels)),
        ("enabled", user.enabled.to_string()),
        ("created", show_time(user.created_at)),
    ]
}
