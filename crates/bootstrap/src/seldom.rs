//! Log lines that others could cause as often as they like.

use std::time::Duration;

use tokio::time::Instant;

/// Lets something be said at most once in a while, and counts what was not said.
#[derive(Debug)]
pub struct Seldom {
    every: Duration,
    said: Option<Instant>,
    unsaid: u64,
}

impl Seldom {
    /// At most once in `every`.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self {
            every,
            said: None,
            unsaid: 0,
        }
    }

    /// It has happened again. If it is to be said: how often since it was said last, this time
    /// included.
    pub fn count(&mut self, now: Instant) -> Option<u64> {
        self.unsaid += 1;
        if !self.is_due(now) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }

    /// True if the next time will be said.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.said.is_none_or(|said| now >= said + self.every)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::Clock;

    #[tokio::test]
    async fn what_happens_often_is_said_once_with_its_count() {
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let mut seldom = Seldom::new(Duration::from_secs(10));
        assert_eq!(seldom.count(clock.monotonic()), Some(1));
        for _ in 0..3 {
            clock.advance(Duration::from_secs(3));
            assert_eq!(seldom.count(clock.monotonic()), None);
        }
        clock.advance(Duration::from_secs(1));
        assert_eq!(seldom.count(clock.monotonic()), Some(4));
        assert!(!seldom.is_due(clock.monotonic()));
    }
}
