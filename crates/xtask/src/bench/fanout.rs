//! `cargo xtask bench fanout`: what it costs to serve one stream to many viewers, beside nginx-rtmp
//! and bare loops in the same run. See `README.md` in this directory.

mod bar;
mod table;

use std::{path::Path, time::Duration};

use anyhow::bail;

use super::{
    machine,
    servers::{CONTENDERS, Contender, Servers},
    viewers::Window,
};

/// What can be chosen on the command line.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) rounds: usize,
    pub(super) seconds: u64,
    pub(super) viewers: usize,
    /// Of the picture, per second; one after the other.
    pub(super) megabits: Vec<u32>,
    /// Who is measured; all if nobody is named.
    pub(super) only: Vec<Contender>,
}

/// All windows of a run.
pub(super) struct Run {
    pub(super) megabits: u32,
    pub(super) results: Vec<Results>,
}

/// All windows of one contender.
pub(super) struct Results {
    pub(super) contender: Contender,
    /// By round; none where it failed.
    pub(super) windows: Vec<Option<Window>>,
    /// Memory before there was any viewer.
    pub(super) idle: u64,
}

impl Options {
    pub(super) fn parse(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut options = Self {
            rounds: 5,
            seconds: 10,
            viewers: 200,
            megabits: Vec::new(),
            only: Vec::new(),
        };
        for pair in arguments.chunks(2) {
            match pair {
                ["--rounds", number] => options.rounds = number.parse()?,
                ["--seconds", number] => options.seconds = number.parse()?,
                ["--viewers", number] => options.viewers = number.parse()?,
                ["--mbit", number] => options.megabits.push(number.parse()?),
                ["--only", name] => options.only.push(Contender::parse(name)?),
                _ => bail!("unknown: {}", pair.join(" ")),
            }
        }
        if options.megabits.is_empty() {
            options.megabits = vec![2, 8];
        }
        Ok(options)
    }

    pub(super) fn contenders(&self) -> impl Iterator<Item = Contender> {
        let all = CONTENDERS.iter().map(|(_, contender)| *contender);
        all.filter(|contender| self.only.is_empty() || self.only.contains(contender))
    }
}

/// Measures, and returns what is to be read.
pub(super) fn run(options: &Options, binary: &Path) -> anyhow::Result<String> {
    let mut runs = Vec::new();
    for megabits in &options.megabits {
        runs.push(measure(options, binary, *megabits)?);
    }
    let mut text = machine::line();
    for run in &runs {
        text.push_str(&table::of(options, run));
    }
    text.push_str(&bar::of(options, &runs));
    Ok(text)
}

fn measure(options: &Options, binary: &Path, megabits: u32) -> anyhow::Result<Run> {
    let mut servers = Servers::start(binary, megabits)?;
    let mut results: Vec<_> = options
        .contenders()
        .map(|contender| Results {
            contender,
            windows: Vec::new(),
            idle: servers.idle_bytes(contender),
        })
        .collect();
    let window = Duration::from_secs(options.seconds);
    for round in 1..=options.rounds {
        for result in &mut results {
            let measured = servers.measure(result.contender, options.viewers, window);
            let name = result.contender.name();
            match &measured {
                Ok(window) => println!("{megabits} Mbit/s  round {round}  {name:<14}{window}"),
                Err(error) => println!("{megabits} Mbit/s  round {round}  {name:<14}{error:#}"),
            }
            result.windows.push(measured.ok());
            servers.ensure_running()?;
        }
    }
    Ok(Run { megabits, results })
}

impl Run {
    pub(super) fn of(&self, contender: Contender) -> Option<&Results> {
        let mut results = self.results.iter();
        results.find(|results| results.contender == contender)
    }
}

impl Results {
    pub(super) fn costs(&self) -> Vec<f64> {
        self.windows.iter().flatten().map(Window::cost).collect()
    }

    /// Costs as multiples of another's in the same round.
    pub(super) fn ratios(&self, to: &Self) -> Vec<f64> {
        let rounds = self.windows.iter().zip(&to.windows);
        rounds
            .filter_map(|(a, b)| Some(a.as_ref()?.cost() / b.as_ref()?.cost()))
            .collect()
    }

    /// Of the process, per viewer; kilobytes.
    pub(super) fn memory(&self, viewers: usize) -> Vec<f64> {
        let windows = self.windows.iter().flatten();
        windows
            .map(|window| (window.resident as f64 - self.idle as f64) / 1e3 / viewers as f64)
            .collect()
    }

    /// Of all rounds, milliseconds.
    pub(super) fn joins(&self) -> Vec<f64> {
        self.all(|window| &window.joins)
    }

    /// Of all rounds, milliseconds.
    pub(super) fn delays(&self) -> Vec<f64> {
        self.all(|window| &window.delays)
    }

    fn all(&self, list: impl Fn(&Window) -> &Vec<u64>) -> Vec<f64> {
        let windows = self.windows.iter().flatten();
        windows
            .flat_map(list)
            .map(|nanoseconds| *nanoseconds as f64 / 1e6)
            .collect()
    }
}
