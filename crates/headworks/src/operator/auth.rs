//! `headworks auth …`: who a credential belongs to, and what becomes of being signed in.

use std::path::PathBuf;

use clap::Subcommand;
use headworks_types::{
    Action, Auth, AuthRefresh, OidcProvider, PasswordChange, Principal, SignedIn,
};

use super::{Noun, names, secret_file, secret_stdin, sign_in};
use crate::{
    failure::Failure,
    output::{self, Row},
};

/// What to do about being signed in.
#[derive(Debug, Subcommand)]
pub(crate) enum AuthVerb {
    /// Show whose credential it is, and what it may do in short
    View,
    /// Exchange a refresh token for new tokens; it works once
    Refresh {
        /// File with the refresh token [default: stdin]
        #[arg(long, value_name = "FILE")]
        refresh_token_file: Option<PathBuf>,
    },
    /// Sign out where the access token is from
    SignOut {
        /// Everywhere, not only here
        #[arg(long)]
        everywhere: bool,
    },
    /// Change the password of whoever has signed in; every other sign-in ends
    ChangePassword {
        /// File with the present password
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
        /// File with the new password
        #[arg(long, value_name = "FILE")]
        new_password_file: PathBuf,
    },
    /// List the OpenID providers that people can sign in with
    Providers,
}

/// Does it.
pub(crate) async fn run(command: Noun<AuthVerb>) -> Result<(), Failure> {
    let client = command.api.client()?;
    let json = command.api.json;
    let show = |signed_in: SignedIn| output::one(&signed_in, json, sign_in::record);
    match command.verb {
        AuthVerb::View => output::one(&client.auth_view().await?, json, record),
        AuthVerb::Refresh { refresh_token_file } => {
            let refresh_token = match refresh_token_file {
                Some(path) => secret_file(&path)?,
                None => secret_stdin()?,
            };
            show(client.auth_refresh(&AuthRefresh { refresh_token }).await?)
        }
        AuthVerb::SignOut { everywhere: false } => Ok(client.auth_sign_out().await?),
        AuthVerb::SignOut { everywhere: true } => Ok(client.auth_sign_out_everywhere().await?),
        AuthVerb::ChangePassword {
            password_file,
            new_password_file,
        } => {
            let change = PasswordChange {
                password: secret_file(&password_file)?,
                new_password: secret_file(&new_password_file)?,
            };
            show(client.auth_change_password(&change).await?)
        }
        AuthVerb::Providers => output::list(&client.auth_oidc_list().await?.items, json),
    }
}

impl Row for OidcProvider {
    const COLUMNS: &'static [&'static str] = &["NAME"];

    fn cells(&self) -> Vec<String> {
        vec![self.name.clone()]
    }
}

fn record(auth: &Auth) -> Vec<(&'static str, String)> {
    let who = match auth.principal {
        Principal::User { id } => id.to_string(),
        Principal::UserGroup { id } => id.to_string(),
        Principal::ApiKey { id } => id.to_string(),
    };
    let rights = auth.projects.iter();
    let projects: Vec<_> = rights
        .map(|rights| format!("{}: {}", rights.project_id, shown(&rights.actions)))
        .collect();
    vec![
        ("who", who),
        ("name", auth.name.clone()),
        ("email", auth.email.clone().unwrap_or_default()),
        ("project", auth.project_id.to_string()),
        ("on the cluster", shown(&auth.cluster)),
        ("on projects", projects.join("; ")),
        ("on some cameras", shown(&auth.cameras)),
    ]
}

fn shown(actions: &[Action]) -> String {
    match actions {
        [] => "nothing".to_owned(),
        actions => names(actions),
    }
}
