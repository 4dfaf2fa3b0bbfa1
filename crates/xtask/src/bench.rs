//! `cargo xtask bench`: what things cost, beside a measure from the same run.

mod access;
mod bare_tcp;
mod bare_udp;
mod clip;
mod clock;
mod edge;
mod fanout;
mod ingest;
mod machine;
mod nginx;
mod part;
mod profile;
mod readme;
mod rtsp;
mod servers;
mod source;
mod stalled;
mod stamp;
mod statistics;
mod usage;
mod viewers;

use std::path::PathBuf;

use anyhow::{bail, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::{cargo, setup};

const USAGE: &str = "\
usage: cargo xtask bench fanout [--mbit N]… [--viewers N] [--rounds N] [--seconds N] [--only NAME]…
       cargo xtask bench fanout-1000 [as fanout; 1,000 viewers of 1 Mbit/s]
       cargo xtask bench profile [as fanout, without rounds]
       cargo xtask bench ingest [--rounds N] [--seconds N]
       cargo xtask bench stalled [--minutes N]
       cargo xtask bench access
       cargo xtask bench all [--rounds N] [--seconds N]
With --write, the figures go into crates/xtask/src/bench/README.md as well.";

/// Runs a benchmark, or one of the processes that a benchmark starts.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    if let ["part", part @ ..] = arguments {
        return part::run(part);
    }
    let write = arguments.contains(&"--write");
    let others: Vec<&str> = arguments
        .iter()
        .copied()
        .filter(|argument| *argument != "--write")
        .collect();
    let [name, rest @ ..] = &others[..] else {
        bail!("{USAGE}");
    };
    match *name {
        "fanout" => {
            let options = fanout::Options::parse(rest)?;
            report("fanout", write, &fanout::run(&options, &build()?)?)
        }
        "fanout-1000" => {
            let options = a_thousand(rest)?;
            report("fanout-1000", write, &fanout::run(&options, &build()?)?)
        }
        "profile" => {
            let options = fanout::Options::parse(rest)?;
            report("profile", false, &profile::run(&options, &build()?)?)
        }
        "ingest" => {
            let options = ingest::Options::parse(rest)?;
            report("ingest", write, &ingest::run(&options, &build()?)?)
        }
        "stalled" => {
            let minutes = stalled::parse(rest)?;
            report("stalled", write, &stalled::run(minutes, &build()?)?)
        }
        "access" => report("access", write, &access::run()?),
        "all" => everything(rest, write),
        _ => bail!("{USAGE}"),
    }
}

/// All figures of `README.md`. `size` is how many rounds of how many seconds `fanout` has.
fn everything(size: &[&str], write: bool) -> anyhow::Result<()> {
    let usual = fanout::Options::parse(size)?;
    let many = a_thousand(size)?;
    let binary = build()?;
    let options = ingest::Options::parse(&[])?;
    let minutes = stalled::parse(&[])?;
    // What one demand says is no reason to leave out the others.
    let reports = [
        report("access", write, &access::run()?),
        report("ingest", write, &ingest::run(&options, &binary)?),
        report("fanout", write, &fanout::run(&usual, &binary)?),
        report("fanout-1000", write, &fanout::run(&many, &binary)?),
        report("stalled", write, &stalled::run(minutes, &binary)?),
    ];
    reports.into_iter().collect()
}

/// The fan-out to a thousand viewers.
fn a_thousand(size: &[&str]) -> anyhow::Result<fanout::Options> {
    fanout::Options::parse(&[size, &["--mbit", "1", "--viewers", "1000"]].concat())
}

fn report(name: &str, write: bool, figures: &str) -> anyhow::Result<()> {
    println!("\n{figures}");
    if write {
        readme::write(name, figures)?;
    }
    ensure!(
        !figures.contains(machine::NOT_MET),
        "{name}: a demand is not met"
    );
    Ok(())
}

/// Everything as users run it. The measuring processes are us, and should not cost more than they
/// must.
fn build() -> anyhow::Result<PathBuf> {
    // A thousand viewers over UDP have five thousand sockets; children inherit the limit.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    setup::packages()?;
    let binary = cargo::build_headworks(true)?;
    let release = ["build", "--package", "xtask", "--release"];
    cargo::run(&mut cargo::cargo(&release))?;
    Ok(binary)
}
