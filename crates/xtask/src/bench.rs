//! `cargo xtask bench`: what things cost, beside a measure from the same run.

mod bare;
mod fanout;
mod viewers;

use anyhow::bail;

/// Runs a benchmark, or one of the processes that a benchmark starts.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    match arguments {
        ["fanout", rest @ ..] => fanout::run(rest),
        ["part", "viewers", plan] => viewers::run(plan),
        ["part", "bare", url] => bare::run(url),
        _ => bail!("usage: cargo xtask bench fanout [--rounds N] [--seconds N] [--viewers N]"),
    }
}
