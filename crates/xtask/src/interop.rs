//! `cargo xtask interop`: real peers against a running Headworks, both directions. See `README.md`
//! in the directory of the same name, which `--write` brings up to date.

mod table;

use std::{env, fs};

use anyhow::{Context, bail, ensure};
use headworks_testkit::{
    Launch,
    interop::{Lab, Outcome, Row, Verdict, rows},
};

use crate::{cargo, setup};

/// What can be chosen on the command line.
struct Choice {
    only: String,
    seconds: u32,
    jobs: usize,
    write: bool,
}

type Line = (Row, Outcome);

/// Runs the rows that are chosen, prints the table, and fails unless all pass.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let choice = Choice::parse(arguments)?;
    let rows = choice.rows();
    ensure!(!rows.is_empty(), "no row has {:?} in its name", choice.only);
    setup::everything()?;
    let binary = match env::var_os("HEADWORKS_BIN") {
        Some(binary) => binary.into(),
        None => cargo::build_headworks(false)?,
    };
    let launch = Launch {
        binary: Some(binary),
        ..Launch::default()
    };
    let lab = Lab::start(launch, choice.seconds)?;
    let outcomes = lab.run_all(&rows, choice.jobs, |index, row, outcome| {
        println!(
            "{:>3}/{} {} {}  {}",
            index + 1,
            rows.len(),
            table::mark(&outcome.verdict),
            row.name(),
            outcome.reason()
        );
    });
    let lines: Vec<Line> = rows.into_iter().zip(outcomes).collect();
    let table = table::markdown(&lines, choice.seconds);
    println!("\n{table}");
    print_failures(&lines);
    let log = cargo::target().join("interop.log");
    fs::write(&log, lab.log()).with_context(|| format!("write {}", log.display()))?;
    let file = cargo::target().join("interop.md");
    fs::write(&file, &table).with_context(|| format!("write {}", file.display()))?;
    println!(
        "written to {}; the last words of Headworks to {}",
        file.display(),
        log.display()
    );
    if choice.write {
        table::write_readme(&table)?;
    }
    let is_failure = |(_, outcome): &&Line| matches!(outcome.verdict, Verdict::Failed(_));
    let failed = lines.iter().filter(is_failure).count();
    ensure!(failed == 0, "{failed} of {} rows failed", lines.len());
    Ok(())
}

impl Choice {
    fn parse(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut choice = Self {
            only: String::new(),
            seconds: 10,
            jobs: 1,
            write: false,
        };
        let mut words = arguments.iter().copied();
        while let Some(word) = words.next() {
            let mut value = || {
                words
                    .next()
                    .with_context(|| format!("{word} needs a value"))
            };
            match word {
                "--only" => choice.only = value()?.to_lowercase(),
                "--seconds" => choice.seconds = value()?.parse()?,
                "--jobs" => choice.jobs = value()?.parse()?,
                "--write" => choice.write = true,
                _ => bail!(
                    "usage: cargo xtask interop [--only TEXT] [--seconds N] [--jobs N] [--write]"
                ),
            }
        }
        ensure!(choice.seconds > 1, "a flash comes once a second");
        ensure!(
            !choice.write || choice.only.is_empty(),
            "--write is for the whole table"
        );
        Ok(choice)
    }

    fn rows(&self) -> Vec<Row> {
        let mut rows = rows();
        rows.retain(|row| row.name().to_lowercase().contains(&self.only));
        rows
    }
}

/// Everything that is known of what went wrong.
fn print_failures(lines: &[Line]) {
    for (row, outcome) in lines {
        if let Verdict::Failed(reason) = &outcome.verdict {
            println!("✗ {}\n{reason}", row.name());
            for error in &outcome.errors {
                println!("    {error}");
            }
            println!();
        }
    }
}
