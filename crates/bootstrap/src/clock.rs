//! The only reader of clocks, so that tests decide what time it is.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// Tells the time. Clones of a manual clock move together.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Manual {
        wall: DateTime<Utc>,
        monotonic: Instant,
        passed: Arc<Mutex<Duration>>,
    },
}

impl Clock {
    /// The machine's clocks. [`Clock::monotonic`] follows tokio's time, also where a test paused it.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock for tests: it shows `start` and stands still until [`Clock::advance`].
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn manual(start: DateTime<Utc>) -> Self {
        Self(Source::Manual {
            wall: start,
            monotonic: Instant::now(),
            passed: Arc::default(),
        })
    }

    /// The time of day. It may jump when somebody sets the machine's clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            Source::System => Utc::now(),
            Source::Manual { wall, passed, .. } => *wall + *lock(passed),
        }
    }

    /// For measuring how long something takes; never jumps.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn monotonic(&self) -> Instant {
        match &self.0 {
            Source::System => Instant::now(),
            Source::Manual {
                monotonic, passed, ..
            } => *monotonic + *lock(passed),
        }
    }

    /// As [`Clock::monotonic`], but goes on while the machine is suspended. Timers stand still
    /// meanwhile, so that whoever waits for such a time has to look again and again.
    #[must_use]
    pub fn boottime(&self) -> Instant {
        let suspended = match &self.0 {
            Source::System => suspended(),
            Source::Manual { .. } => Duration::ZERO,
        };
        self.monotonic() + suspended
    }

    /// Moves a manual clock forward.
    ///
    /// # Panics
    /// On the system clock, which nobody can move.
    pub fn advance(&self, by: Duration) {
        match &self.0 {
            Source::System => panic!("the system clock cannot be moved"),
            Source::Manual { passed, .. } => *lock(passed) += by,
        }
    }
}

/// How long the machine has been suspended since it started. A process that is stopped between the
/// two clocks makes it shorter, never longer: it is then as if it had looked before.
fn suspended() -> Duration {
    let all = since_boot(ClockId::Boottime);
    all.saturating_sub(since_boot(ClockId::Monotonic))
}

fn since_boot(clock: ClockId) -> Duration {
    clock_gettime(clock).try_into().unwrap_or_default()
}

fn lock(passed: &Mutex<Duration>) -> std::sync::MutexGuard<'_, Duration> {
    passed.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let other = clock.clone();
        let before = other.monotonic();
        assert_eq!(clock.now(), DateTime::UNIX_EPOCH);
        clock.advance(Duration::from_secs(60));
        assert_eq!(other.now().timestamp(), 60);
        assert_eq!(other.monotonic() - before, Duration::from_secs(60));
        assert_eq!(other.boottime(), other.monotonic());
    }

    /// How long it was suspended nobody can test; that it does not go backwards, and follows the
    /// time of tests, one can.
    #[tokio::test(start_paused = true)]
    async fn the_time_since_the_start_goes_with_the_other() {
        let clock = Clock::system();
        let (before, start) = (clock.monotonic(), clock.boottime());
        assert!(start >= before);
        tokio::time::advance(Duration::from_secs(60)).await;
        let passed = clock.boottime() - start;
        let wanted = Duration::from_secs(60);
        assert!(
            passed.abs_diff(wanted) < Duration::from_secs(1),
            "{passed:?}"
        );
    }
}
