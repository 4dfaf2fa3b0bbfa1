//! `headworks user …`

use clap::{Args, Subcommand};
use headworks_types::{OidcIdentity, Secret, User, UserCreate, UserId, UserUpdate};

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
        /// How many cameras the user may watch at once [default: as many as it likes]
        #[arg(long, value_name = "COUNT")]
        max_sessions: Option<u32>,
    },
    /// List users
    List,
    /// Show one user
    View {
        /// The user's id
        id: UserId,
    },
    /// Change a user
    Update(Box<Update>),
    /// End everything that a user watches, and refuse the tokens that it has
    RevokeSessions {
        /// The user's id
        id: UserId,
    },
    /// Let a user sign in as who an OpenID provider says it is
    Link(Identity),
    /// Take that back
    Unlink(Identity),
    /// Delete a user
    Delete {
        /// The user's id
        id: UserId,
    },
}

/// What changes of a user.
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// The user's id
    id: UserId,
    /// Another name
    #[arg(long)]
    name: Option<String>,
    /// Another email to sign in with
    #[arg(long)]
    email: Option<String>,
    /// Read a first password anew from stdin: the user is signed out everywhere, and must change
    /// it when signing in
    #[arg(long)]
    password_stdin: bool,
    /// A disabled user is signed out everywhere, and watches nothing
    #[arg(long, value_name = "TRUE|FALSE")]
    enabled: Option<bool>,
    /// How many cameras the user may watch at once; 0 for as many as it likes
    #[arg(long, value_name = "COUNT")]
    max_sessions: Option<u32>,
}

impl Update {
    fn into_change(self, password: Option<Secret>) -> UserUpdate {
        UserUpdate {
            name: self.name,
            email: self.email.map(Some),
            password: password.map(Some),
            enabled: self.enabled,
            max_sessions: self
                .max_sessions
                .map(|max| Some(max).filter(|max| *max > 0)),
            ..UserUpdate::default()
        }
    }
}

/// Who a user is at an OpenID provider.
#[derive(Debug, Args)]
pub(crate) struct Identity {
    /// The user's id
    id: UserId,
    /// The provider's name here; `headworks auth providers` lists them
    #[arg(long)]
    provider: String,
    /// What the provider calls the user: the claim `sub`
    #[arg(long)]
    subject: String,
}

impl Identity {
    fn into_parts(self) -> (UserId, OidcIdentity) {
        let identity = OidcIdentity {
            provider: self.provider,
            subject: self.subject,
        };
        (self.id, identity)
    }
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
            max_sessions,
        } => {
            let password = password_stdin.then(secret_stdin).transpose()?;
            let user = UserCreate {
                name,
                external_id,
                labels: labels(label),
                max_sessions,
                email,
                password,
            };
            output::one(&client.user_create(&user).await?, json, record)
        }
        UserVerb::List => output::list(&client.user_list().limit(1000).all().await?, json),
        UserVerb::View { id } => output::one(&client.user_view(id).await?, json, record),
        UserVerb::Update(update) => {
            let password = update.password_stdin.then(secret_stdin).transpose()?;
            let (id, change) = (update.id, update.into_change(password));
            output::one(&client.user_update(id, &change).await?, json, record)
        }
        UserVerb::RevokeSessions { id } => {
            output::one(&client.user_revoke_sessions(id).await?, json, record)
        }
        UserVerb::Link(identity) => {
            let (id, identity) = identity.into_parts();
            output::one(&client.user_link(id, &identity).await?, json, record)
        }
        UserVerb::Unlink(identity) => {
            let (id, identity) = identity.into_parts();
            output::one(&client.user_unlink(id, &identity).await?, json, record)
        }
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
        (
            "sessions",
            user.max_sessions
                .map(|max| format!("at most {max}"))
                .unwrap_or_default(),
        ),
        ("enabled", user.enabled.to_string()),
        ("signed in", show_optional_time(user.last_signed_in_at)),
        ("created", show_time(user.created_at)),
    ]
}
