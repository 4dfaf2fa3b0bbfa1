//! Counts how often somebody who is too slow had to jump ahead lately.

use std::collections::VecDeque;

use tokio::time::{Duration, Instant};

/// Jumps count for this long.
const MEMORY: Duration = Duration::from_secs(60);

/// The jumps of the last minute, the oldest first. As many as somebody allows at most, since more
/// are its end.
#[derive(Debug, Default)]
pub(crate) struct Jumps(VecDeque<Instant>);

impl Jumps {
    /// One more. True if more than `limit` lie within a minute.
    pub(crate) fn too_many(&mut self, now: Instant, limit: u32) -> bool {
        self.0.retain(|jump| now - *jump < MEMORY);
        self.0.push_back(now);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.0.len() > limit
    }

    /// How many lay within a minute at the last one.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// When the last one was, if there was one lately.
    pub(crate) fn last(&self) -> Option<Instant> {
        self.0.back().copied()
    }
}

#[cfg(test)]
mod tests {
    use headworks_bootstrap::Clock;

    use super::*;

    #[test]
    fn a_jump_now_and_then_is_never_too_much() {
        let mut jumps = Jumps::default();
        let start = Clock::system().monotonic();
        for number in 0..100 {
            let now = start + number * Duration::from_secs(25);
            assert!(!jumps.too_many(now, 3), "jump {number}");
        }
        assert_eq!(jumps.count(), 3);
    }

    #[test]
    fn more_than_the_limit_within_a_minute_are_too_many() {
        let mut jumps = Jumps::default();
        let start = Clock::system().monotonic();
        for seconds in [0, 58, 59] {
            assert!(!jumps.too_many(start + Duration::from_secs(seconds), 3));
        }
        // The first one is forgotten by now.
        let now = start + Duration::from_secs(60);
        assert!(!jumps.too_many(now, 3));
        assert!(jumps.too_many(now, 3));
        assert_eq!(jumps.last(), Some(now));
    }
}
