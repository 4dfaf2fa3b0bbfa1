//! `headworks user …`

use clap::Subcommand;
use headworks_types::{User, UserCreate, UserId};

use super::{Noun, label, labels, secret_stdin, show_labels, show_optional_time, show_time};
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
        /// What the user signs in with
        #[arg(long)]
        email: Option<String>,
        /// Read a first password from stdin; the user must change it when signing in
        #[arg(long, requires = "email")]
        password_stdin: bool,
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
            email,
            password_stdin,
        } => {
            let password = password_stdin.then(secret_stdin).transpose()?;
            let user = UserCreate {
                name,
                external_id,
                labels: labels(label),
                max_sessions: None,
                email,
                password,
            };
            output::one(&client.user_create(&user).await?, json, record)
        }
        UserVerb::List => output::list(&client.user_list().limit(1000).all().await?, json),
        UserVerb::View { id } => output::one(&client.user_view(id).await?, json, record),
        UserVerb::Delete { id } => Ok(client.user_delete(id).await?),
    }
}

impl Row for User {
    const COLUMNS: &'static [&'static str] =
        &["ID", "NAME", "EMAIL", "ENABLED", "EXTERNAL ID", "LABELS"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.name.clone(),
            self.email.clone().unwrap_or_else(|| "-".to_owned()),
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
        ("email", user.email.clone().unwrap_or_default()),
        ("enabled", user.enabled.to_string()),
        ("signed in", show_optional_time(user.last_signed_in_at)),
        ("created", show_time(user.created_at)),
    ]
}
