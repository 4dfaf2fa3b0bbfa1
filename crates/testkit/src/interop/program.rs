//! What all the foreign programs need.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Command,
};

use anyhow::{Context, bail};

/// `program`, or as somebody who is not root, for programs that refuse to be.
pub(super) fn not_as_root(program: &str) -> anyhow::Result<Command> {
    let is_root = fs::metadata("/proc/self").context("look at /proc")?.uid() == 0;
    if !is_root {
        return Ok(Command::new(program));
    }
    let mut command = Command::new("setpriv");
    // The death signal does not survive the change of the user.
    command
        .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"])
        .args(["--pdeathsig", "KILL", program])
        .env("HOME", "/tmp")
        .env("XDG_RUNTIME_DIR", "/tmp");
    Ok(command)
}

/// A port that was free a moment ago, for programs that cannot choose one by themselves.
pub(super) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Lets everybody read and write it.
pub(super) fn readable(path: &Path) -> anyhow::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))
        .with_context(|| format!("open {} for everybody", path.display()))
}

/// Makes a pipe with a name, which a program takes for a file.
pub(super) fn make_pipe(path: &Path) -> anyhow::Result<()> {
    let made = Command::new("mkfifo").arg(path).status();
    if !made.context("run mkfifo")?.success() {
        bail!("cannot make the pipe {}", path.display());
    }
    readable(path)
}

/// Joins GStreamer's words to a command.
pub(super) fn gst(pipeline: &str) -> Command {
    let mut command = Command::new("gst-launch-1.0");
    command
        .arg("--quiet")
        .args(pipeline.split_whitespace())
        .env("GST_REGISTRY_FORK", "no");
    command
}
