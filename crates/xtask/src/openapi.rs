//! The API documents in `openapi/`: generated from the routes, committed, compared.

use std::fs;

use anyhow::{Context, bail};
use headworks_testkit::tool;

use crate::cargo;

/// The files, and what the binary is asked for each.
const DOCUMENTS: [(&str, &[&str]); 2] = [
    ("openapi/headworks.json", &["openapi"]),
    ("openapi/edge.json", &["openapi", "--edge"]),
];

/// Writes the documents.
pub(crate) fn write() -> anyhow::Result<()> {
    for (file, arguments) in DOCUMENTS {
        let path = tool::workspace().join(file);
        fs::write(&path, generate(arguments)?).with_context(|| format!("write {file}"))?;
        println!("openapi: wrote {file}");
    }
    Ok(())
}

/// Fails if the committed documents are not what the routes say.
pub(crate) fn check() -> anyhow::Result<()> {
    for (file, arguments) in DOCUMENTS {
        let committed = fs::read(tool::workspace().join(file)).unwrap_or_default();
        if committed != generate(arguments)? {
            bail!("{file} is not up to date: run `cargo xtask openapi` and commit it");
        }
    }
    println!("openapi: the documents are up to date");
    Ok(())
}

fn generate(arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
    let binary = ["run", "--quiet", "--package", "headworks", "--"];
    let output = cargo::cargo_offline_sql(&[&binary, arguments].concat())
        .output()
        .context("run headworks openapi")?;
    if !output.status.success() {
        bail!(
            "headworks openapi failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(output.stdout)
}
