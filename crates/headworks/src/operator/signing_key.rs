//! `headworks signing-key …`

use clap::Subcommand;
use headworks_types::SigningKey;

use super::{Noun, show_optional_time, show_time};
use crate::{
    failure::Failure,
    output::{self, Row},
};

/// What to do with signing keys.
#[derive(Debug, Subcommand)]
pub(crate) enum SigningKeyVerb {
    /// List the keys that sign tokens
    List,
    /// Print the public halves as a JSON Web Key Set
    Public,
    /// Make a new key, which signs as soon as every edge knows it; no viewer is refused
    Rotate,
    /// Make a key that has become known useless, and with it all tokens that it has signed
    Revoke {
        /// The key's name
        kid: String,
    },
}

/// Does it.
pub(crate) async fn run(command: Noun<SigningKeyVerb>) -> Result<(), Failure> {
    let client = command.api.client()?;
    let json = command.api.json;
    match command.verb {
        SigningKeyVerb::List => output::list(&client.signing_key_list().await?.items, json),
        SigningKeyVerb::Public => output::json(&client.jwks_view().await?),
        SigningKeyVerb::Rotate => output::one(&client.signing_key_rotate().await?, json, record),
        SigningKeyVerb::Revoke { kid } => {
            output::one(&client.signing_key_revoke(&kid).await?, json, record)
        }
    }
}

impl Row for SigningKey {
    const COLUMNS: &'static [&'static str] = &["KID", "STATE", "CREATED", "MESSAGE"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.kid.clone(),
            self.state.to_string(),
            show_time(self.created_at),
            self.message.clone(),
        ]
    }
}

fn record(key: &SigningKey) -> Vec<(&'static str, String)> {
    vec![
        ("kid", key.kid.clone()),
        ("state", key.state.to_string()),
        ("message", key.message.clone()),
        ("created", show_time(key.created_at)),
        ("activated", show_optional_time(key.activated_at)),
        ("retired", show_optional_time(key.retired_at)),
        ("revoked", show_optional_time(key.revoked_at)),
    ]
}
