//! Where and when figures were taken.

use std::{env, fs, process::Command};

use headworks_testkit::tool;

/// Processor, system, commit and day, on two lines.
pub(super) fn line() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let model = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, model)| model.to_owned())
        .unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    let commit = said("git", &["rev-parse", "--short", "HEAD"]);
    let day = said("date", &["-u", "+%F %H:%M UTC"]);
    format!(
        "{cores} cores, {model}, {} {}\ncommit {commit}, {day}, load {load} at the end\n",
        env::consts::OS,
        kernel.trim(),
    )
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .current_dir(tool::workspace())
        .args(arguments)
        .output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

/// What stands behind a demand that is met, or not.
pub(super) fn mark(is_met: bool) -> &'static str {
    if is_met { "✓" } else { NOT_MET }
}

/// Stands behind each demand that is not met.
pub(super) const NOT_MET: &str = "✗";
