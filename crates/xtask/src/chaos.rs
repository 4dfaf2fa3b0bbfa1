//! `cargo xtask chaos`: real faults in a real installation, and what becomes of its viewers, its
//! pushes and its API. See `README.md` in the directory of the same name, which `--write` brings up
//! to date.

mod control;
mod edge;
mod judge;
mod site;
mod stage;
mod table;

use std::{
    env, fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use headworks_testkit::{Interrupt, lab};

use crate::{cargo, setup};
use judge::Judged;
use stage::{Done, Stage};

/// How often it is looked whether somebody wants to end it.
const LOOK: Duration = Duration::from_millis(200);

/// One way to break something.
struct Scenario {
    name: &'static str,
    /// What happens, in words.
    what: &'static str,
    /// True if it runs in CI.
    is_quick: bool,
    run: fn(&mut Stage, Length) -> anyhow::Result<Done>,
}

/// How long things stay broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Short,
    Long,
}

const SCENARIOS: &[Scenario] = &[
    edge::KILLED,
    edge::GOODBYE,
    edge::FROZEN,
    edge::PARTED,
    edge::DEAF,
    edge::MUTE,
    edge::FULL_DISK,
    edge::DRAINED,
    site::PARTED,
    site::SWITCH,
    control::DATABASE,
    control::PLANNER,
    control::AWAY,
    control::ROLLING,
];

/// What can be chosen on the command line.
struct Choice {
    scenarios: Vec<&'static Scenario>,
    length: Length,
    write: bool,
}

/// Runs what is chosen, prints the table, and fails if something was lost that must not be.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let choice = Choice::parse(arguments)?;
    if let Some(missing) = lab::missing() {
        bail!("{missing}");
    }
    let interrupt = Interrupt::hold()?;
    setup::packages()?;
    let binary = match env::var_os("HEADWORKS_BIN") {
        Some(binary) => binary.into(),
        None => cargo::build_headworks(false)?,
    };
    let (mut judged, mut failures) = (Vec::new(), Vec::new());
    for scenario in &choice.scenarios {
        println!("\n{}: {}", scenario.name, scenario.what);
        match run_one(scenario, choice.length, &binary, &interrupt) {
            Ok(Some(one)) => {
                println!("{}", table::line(&one));
                failures.extend(one.failures());
                judged.push(one);
            }
            Ok(None) => bail!("interrupted"),
            Err(error) => {
                println!("  {error:#}");
                failures.push(format!("{error:#}"));
            }
        }
    }
    let table = table::markdown(&judged, choice.length);
    println!("\n{table}");
    if choice.write {
        table::write_readme(&table)?;
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// What CI runs: where there can be no networks of our own, nothing, and it says so.
pub(crate) fn quick() -> anyhow::Result<()> {
    if let Some(missing) = lab::missing() {
        println!("SKIPPED: {missing}");
        return Ok(());
    }
    let names = SCENARIOS.iter().filter(|scenario| scenario.is_quick);
    run(&names.map(|scenario| scenario.name).collect::<Vec<_>>())
}

/// In a thread of its own, so that Ctrl-C ends everything (none): all that was started dies with us.
fn run_one(
    scenario: &'static Scenario,
    length: Length,
    binary: &Path,
    interrupt: &Interrupt,
) -> anyhow::Result<Option<Judged>> {
    let directory = tempfile::Builder::new()
        .prefix("headworks-chaos-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()?;
    let (path, binary) = (directory.path().to_owned(), binary.to_owned());
    let worker = thread::spawn(move || -> anyhow::Result<Judged> {
        let mut stage = Stage::set(&path, &binary)?;
        let done = (scenario.run)(&mut stage, length)?;
        stage.judge(scenario.name, &done)
    });
    while !worker.is_finished() {
        if interrupt.wait(LOOK) {
            // What still runs may write a last file.
            let _ = fs::remove_dir_all(directory.path());
            return Ok(None);
        }
    }
    let judged = worker
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let kept = keep(scenario.name, directory.path());
    judged.map(Some).with_context(|| match kept {
        Ok(kept) => format!("{}: see {}", scenario.name, kept.display()),
        Err(error) => format!("{}: nothing was kept: {error:#}", scenario.name),
    })
}

/// Copies histories and logs to where they can be looked at.
fn keep(name: &str, directory: &Path) -> anyhow::Result<PathBuf> {
    let kept = cargo::target().join("chaos").join(name);
    let _ = fs::remove_dir_all(&kept);
    fs::create_dir_all(&kept)?;
    for record in lab::records(directory)? {
        if let Some(name) = record.file_name() {
            fs::copy(&record, kept.join(name))?;
        }
    }
    Ok(kept)
}

impl Choice {
    fn parse(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut choice = Self {
            scenarios: Vec::new(),
            length: Length::Short,
            write: false,
        };
        for argument in arguments {
            match *argument {
                "--long" => choice.length = Length::Long,
                "--write" => choice.write = true,
                name => {
                    let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
                    choice.scenarios.push(found.with_context(usage)?);
                }
            }
        }
        if choice.scenarios.is_empty() {
            choice.scenarios.extend(SCENARIOS);
        }
        Ok(choice)
    }
}

fn usage() -> String {
    let scenarios: String = SCENARIOS
        .iter()
        .map(|scenario| format!("  {:<14} {}\n", scenario.name, scenario.what))
        .collect();
    format!("usage: cargo xtask chaos [SCENARIO…] [--long] [--write]\n{scenarios}")
}
