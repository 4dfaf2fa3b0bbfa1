//! `headworks join-token …`

use clap::Subcommand;
use headworks_types::{JoinToken, JoinTokenCreate, JoinTokenId};

use super::{Noun, seconds, show_optional_time, show_time};
use crate::{
    failure::Failure,
    output::{self, Row},
};

/// What to do with join tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum JoinTokenVerb {
    /// Make a token that lets edges join
    Create {
        /// What people call it
        #[arg(long)]
        name: String,
        /// How long it works, at most 30d
        #[arg(long, value_name = "TIME", default_value = "1h", value_parser = seconds)]
        expires: u32,
        /// How many nodes may join by it
        #[arg(long, value_name = "COUNT", default_value_t = 1)]
        uses: u32,
    },
    /// List join tokens
    List,
    /// Make a join token useless; nodes that have joined stay
    Revoke {
        /// The token's id
        id: JoinTokenId,
    },
}

/// Does it.
pub(crate) async fn run(command: Noun<JoinTokenVerb>) -> Result<(), Failure> {
    let client = command.api.client()?;
    let json = command.api.json;
    match command.verb {
        JoinTokenVerb::Create {
            name,
            expires,
            uses,
        } => {
            let token = JoinTokenCreate {
                name,
                expires_in_seconds: expires,
                max_uses: uses,
            };
            let created = client.join_token_create(&token).await?;
            output::one(&created, json, |created| {
                let mut record = record(&created.join_token);
                let secret = created.secret.expose();
                record.push(("secret", format!("{secret} (not shown again)")));
                record
            })
        }
        JoinTokenVerb::List => {
            output::list(&client.join_token_list().limit(1000).all().await?, json)
        }
        JoinTokenVerb::Revoke { id } => {
            output::one(&client.join_token_revoke(id).await?, json, record)
        }
    }
}

impl Row for JoinToken {
    const COLUMNS: &'static [&'static str] = &["ID", "NAME", "USED", "EXPIRES", "REVOKED"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.name.clone(),
            format!("{} of {}", self.uses, self.max_uses),
            show_time(self.expires_at),
            self.revoked_at.map_or_else(|| "-".to_owned(), show_time),
        ]
    }
}

fn record(token: &JoinToken) -> Vec<(&'static str, String)> {
    vec![
        ("id", token.id.to_string()),
        ("name", token.name.clone()),
        ("used", format!("{} of {}", token.uses, token.max_uses)),
        ("expires", show_time(token.expires_at)),
        ("revoked", show_optional_time(token.revoked_at)),
        ("created", show_time(token.created_at)),
    ]
}
