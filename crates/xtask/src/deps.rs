//! Who may depend on whom: the arrows of the design, checked.

use std::collections::BTreeSet;

use anyhow::{Context, bail};

use crate::cargo;

/// One crate and what it may use.
#[derive(Clone, Copy)]
struct Rule {
    package: &'static str,
    /// Other crates of the workspace, in what is shipped.
    uses: &'static [&'static str],
    /// Whether it may use the asynchronous runtime.
    tokio: bool,
    /// Whether it may talk to the database.
    sqlx: bool,
}

const fn rule(package: &'static str, uses: &'static [&'static str]) -> Rule {
    Rule {
        package,
        uses,
        tokio: false,
        sqlx: false,
    }
}

const fn with_tokio(rule: Rule) -> Rule {
    Rule {
        tokio: true,
        ..rule
    }
}

const fn with_sqlx(rule: Rule) -> Rule {
    Rule { sqlx: true, ..rule }
}

/// Controller and edge never use each other: they meet in `types` and over HTTP.
const RULES: &[Rule] = &[
    rule("headworks-types", &[]),
    rule("headworks-planner", &["headworks-types"]),
    rule("headworks-duty", &["headworks-types"]),
    rule("headworks-media", &[]),
    rule("headworks-hls", &["headworks-media"]),
    rule("headworks-rtmp", &[]),
    rule("headworks-rtp", &["headworks-media"]),
    rule("headworks-rtsp", &[]),
    rule("headworks-postgres", &[]),
    with_tokio(rule("headworks-client", &["headworks-types"])),
    with_tokio(rule("headworks-bootstrap", &["headworks-types"])),
    with_sqlx(with_tokio(rule(
        "headworks-controller",
        &[
            "headworks-types",
            "headworks-duty",
            "headworks-planner",
            "headworks-bootstrap",
        ],
    ))),
    with_tokio(rule(
        "headworks-edge",
        &[
            "headworks-types",
            "headworks-duty",
            "headworks-client",
            "headworks-media",
            "headworks-hls",
            "headworks-rtmp",
            "headworks-rtp",
            "headworks-rtsp",
            "headworks-bootstrap",
        ],
    )),
    with_tokio(rule(
        "headworks",
        &[
            "headworks-types",
            "headworks-client",
            "headworks-bootstrap",
            "headworks-controller",
            "headworks-edge",
            "headworks-postgres",
        ],
    )),
    rule(
        "headworks-sim",
        &["headworks-types", "headworks-duty", "headworks-planner"],
    ),
    rule("headworks-testkit", &["headworks-postgres"]),
    rule("xtask", &["headworks-rtmp", "headworks-testkit"]),
    with_tokio(rule("headworks-tests", &[])),
];

/// What every crate may use in its tests as well.
const IN_TESTS: [&str; 5] = [
    "headworks-bootstrap",
    "headworks-client",
    "headworks-sim",
    "headworks-testkit",
    "headworks-types",
];

/// Fails if a crate uses what it may not, or is not known.
pub(crate) fn check() -> anyhow::Result<()> {
    let output = cargo::cargo(&["metadata", "--format-version=1", "--no-deps"])
        .output()
        .context("run cargo metadata")?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("has packages")?;
    let found = violations(packages);
    if !found.is_empty() {
        bail!(
            "dependencies that the design does not have (crates/xtask/src/deps.rs):\n  {}",
            found.join("\n  ")
        );
    }
    println!(
        "deps: {} crates, every arrow is in the design",
        packages.len()
    );
    Ok(())
}

fn violations(packages: &[serde_json::Value]) -> Vec<String> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let members: BTreeSet<String> = packages.iter().map(|p| text(&p["name"])).collect();
    let mut found = Vec::new();
    for package in packages {
        let name = text(&package["name"]);
        let Some(rule) = RULES.iter().find(|rule| rule.package == name) else {
            found.push(format!("{name} is a crate that nobody knows"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let target = text(&dependency["name"]);
            let in_tests = dependency["kind"] == "dev";
            let allowed = if members.contains(&target) {
                rule.uses.contains(&&*target) || in_tests && IN_TESTS.contains(&&*target)
            } else if target.starts_with("tokio") {
                rule.tokio
            } else if target.starts_with("sqlx") {
                rule.sqlx
            } else {
                true
            };
            if !allowed {
                let where_ = if in_tests { " in its tests" } else { "" };
                found.push(format!("{name} uses {target}{where_}"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arrows_that_are_not_in_the_design_are_found() {
        let package = |name: &str, dependency: &str, kind: Option<&str>| json!({"name": name, "dependencies": [{"name": dependency, "kind": kind}]});
        let found = violations(&[
            package("headworks-controller", "headworks-edge", None),
            package("headworks-edge", "headworks-testkit", Some("dev")),
            package("headworks-media", "tokio", Some("dev")),
            package("headworks-client", "sqlx", None),
            package("headworks-utils", "serde", None),
        ]);
        assert_eq!(
            found,
            [
                "headworks-controller uses headworks-edge",
                "headworks-media uses tokio in its tests",
                "headworks-client uses sqlx",
                "headworks-utils is a crate that nobody knows",
            ]
        );
    }
}
