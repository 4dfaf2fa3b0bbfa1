//! What a process has used, from `/proc`.

use std::fs;

use anyhow::Context;

/// The kernel counts processor time in hundredths of a second (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time of a process and all its threads so far, in seconds.
pub(super) fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = read(pid, "stat")?;
    // The name in parentheses may hold anything; utime and stime are the 14th and 15th field.
    let (_, fields) = stat.rsplit_once(") ").context("a stat line")?;
    let ticks = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(|ticks| Ok(ticks.parse::<u32>()?))
        .sum::<anyhow::Result<u32>>()?;
    Ok(f64::from(ticks) / TICKS_PER_SECOND)
}

/// Resident memory, bytes. What the kernel holds for its sockets is not in it.
pub(super) fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = read(pid, "status")?;
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"))
        .context("no VmRSS")?;
    Ok(kilobytes.parse::<u64>()? * 1024)
}

fn read(pid: u32, name: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{pid}/{name}");
    fs::read_to_string(&path).with_context(|| format!("read {path}"))
}
