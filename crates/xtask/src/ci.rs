//! Every check, as CI runs them: the one list.

use headworks_testkit::Stopwatch;

use crate::{cargo, chaos, demo, deps, fuzz, openapi, schemathesis, setup, sqlx, test};

type Step = (&'static str, fn() -> anyhow::Result<()>);

const STEPS: [Step; 13] = [
    ("setup", setup::everything),
    ("fmt", fmt),
    ("deps", deps::check),
    ("deny", deny),
    ("clippy", clippy),
    ("doc", doc),
    ("sqlx", sqlx::check),
    ("fuzz --check", || fuzz::run(&["--check"])),
    ("test", || test::run(&[])),
    ("openapi", openapi::check),
    ("schemathesis", schemathesis::run),
    ("demo --check", demo::check::run),
    ("chaos", chaos::quick),
];

/// Runs all steps, also after one has failed, and sums up.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut results = Vec::new();
    for (name, step) in STEPS {
        println!("\n━━ {name} ━━");
        let watch = Stopwatch::start();
        let result = step();
        if let Err(error) = &result {
            println!("{name} failed: {error:#}");
        }
        results.push((name, watch.elapsed(), result));
    }
    println!("\n━━ summary ━━");
    for (name, time, result) in &results {
        let mark = if result.is_ok() { "✓" } else { "✗" };
        println!("{mark} {name:<14} {:>6.1} s", time.as_secs_f32());
    }
    let failed: Vec<_> = results
        .iter()
        .filter(|(_, _, result)| result.is_err())
        .map(|(name, _, _)| *name)
        .collect();
    anyhow::ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

fn fmt() -> anyhow::Result<()> {
    cargo::run(&mut cargo::cargo(&["fmt", "--all", "--check"]))
}

/// Licences, duplicate and banned crates, sources. Known vulnerabilities are another command,
/// `cargo deny check advisories`, since their database comes over the network.
fn deny() -> anyhow::Result<()> {
    let binary = setup::cargo_deny()?;
    let mut command = std::process::Command::new(binary);
    command
        .current_dir(headworks_testkit::tool::workspace())
        .args(["--log-level", "warn", "check", "--hide-inclusion-graph"])
        .args(["bans", "licenses", "sources"]);
    cargo::run(&mut command)
}

fn clippy() -> anyhow::Result<()> {
    cargo::run(
        cargo::cargo_offline_sql(&["clippy", "--workspace", "--all-targets", "--quiet"])
            .args(["--", "-D", "warnings"]),
    )
}

fn doc() -> anyhow::Result<()> {
    cargo::run(
        cargo::cargo_offline_sql(&["doc", "--workspace", "--no-deps", "--quiet"])
            .args(["--document-private-items"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}
