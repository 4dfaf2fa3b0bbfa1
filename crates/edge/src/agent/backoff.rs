//! Waiting longer after each failure, never all at the same moment.

use std::time::Duration;

/// Doubles from `first` to `most`; each wait is drawn from its upper half.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            next: first,
        }
    }

    /// How long to wait now.
    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.most);
        wait.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// It worked.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_start_anew() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, second * 10);
        for most in [1, 2, 4, 8, 10, 10] {
            let wait = backoff.next();
            assert!(
                wait <= second * most && wait >= second * most / 2,
                "{wait:?}"
            );
        }
        backoff.reset();
        assert!(backoff.next() <= second);
    }
}
