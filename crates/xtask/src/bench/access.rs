//! What a page of cameras costs for somebody with a thousand grants: a test of the controller
//! measures that, since it is about the controller's own queries.

use std::process::Stdio;

use anyhow::{Context, bail};

use super::machine;
use crate::{cargo, database};

const TEST: &str = "app::access::tests::speed::a_page_takes_less_than_20_ms";

/// The test's figures.
pub(super) fn run() -> anyhow::Result<String> {
    let server = database::start()?;
    let test = [
        "test",
        "--release",
        "--package",
        "headworks-controller",
        "--lib",
    ];
    let output = cargo::cargo_offline_sql(&[&test[..], &["--", TEST]].concat())
        .args(["--exact", "--ignored", "--nocapture"])
        .env("DATABASE_URL", server.url())
        .stderr(Stdio::piped())
        .output()
        .context("run cargo test")?;
    let text = String::from_utf8_lossy(&output.stderr);
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| ")).collect();
    if !output.status.success() || rows.is_empty() {
        bail!("{text}");
    }
    let head = "| grants | cameras on the page | controller | PostgreSQL | both |";
    let rule = "| --- | --- | --- | --- | --- |";
    Ok(format!(
        "{}{head}\n{rule}\n{}",
        machine::line(),
        rows.join("\n")
    ))
}
