//! The clock that all processes of a benchmark share.

use std::time::{Duration, Instant};

use anyhow::Context;
use nix::time::{ClockId, clock_gettime};

/// For the protocol engines.
#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures time, nobody moves it"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds of `CLOCK_MONOTONIC`: the same in every process of this machine.
pub(super) fn nanoseconds() -> anyhow::Result<u64> {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).context("read the clock")?;
    let time = Duration::from(time);
    u64::try_from(time.as_nanos()).context("an uptime of under 500 years")
}
