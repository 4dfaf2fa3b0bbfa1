//! `headworks access …`

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use clap::{ArgGroup, Args, Subcommand};
use headworks_types::{AccessExplanation, Action, ApiKeyId, CameraId, Principal, UserId};

use super::{Noun, action};
use crate::{failure::Failure, output};

/// What to ask about access.
#[derive(Debug, Subcommand)]
pub(crate) enum AccessVerb {
    /// Say why a user or an API key may do something with a camera, or may not
    Explain(Explain),
}

/// What is to be explained.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("principal").required(true).args(["user", "api_key"])))]
pub(crate) struct Explain {
    /// Who: a user
    #[arg(long, value_name = "ID")]
    user: Option<UserId>,
    /// Who: an API key
    #[arg(long, value_name = "ID")]
    api_key: Option<ApiKeyId>,
    /// With which camera
    #[arg(long, value_name = "ID")]
    camera: CameraId,
    /// What
    #[arg(long, value_parser = action, default_value = "camera.view_live")]
    action: Action,
    /// As if from this address
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,
    /// As if at this time: 2026-11-27T22:00:00Z
    #[arg(long, value_name = "TIME")]
    at: Option<DateTime<Utc>>,
}

/// Does it.
pub(crate) async fn run(command: Noun<AccessVerb>) -> Result<(), Failure> {
    let client = command.api.client()?;
    let AccessVerb::Explain(ask) = command.verb;
    let user = ask.user.map(|id| Principal::User { id });
    let key = ask.api_key.map(|id| Principal::ApiKey { id });
    let principal = user
        .or(key)
        .ok_or_else(|| Failure::bug("the command line let nobody pass"))?;
    let mut call = client.access_explain(principal, ask.camera, ask.action);
    if let Some(address) = ask.from {
        call = call.from_address(address);
    }
    if let Some(time) = ask.at {
        call = call.at(time);
    }
    let answer = call.await?;
    if command.api.json {
        output::json(&answer)
    } else {
        output::line(&show(&answer))
    }
}

fn show(answer: &AccessExplanation) -> String {
    let mut lines = vec![answer.reason.clone()];
    for about in &answer.grants {
        let mark = if about.decides { "*" } else { " " };
        lines.push(format!("{mark} {} {}", about.grant.id, about.words));
    }
    lines.join("\n")
}
