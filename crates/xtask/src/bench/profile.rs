//! `cargo xtask bench profile`: where a server spends its time, by `perf`.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};
use headworks_testkit::{Process, Signal};

use super::{fanout::Options, machine, servers::Servers};

/// Viewers have come and have a key frame by then.
const DELAY: Duration = Duration::from_secs(6);
const SAMPLES_PER_SECOND: u32 = 1999;
/// So many functions are printed.
const LINES: usize = 30;

/// One function.
struct Function {
    percent: f64,
    is_kernel: bool,
    name: String,
}

/// Profiles each contender once, and returns what is to be read.
pub(super) fn run(options: &Options, binary: &Path) -> anyhow::Result<String> {
    let mut text = machine::line();
    for megabits in &options.megabits {
        let mut servers = Servers::start(binary, *megabits)?;
        for contender in options.contenders() {
            let directory = tempfile::tempdir()?;
            let data = directory.path().join("perf.data");
            let mut recorder = record(servers.pid(contender), options.seconds, &data)?;
            let window = Duration::from_secs(options.seconds) + DELAY;
            let window = servers.measure(contender, options.viewers, window)?;
            let limit = Duration::from_secs(options.seconds) + 2 * DELAY;
            let status = recorder.wait(limit).context("perf does not end")?;
            ensure!(status.success(), "perf: {}", recorder.tail());
            let (name, viewers) = (contender.name(), options.viewers);
            text.push_str(&format!(
                "\n{name}, {megabits} Mbit/s to {viewers} viewers  ({window}, perf included)\n"
            ));
            text.push_str(&table(&functions(&data)?));
        }
    }
    Ok(text)
}

fn record(pid: u32, seconds: u64, data: &Path) -> anyhow::Result<Process> {
    let mut command = Command::new("perf");
    command
        .args(["record", "--event", "cpu-clock"])
        .args(["--freq", &SAMPLES_PER_SECOND.to_string()])
        .args(["--pid", &pid.to_string()])
        .args(["--delay", &DELAY.as_millis().to_string()])
        .arg("--output")
        .arg(data)
        .args(["--", "sleep", &(seconds + DELAY.as_secs()).to_string()]);
    Process::spawn(command, Signal::Kill, |_, _| {}).context("perf is in Debian's linux-perf")
}

fn functions(data: &Path) -> anyhow::Result<Vec<Function>> {
    let output = Command::new("perf")
        .args(["report", "--stdio", "--no-children", "--call-graph", "none"])
        .args(["--sort", "symbol", "--fields", "overhead,symbol", "--input"])
        .arg(data)
        .stderr(Stdio::null())
        .output()
        .context("run perf report")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut functions: Vec<_> = text.lines().filter_map(Function::parse).collect();
    ensure!(!functions.is_empty(), "perf has seen nothing");
    // With chosen fields, perf sorts by name.
    functions.sort_by(|a, b| b.percent.total_cmp(&a.percent));
    Ok(functions)
}

impl Function {
    /// A line such as `  12.50%  [k] tcp_sendmsg`.
    fn parse(line: &str) -> Option<Self> {
        let (percent, rest) = line.trim().split_once('%')?;
        let (place, name) = rest.trim().split_once(' ')?;
        Some(Self {
            percent: percent.parse().ok()?,
            is_kernel: place == "[k]",
            name: name.trim().to_owned(),
        })
    }
}

fn table(functions: &[Function]) -> String {
    let kernel = functions.iter().filter(|function| function.is_kernel);
    let kernel: f64 = kernel.map(|function| function.percent).sum();
    let mut text = format!("{kernel:>7.2} %  the kernel, all in all\n");
    for function in functions.iter().take(LINES) {
        let place = if function.is_kernel {
            "kernel"
        } else {
            "program"
        };
        let (percent, name) = (function.percent, &function.name);
        text.push_str(&format!("{percent:>7.2} %  {place:<8} {name}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_perf_are_understood() {
        let line = "    12.50%  [k] finish_task_switch.isra.0     ";
        let function = Function::parse(line).expect("is one");
        assert!(function.is_kernel);
        assert_eq!(function.name, "finish_task_switch.isra.0");
        let line = "     0.01%  [.] <A as B>::f::{{closure}}";
        let function = Function::parse(line).expect("is one");
        assert!(!function.is_kernel && function.percent < 0.02);
        assert_eq!(function.name, "<A as B>::f::{{closure}}");
        assert!(Function::parse("# Samples: 8  of event 'cpu-clock'").is_none());
        assert!(Function::parse("").is_none());
    }
}
