//! The headworks binary: `up` (everything in one process), `controller`, `edge`, and the
//! operator's commands.
//!
//! What a command is asked for goes to stdout, everything else to stderr. Exit codes: 0 done,
//! 1 the user can do something about it, 2 usage, 70 a bug.

mod arguments;
mod failure;
mod operator;
mod output;
mod serve;
mod settings;
mod stop;
mod up;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
};

use clap::Parser as _;

use arguments::{Arguments, Command, OpenapiArguments};
use failure::Failure;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match catch_unwind(AssertUnwindSafe(|| run(arguments))) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => failure.report(),
        Err(_) => Failure::bug("this is a bug in Headworks; what happened stands above").report(),
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let command = arguments.into_command().ok_or_else(|| {
        Failure::user(
            "this command uses no API: --api, --key, --key-file and --json before it mean nothing",
        )
    })?;
    match command {
        Command::Openapi(arguments) => openapi(&arguments),
        command => tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(Failure::from_error)?
            .block_on(dispatch(command)),
    }
}

async fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Up(arguments) => Box::pin(up::run(arguments)).await,
        Command::Controller(arguments) => Box::pin(serve::controller(&arguments)).await,
        Command::Edge(arguments) => Box::pin(serve::edge(&arguments)).await,
        Command::Camera(command) => operator::camera::run(command).await,
        Command::StreamKey(command) => operator::stream_key::run(command).await,
        Command::Restream(command) => Box::pin(operator::restream::run(command)).await,
        Command::User(command) => operator::user::run(command).await,
        Command::UserGroup(command) => operator::user_group::run(command).await,
        Command::SignIn(arguments) => operator::sign_in::run(arguments).await,
        Command::Auth(command) => operator::auth::run(command).await,
        Command::ApiKey(command) => operator::api_key::run(command).await,
        Command::Grant(command) => operator::grant::run(command).await,
        Command::Access(command) => operator::access::run(command).await,
        Command::Role(command) => operator::role::run(command).await,
        Command::CameraGroup(command) => operator::camera_group::run(command).await,
        Command::Playback(arguments) => operator::playback::run(arguments).await,
        Command::Token(command) => operator::token::run(command).await,
        Command::PlaybackKey(command) => operator::playback_key::run(command).await,
        Command::Cluster(command) => operator::cluster::run(command).await,
        Command::Slot(command) => operator::slot::run(command).await,
        Command::Session(command) => operator::session::run(command).await,
        Command::Audit(command) => operator::audit::run(command).await,
        Command::Event(command) => operator::event::run(command).await,
        Command::Project(command) => operator::project::run(command).await,
        Command::SigningKey(command) => operator::signing_key::run(command).await,
        Command::Node(command) => Box::pin(operator::node::run(command)).await,
        Command::Plan(command) => operator::plan::run(command).await,
        Command::JoinToken(command) => operator::join_token::run(command).await,
        Command::Openapi(arguments) => openapi(&arguments),
    }
}

/// The description of the API, as it is committed.
fn openapi(arguments: &OpenapiArguments) -> Result<(), Failure> {
    output::json(&if arguments.edge {
        headworks_controller::edge_openapi()
    } else {
        headworks_controller::openapi()
    })
}
