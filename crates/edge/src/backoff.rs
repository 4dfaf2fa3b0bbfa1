//! How long to wait before the next attempt, at a camera or a controller.

use std::time::Duration;

use rand::RngExt as _;

/// Exponential, with jitter: half of each wait is random, so that what failed together is not
/// asked together.
#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max: max.max(min),
            next: min,
        }
    }

    /// The next wait; `random` is in 0..1.
    pub(crate) fn next(&mut self, random: f64) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.max);
        wait.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }

    /// It was well: the next wait is short again.
    pub(crate) fn reset(&mut self) {
        self.next = self.min;
    }
}

/// A random number in 0..1.
pub(crate) fn random() -> f64 {
    rand::rng().random()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_anew_after_a_reset() {
        let seconds = Duration::from_secs;
        let mut backoff = Backoff::new(seconds(1), seconds(5));
        let waits: Vec<_> = (0..4).map(|_| backoff.next(1.0)).collect();
        assert_eq!(waits, [seconds(1), seconds(2), seconds(4), seconds(5)]);
        assert_eq!(backoff.next(0.0), seconds(5) / 2);
        backoff.reset();
        assert_eq!(backoff.next(1.0), seconds(1));
    }
}
