//! Time for tests: deadlines, and waiting for a condition with one.

use std::{
    fmt::Display,
    thread,
    time::{Duration, Instant},
};

use anyhow::bail;

const LOOK: Duration = Duration::from_millis(20);

#[expect(clippy::disallowed_methods, reason = "the dev tools' one clock")]
fn now() -> Instant {
    Instant::now()
}

/// Seconds of Unix, for what other programs are to agree on.
#[expect(clippy::disallowed_methods, reason = "the dev tools' one clock")]
pub(crate) fn unix_time() -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap_or_default().as_secs_f64()
}

/// A point in time after which waiting is given up.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// `limit` from now.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        Self(now() + limit)
    }

    /// What is left; zero when it has passed.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.0.saturating_duration_since(now())
    }

    /// True when nothing is left.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        self.left().is_zero()
    }
}

/// Measures how long something takes.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(now())
    }

    /// Since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        now().saturating_duration_since(self.0)
    }
}

/// Looks until `look` gives something; fails with `what` when the limit has passed.
pub fn wait_until<T>(
    what: impl Display,
    limit: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let deadline = Deadline::after(limit);
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if deadline.has_passed() {
            bail!("not within {} s: {what}", limit.as_secs_f32());
        }
        thread::sleep(LOOK);
    }
}
