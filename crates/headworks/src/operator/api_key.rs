//! `headworks api-key …`

use chrono::{DateTime, Utc};
use clap::Subcommand;
use headworks_types::{Action, ApiKey, ApiKeyCreate, ApiKeyId, ProjectId};

use super::{Noun, action, names, show_optional_time, show_time};
use crate::{
    failure::Failure,
    output::{self, Row},
};

/// What to do with API keys.
#[derive(Debug, Subcommand)]
pub(crate) enum ApiKeyVerb {
    /// Add an API key; grants say what it may do
    Create {
        /// What people call it
        #[arg(long)]
        name: String,
        /// It may do this at most, whatever it is granted; may be given several times
        #[arg(long, value_name = "ACTION", value_parser = action)]
        scope: Vec<Action>,
        /// When it stops working, such as 2027-01-31T18:00:00Z [default: never]
        #[arg(long, value_name = "TIME")]
        expires: Option<DateTime<Utc>>,
        /// The project it belongs to [default: that of whoever asks]
        #[arg(long, value_name = "ID")]
        project: Option<ProjectId>,
    },
    /// List API keys
    List,
    /// Show one API key
    View {
        /// The key's id
        id: ApiKeyId,
    },
    /// Make an API key useless, for ever
    Revoke {
        /// The key's id
        id: ApiKeyId,
    },
}

/// Does it.
pub(crate) async fn run(command: Noun<ApiKeyVerb>) -> Result<(), Failure> {
    let client = command.api.client()?;
    let json = command.api.json;
    match command.verb {
        ApiKeyVerb::Create {
            name,
            scope,
            expires,
            project,
        } => {
            let key = ApiKeyCreate {
                name,
                project_id: project,
                scopes: (!scope.is_empty()).then_some(scope),
                expires_at: expires,
            };
            let created = client.api_key_create(&key).await?;
            output::one(&created, json, |created| {
                let mut record = record(&created.api_key);
                let secret = created.secret.expose();
                record.push(("secret", format!("{secret} (not shown again)")));
                record
            })
        }
        ApiKeyVerb::List => output::list(&client.api_key_list().limit(1000).all().await?, json),
        ApiKeyVerb::View { id } => output::one(&client.api_key_view(id).await?, json, record),
        ApiKeyVerb::Revoke { id } => output::one(&client.api_key_revoke(id).await?, json, record),
    }
}

impl Row for ApiKey {
    const COLUMNS: &'static [&'static str] = &["ID", "NAME", "LOOKUP", "EXPIRES", "REVOKED"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.name.clone(),
            self.lookup.clone(),
            self.expires_at
                .map_or_else(|| "never".to_owned(), show_time),
            self.revoked_at.map_or_else(|| "-".to_owned(), show_time),
        ]
    }
}

fn record(key: &ApiKey) -> Vec<(&'static str, String)> {
    vec![
        ("id", key.id.to_string()),
        ("name", key.name.clone()),
        ("project", key.project_id.to_string()),
        ("scopes", names(key.scopes.as_deref().unwrap_or_default())),
        ("expires", show_optional_time(key.expires_at)),
        ("revoked", show_optional_time(key.revoked_at)),
        ("created", show_time(key.created_at)),
    ]
}
