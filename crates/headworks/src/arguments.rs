//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::operator::{
    Api, EarlyApi, Noun, access::AccessVerb, api_key::ApiKeyVerb, audit::AuditVerb, auth::AuthVerb,
    camera::CameraVerb, camera_group::CameraGroupVerb, cluster::ClusterVerb, event::EventVerb,
    grant::GrantVerb, join_token::JoinTokenVerb, node::NodeVerb, plan::PlanVerb,
    playback::PlaybackArguments, playback_key::PlaybackKeyVerb, project::ProjectVerb,
    restream::RestreamVerb, role::RoleVerb, session::SessionVerb, sign_in::SignInArguments,
    signing_key::SigningKeyVerb, slot::SlotVerb, stream_key::StreamKeyVerb, token::TokenVerb,
    user::UserVerb, user_group::UserGroupVerb,
};

/// Headworks: a control plane for live video, and the media engine that it manages.
#[derive(Debug, Parser)]
#[command(name = "headworks", version, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) api: EarlyApi,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Arguments {
    /// The command, with what was said before it. `None` if it has no use for that.
    pub(crate) fn into_command(self) -> Option<Command> {
        let Self { api, mut command } = self;
        match command.api() {
            Some(own) => own.or(api),
            None if api == EarlyApi::default() => {}
            None => return None,
        }
        Some(command)
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in one process: controller, one edge and a private PostgreSQL
    Up(UpArguments),
    /// Run a controller
    Controller(ControllerArguments),
    /// Run an edge node
    Edge(ServeArguments),
    /// Cameras: what is watched
    Camera(Noun<CameraVerb>),
    /// Camera groups: the tree that cameras hang in
    CameraGroup(Noun<CameraGroupVerb>),
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
    /// Being signed in: whose a credential is, refreshing, signing out, passwords
    Auth(Noun<AuthVerb>),
    /// API keys: how programs and operators sign in
    ApiKey(Noun<ApiKeyVerb>),
    /// Roles: named sets of actions
    Role(Noun<RoleVerb>),
    /// Grants: who may do what
    Grant(Noun<GrantVerb>),
    /// Access: why somebody may do something, or may not
    Access(Noun<AccessVerb>),
    /// Where to watch a camera best: prints addresses, the best edge first
    Playback(PlaybackArguments),
    /// Playback tokens: what players carry
    Token(Noun<TokenVerb>),
    /// Playback keys: your own keys, whose playback tokens count
    PlaybackKey(Noun<PlaybackKeyVerb>),
    /// The cluster: its health, and the brake
    Cluster(Noun<ClusterVerb>),
    /// Slots: what work there is, who does it, and how it goes
    Slot(Noun<SlotVerb>),
    /// Sessions: who watches now
    Session(Noun<SessionVerb>),
    /// The audit log: who did or saw what, or was refused
    Audit(Noun<AuditVerb>),
    /// Events: what happened, in order
    Event(Noun<EventVerb>),
    /// Signing keys: what playback tokens are signed with
    SigningKey(Noun<SigningKeyVerb>),
    /// Projects: tenants, each with its own cameras and people
    Project(Noun<ProjectVerb>),
    /// Nodes: the running edges
    Node(Noun<NodeVerb>),
    /// Plans: what a change would move
    Plan(Noun<PlanVerb>),
    /// Join tokens: how an edge becomes a node
    JoinToken(Noun<JoinTokenVerb>),
    /// Print the description of the API
    #[command(hide = true)]
    Openapi(OpenapiArguments),
}

impl Command {
    /// Which API an operator's command uses.
    fn api(&mut self) -> Option<&mut Api> {
        match self {
            Self::Up(_) | Self::Controller(_) | Self::Edge(_) | Self::Openapi(_) => None,
            Self::Camera(noun) => Some(&mut noun.api),
            Self::CameraGroup(noun) => Some(&mut noun.api),
            Self::StreamKey(noun) => Some(&mut noun.api),
            Self::Restream(noun) => Some(&mut noun.api),
            Self::User(noun) => Some(&mut noun.api),
            Self::UserGroup(noun) => Some(&mut noun.api),
            Self::SignIn(arguments) => Some(&mut arguments.api),
            Self::Auth(noun) => Some(&mut noun.api),
            Self::ApiKey(noun) => Some(&mut noun.api),
            Self::Role(noun) => Some(&mut noun.api),
            Self::Grant(noun) => Some(&mut noun.api),
            Self::Access(noun) => Some(&mut noun.api),
            Self::Playback(arguments) => Some(&mut arguments.api),
            Self::Token(noun) => Some(&mut noun.api),
            Self::PlaybackKey(noun) => Some(&mut noun.api),
            Self::Session(noun) => Some(&mut noun.api),
            Self::Cluster(noun) => Some(&mut noun.api),
            Self::Slot(noun) => Some(&mut noun.api),
            Self::Audit(noun) => Some(&mut noun.api),
            Self::Event(noun) => Some(&mut noun.api),
            Self::Project(noun) => Some(&mut noun.api),
            Self::SigningKey(noun) => Some(&mut noun.api),
            Self::Node(noun) => Some(&mut noun.api),
            Self::Plan(noun) => Some(&mut noun.api),
            Self::JoinToken(noun) => Some(&mut noun.api),
        }
    }
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
    /// Make a new admin key and print it, if all others are lost; those still work until they are
    /// revoked
    #[arg(long)]
    pub(crate) new_admin_key: bool,
    /// When ready, print one line of JSON: {"api", "edge_api", "admin_key" (if it is new), "http"}
    #[arg(long)]
    pub(crate) json: bool,
}

/// `headworks controller`
#[derive(Debug, Args)]
pub(crate) struct ControllerArguments {
    #[command(flatten)]
    pub(crate) serve: ServeArguments,
    /// Make a new admin key and print it, if all others are lost; those still work until they are
    /// revoked
    #[arg(long)]
    pub(crate) new_admin_key: bool,
    #[command(subcommand)]
    pub(crate) verb: Option<ControllerVerb>,
}

/// What to do instead of running a controller.
#[derive(Debug, Subcommand)]
pub(crate) enum ControllerVerb {
    /// Seal all secrets in the database anew with the present master key
    Reseal {
        /// File with the master key before; default: controller.second_master_key
        #[arg(long, value_name = "FILE")]
        old_master_key_file: Option<PathBuf>,
    },
}
/// `headworks controller` and `headworks edge`
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Configuration file (TOML); knobs may also be variables such as HEADWORKS__EDGE__NAME
    #[arg(long, global = true, value_name = "FILE")]
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

    #[test]
    fn the_api_is_named_before_or_behind_the_command() {
        for line in [
            "headworks --api http://a camera list",
            "headworks camera --api http://a list",
            "headworks camera list --api http://a",
            "headworks --api http://b camera list --api http://a",
        ] {
            let parsed = Arguments::try_parse_from(line.split(' ')).expect("parses");
            let Some(Command::Camera(noun)) = parsed.into_command() else {
                panic!("{line}");
            };
            let shown = format!("{:?}", noun.api);
            assert!(shown.contains("\"a\""), "{line}: {shown}");
        }
        let up = Arguments::try_parse_from(["headworks", "--json", "up"]).expect("parses");
        assert!(up.into_command().is_none());
        let up = Arguments::try_parse_from(["headworks", "up", "--json"]).expect("parses");
        assert!(matches!(up.into_command(), Some(Command::Up(up)) if up.json));
    }
}
