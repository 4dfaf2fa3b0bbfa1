//! `headworks grant …`

use clap::{ArgGroup, Args, Subcommand};
use headworks_types::{
    Action, ApiKeyId, CameraId, Grant, GrantCreate, GrantId, GrantObject, Principal, ProjectId,
    UserId,
};

use super::{Noun, show_time};
use crate::{
    failure::Failure,
    output::{self, Row},
};

/// What to do with grants.
#[derive(Debug, Subcommand)]
pub(crate) enum GrantVerb {
    /// Allow somebody something
    Create(Create),
    /// List grants
    List,
    /// Take a grant back
    Delete {
        /// The grant's id
        id: GrantId,
    },
}

/// A grant to be.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("principal").required(true).args(["user", "api_key"])))]
#[command(group(ArgGroup::new("object").required(true).args(["camera", "project", "cluster"])))]
pub(crate) struct Create {
    /// Who: a user
    #[arg(long, value_name = "ID")]
    user: Option<UserId>,
    /// Who: an API key
    #[arg(long, value_name = "ID")]
    api_key: Option<ApiKeyId>,
    /// On what: one camera
    #[arg(long, value_name = "ID")]
    camera: Option<CameraId>,
    /// On what: a project and everything in it
    #[arg(long, value_name = "ID")]
    project: Option<ProjectId>,
    /// On what: the whole cluster
    #[arg(long)]
    cluster: bool,
    /// May do what; may be given several times
    #[arg(
        long, value_name = "ACTION", value_parser = action,
        default_value = "camera.view_live"
    )]
    action: Vec<Action>,
}

impl Create {
    fn into_grant(self) -> Option<GrantCreate> {
        let user = self.user.map(|id| Principal::User { id });
        let key = self.api_key.map(|id| Principal::ApiKey { id });
        let camera = self.camera.map(|id| GrantObject::Camera { id });
        let project = self.project.map(|id| GrantObject::Project { id });
        let cluster = self.cluster.then_some(GrantObject::Cluster);
        Some(GrantCreate {
            principal: user.or(key)?,
            object: camera.or(project).or(cluster)?,
            actions: self.action,
        })
    }
}

fn action(text: &str) -> Result<Action, String> {
    Action::from_name(text).ok_or_else(|| {
        let names: Vec<_> = Action::ALL.into_iter().map(Action::as_str).collect();
        format!("expected one of {}", names.join(", "))
    })
}

/// Does it.
pub(crate) async fn run(command: Noun<GrantVerb>) -> Result<(), Failure> {
    let client = command.api.client()?;
    let json = command.api.json;
    match command.verb {
        GrantVerb::Create(create) => {
            let grant = create
                .into_grant()
                .ok_or_else(|| Failure::bug("the command line let an incomplete grant pass"))?;
            output::one(&client.grant_create(&grant).await?, json, record)
        }
        GrantVerb::List => output::list(&client.grant_list().limit(1000).all().await?, json),
        GrantVerb::Delete { id } => Ok(client.grant_delete(id).await?),
    }
}

impl Row for Grant {
    const COLUMNS: &'static [&'static str] = &["ID", "WHO", "ON", "MAY"];

    fn cells(&self) -> Vec<String> {
        vec![self.id.to_string(), who(self), on(self), may(self)]
    }
}

fn record(grant: &Grant) -> Vec<(&'static str, String)> {
    vec![
        ("id", grant.id.to_string()),
        ("who", who(grant)),
        ("on", on(grant)),
        ("may", may(grant)),
        ("created", show_time(grant.created_at)),
    ]
}

fn who(grant: &Grant) -> String {
    match grant.principal {
        Principal::User { id } => id.to_string(),
        Principal::ApiKey { id } => id.to_string(),
    }
}

fn on(grant: &Grant) -> String {
    match grant.object {
        GrantObject::Camera { id } => id.to_string(),
        GrantObject::Project { id } => id.to_string(),
        GrantObject::Cluster => "the cluster".to_owned(),
    }
}

fn may(grant: &Grant) -> String {
    let names: Vec<_> = grant.actions.iter().map(|action| action.as_str()).collect();
    names.join(",")
}
