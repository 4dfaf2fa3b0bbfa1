//! Runs the tests on a database of their own.

use std::{
    io::{BufRead, BufReader, IsTerminal, Write},
    process::Stdio,
};

use anyhow::{Context, bail};

use crate::{cargo, database, setup};

/// Runs `cargo test` with `arguments`, on the whole workspace unless they choose packages.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    setup::packages()?;
    setup::modern_ffmpeg()?;
    setup::node_packages()?;
    // The end-to-end tests run the binary, which `cargo test` alone does not build. One build of
    // all targets has the features of all, so that nothing is compiled twice.
    cargo::run(&mut cargo::cargo_offline_sql(&[
        "build",
        "--workspace",
        "--all-targets",
    ]))?;
    let server = database::start()?;
    let mut command = cargo::cargo_offline_sql(&["test", "--no-fail-fast"]);
    if std::io::stdout().is_terminal() {
        command.args(["--color", "always"]);
    }
    let chooses = |word: &&str| word.starts_with("-p") || word.starts_with("--package");
    if !arguments.iter().any(chooses) {
        command.arg("--workspace");
    }
    let mut child = command
        .args(arguments)
        .env("DATABASE_URL", server.url())
        .env("HEADWORKS_BIN", cargo::target().join("debug/headworks"))
        .env("RUST_TEST_THREADS", threads())
        .stdout(Stdio::piped())
        .spawn()
        .context("run cargo test")?;
    let mut sum = Sum::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line?;
            sum.take(&String::from_utf8_lossy(&line));
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(&line)?;
            stdout.write_all(b"\n")?;
        }
    }
    let status = child.wait()?;
    println!(
        "{} passed, {} failed, {} skipped",
        sum.passed, sum.failed, sum.ignored
    );
    if !status.success() {
        bail!("cargo test failed ({status})");
    }
    Ok(())
}

/// Tests with real cameras mostly wait, so more of them than processors run at once.
fn threads() -> String {
    let chosen = std::env::var("RUST_TEST_THREADS");
    chosen.unwrap_or_else(|_| {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        (2 * processors).to_string()
    })
}

/// What all the test programs did together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    passed: u32,
    failed: u32,
    ignored: u32,
}

impl Sum {
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; …`, perhaps in colours.
    fn take(&mut self, line: &str) {
        let Some((_, result)) = line.split_once("test result: ") else {
            return;
        };
        for part in result.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(count), Some(what)) = (words.next(), words.next()) else {
                continue;
            };
            let count: u32 = count.parse().unwrap_or(0);
            match what {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.ignored += count,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_added_up() {
        let mut sum = Sum::default();
        for line in [
            "running 4 tests",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: \u{1b}[31mFAILED\u{1b}[m. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out",
        ] {
            sum.take(line);
        }
        assert_eq!(
            sum,
            Sum {
                passed: 5,
                failed: 1,
                ignored: 1
            }
        );
    }
}
