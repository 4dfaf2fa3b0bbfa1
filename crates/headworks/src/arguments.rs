//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::operator::{
    Noun, api_key::ApiKeyVerb, camera::CameraVerb, grant::GrantVerb, join_token::JoinTokenVerb,
    node::NodeVerb, restream::RestreamVerb, sign_in::SignInArguments, stream_key::StreamKeyVerb,
    token::TokenVerb, user::UserVerb, user_group::UserGroupVerb,
};

/// Headworks: a control plane for live video, and the media engine that it manages.
#[derive(Debug, Parser)]
#[command(name = "headworks", version, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in one process: controller, one edge and a private PostgreSQL
    Up(UpArguments),
    /// Run a controller
    Controller(ServeArguments),
    /// Run an edge node
    Edge(ServeArguments),
    /// Cameras: what is watched
    Camera(Noun<CameraVerb>),
    /// Stream keys: how encoders publish cameras
    StreamKey(Noun<StreamKeyVerb>),
    /// Restreams: pushes of cameras to other people's servers
    Restream(Noun<RestreamVerb>),
    /// Users: the people who watch
    User(Noun<UserVerb>),
    /// User groups: people who may do the same
    UserGroup(Noun<UserGroupVerb>),
    /// Sign in with email and password: prints tokens, keeps nothing
    SignIn(SignInArguments),
    /// API keys: how programs and operators sign in
    ApiKey(Noun<ApiKeyVerb>),
    /// Grants: who may do what
    Grant(Noun<GrantVerb>),
    /// Playback tokens: what players carry
    Token(Noun<TokenVerb>),
    /// Nodes: the running edges
    Node(Noun<NodeVerb>),
    /// Join tokens: how an edge becomes a node
    JoinToken(Noun<JoinTokenVerb>),
    /// Print the description of the API
    #[command(hide = true)]
    Openapi(OpenapiArguments),
}

/// `headworks up`
#[derive(Debug, Args)]
pub(crate) struct UpArguments {
    /// Where everything is kept [default: /var/lib/headworks as root, else
    /// $XDG_DATA_HOME/headworks]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// When ready, print one line of JSON: {"api", "admin_key" (first start only), "http"}
    #[arg(long)]
    pub(crate) json: bool,
}

/// `headworks controller` and `headworks edge`
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Configuration file (TOML); knobs may also be variables such as HEADWORKS__EDGE__NAME
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// `headworks openapi`
#[derive(Debug, Args)]
pub(crate) struct OpenapiArguments {
    /// The edges' API instead of everybody's
    #[arg(long)]
    pub(crate) edge: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
