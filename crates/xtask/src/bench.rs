//! `cargo xtask bench`: what things cost, beside a measure from the same run.

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

use anyhow::bail;

use crate::{cargo, setup};

const USAGE: &str = "\
usage: cargo xtask bench fanout [--mbit N]… [--viewers N] [--rounds N] [--seconds N] [--only NAME]…
       cargo xtask bench ingest [--rounds N] [--seconds N]
       cargo xtask bench stalled [--minutes N]
       cargo xtask bench all
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
        "ingest" => {
            let options = ingest::Options::parse(rest)?;
            report("ingest", write, &ingest::run(&options, &build()?)?)
        }
        "stalled" => {
            let minutes = stalled::parse(rest)?;
            report("stalled", write, &stalled::run(minutes, &build()?)?)
        }
        "all" if rest.is_empty() => everything(write),
        _ => bail!("{USAGE}"),
    }
}

/// All figures of `README.md`.
fn everything(write: bool) -> anyhow::Result<()> {
    let binary = build()?;
    let options = ingest::Options::parse(&[])?;
    report("ingest", write, &ingest::run(&options, &binary)?)?;
    let options = fanout::Options::parse(&[])?;
    report("fanout", write, &fanout::run(&options, &binary)?)?;
    let many = ["--mbit", "1", "--viewers", "1000", "--rounds", "3"];
    let options = fanout::Options::parse(&many)?;
    report("fanout-1000", write, &fanout::run(&options, &binary)?)?;
    let minutes = stalled::parse(&[])?;
    report("stalled", write, &stalled::run(minutes, &binary)?)
}

fn report(name: &str, write: bool, figures: &str) -> anyhow::Result<()> {
    println!("\n{figures}");
    if write {
        readme::write(name, figures)?;
    }
    Ok(())
}

/// Everything as users run it. The measuring processes are us, and should not cost more than they
/// must.
fn build() -> anyhow::Result<PathBuf> {
    setup::packages()?;
    let binary = cargo::build_headworks(true)?;
    let release = ["build", "--package", "xtask", "--release"];
    cargo::run(&mut cargo::cargo(&release))?;
    Ok(binary)
}
