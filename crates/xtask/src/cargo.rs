//! Runs cargo and other programs in the workspace, with their output on ours.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, bail};
use headworks_testkit::tool;

/// `cargo`, the one that runs us.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.current_dir(tool::workspace()).args(arguments);
    command
}

/// `cargo` for building: queries are checked against `.sqlx`, not against a database.
pub(crate) fn cargo_offline_sql(arguments: &[&str]) -> Command {
    let mut command = cargo(arguments);
    command.env("SQLX_OFFLINE", "true");
    command
}

/// Runs a command to its end; an error unless it succeeds.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let name = name.rsplit('/').next().unwrap_or_default().to_owned();
    let first = command
        .get_args()
        .next()
        .map(|a| a.to_string_lossy().into_owned());
    let status = command.status().with_context(|| format!("run {name}"))?;
    if !status.success() {
        bail!("{name} {} failed ({status})", first.unwrap_or_default());
    }
    Ok(())
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    let tools = tool::directory();
    tools.parent().map_or_else(|| tools.clone(), PathBuf::from)
}

/// Builds the `headworks` binary.
pub(crate) fn build_headworks(release: bool) -> anyhow::Result<PathBuf> {
    let mut build = cargo_offline_sql(&["build", "--package", "headworks"]);
    if release {
        build.arg("--release");
    }
    run(&mut build)?;
    let profile = if release { "release" } else { "debug" };
    Ok(target().join(profile).join("headworks"))
}
