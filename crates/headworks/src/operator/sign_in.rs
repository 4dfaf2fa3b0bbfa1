//! `headworks sign-in`: prints tokens and keeps nothing.

use std::path::PathBuf;

use clap::Args;
use headworks_types::{SignIn, SignedIn};

use super::{Api, secret_file, secret_stdin, show_time};
use crate::{failure::Failure, output};

/// `headworks sign-in`
#[derive(Debug, Args)]
pub(crate) struct SignInArguments {
    #[command(flatten)]
    pub(crate) api: Api,
    /// The user's email
    #[arg(long)]
    email: String,
    /// Read the password from stdin
    #[arg(long, required_unless_present = "password_file")]
    password_stdin: bool,
    /// File with the password
    #[arg(long, value_name = "FILE", conflicts_with = "password_stdin")]
    password_file: Option<PathBuf>,
    /// File with a new password; needed where somebody else has chosen the present one
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
}

/// Does it.
pub(crate) async fn run(arguments: SignInArguments) -> Result<(), Failure> {
    let password = match &arguments.password_file {
        Some(path) => secret_file(path)?,
        None => secret_stdin()?,
    };
    let new_password = match &arguments.new_password_file {
        Some(path) => Some(secret_file(path)?),
        None => None,
    };
    let ask = SignIn {
        email: arguments.email,
        password,
        new_password,
    };
    let signed_in = arguments.api.client()?.auth_sign_in(&ask).await?;
    output::one(&signed_in, arguments.api.json, record)
}

/// Both tokens.
pub(super) fn record(signed_in: &SignedIn) -> Vec<(&'static str, String)> {
    vec![
        ("access token", signed_in.access_token.expose().to_owned()),
        ("works until", show_time(signed_in.expires_at)),
        ("refresh token", signed_in.refresh_token.expose().to_owned()),
        ("refresh until", show_time(signed_in.refresh_until)),
    ]
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use headworks_types::Secret;

    use super::*;

    #[test]
    fn both_tokens_are_shown_with_their_ends() {
        let signed_in = SignedIn {
            access_token: Secret::new("eyJ.x.y"),
            expires_at: DateTime::UNIX_EPOCH,
            refresh_token: Secret::new("hwrt_a_b"),
            refresh_until: DateTime::UNIX_EPOCH,
        };
        let shown: Vec<_> = record(&signed_in)
            .into_iter()
            .map(|(_, text)| text)
            .collect();
        let epoch = "1970-01-01T00:00:00Z";
        assert_eq!(shown, ["eyJ.x.y", epoch, "hwrt_a_b", epoch]);
    }
}
