//! A network of its own, with mounts of its own, for as long as this process lives.
//!
//! It has no name that another run could meet, and needs no cleaning up: a process that sleeps holds
//! it, which dies with us. The kernel then takes away its interfaces, rules, queues and mounts.

#![expect(unsafe_code, reason = "setns has no safe form in the standard library")]

use std::{
    fs::{self, File},
    io,
    os::fd::AsRawFd,
    path::Path,
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, bail};

use crate::{Place, Process, Signal, wait_until};

const START: Duration = Duration::from_secs(10);

/// A network namespace. Its processes must end before it is dropped, or they go on without anybody
/// who knows the way there.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    holder: Process,
    network: File,
}

impl Namespace {
    /// An empty one, but for its loopback. The name is for error messages.
    pub fn new(name: impl Into<String>) -> anyhow::Result<Self> {
        let name = name.into();
        let ours = fs::read_link("/proc/self/ns/mnt")?;
        let mut command = Command::new("unshare");
        command
            .args(["--net", "--mount", "--propagation", "private"])
            .args(["sleep", "infinity"]);
        let mut holder = Process::spawn(command, Signal::Kill, |_, _| {})?;
        let place = format!("/proc/{}/ns", holder.pid());
        let made = wait_until("the namespace is made", START, || {
            if holder.try_wait().is_some() {
                return Some(false);
            }
            // The network is changed before the mounts.
            let mounts = fs::read_link(Path::new(&place).join("mnt")).ok()?;
            (mounts != ours && is_asleep(holder.pid())).then_some(true)
        })?;
        if !made {
            bail!("no network of its own for {name}: {}", holder.tail().trim());
        }
        let network = File::open(Path::new(&place).join("net"))?;
        let namespace = Self {
            name,
            holder,
            network,
        };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// For programs that are to run in it.
    #[must_use]
    pub fn place(&self) -> Place {
        Place::of(self.holder.pid())
    }

    /// Runs `ip <words>` in it.
    pub fn ip(&self, words: &str) -> anyhow::Result<()> {
        self.run("ip", &words.split(' ').collect::<Vec<_>>())
            .map(drop)
    }

    /// Runs `tc <words>` in it.
    pub fn tc(&self, words: &str) -> anyhow::Result<()> {
        self.run("tc", &words.split(' ').collect::<Vec<_>>())
            .map(drop)
    }

    /// Gives `nft` this script.
    pub fn nft(&self, script: &str) -> anyhow::Result<String> {
        self.run("nft", &["--json", script])
    }

    /// Runs a program in it to its end, and gives what it prints.
    pub fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = self.place().command(program);
        let output = command
            .args(arguments)
            .output()
            .with_context(|| format!("run {program}"))?;
        if !output.status.success() {
            bail!(
                "{}: {program} {}: {}",
                self.name,
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Joins it with `other` by a wire, whose ends have these names.
    pub fn wire(&self, end: &str, other: &Self, other_end: &str) -> anyhow::Result<()> {
        let holder = other.holder.pid();
        self.ip(&format!(
            "link add {end} type veth peer name {other_end} netns {holder}"
        ))?;
        self.ip(&format!("link set {end} up"))?;
        other.ip(&format!("link set {other_end} up"))
    }

    /// Starts a thread whose sockets are in it. It does nothing if it cannot get there.
    pub fn spawn(&self, work: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
        let network = self.network.try_clone()?;
        let (told, heard) = mpsc::channel();
        thread::spawn(move || {
            let entered = enter(&network);
            let is_in = entered.is_ok();
            let _ = told.send(entered);
            if is_in {
                work();
            }
        });
        heard.recv()?.context("enter a network namespace")
    }

    /// Does something in a thread whose sockets are in it, and waits.
    pub fn with<T: Send>(&self, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        thread::scope(|scope| {
            let thread = scope.spawn(|| enter(&self.network).map(|()| work()));
            match thread.join() {
                Ok(done) => done.context("enter a network namespace"),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

/// True when `unshare` has become `sleep`.
fn is_asleep(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "sleep")
}

/// Moves this thread there.
fn enter(network: &File) -> io::Result<()> {
    // SAFETY: setns takes two integers and touches no memory; the descriptor is open.
    match unsafe { libc::setns(network.as_raw_fd(), libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
