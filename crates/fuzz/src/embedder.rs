//! What all drivers of engines share.

use std::time::{Duration, Instant};

/// Virtual time, which goes on a little with each piece of input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) now: Instant,
    step: Duration,
}

impl Clock {
    /// `how` chooses how fast it goes: bits 3 and 4.
    pub(crate) fn new(how: u8) -> Self {
        const STEPS: [u64; 4] = [0, 20, 1000, 15_000];
        Self {
            now: crate::input::start(),
            step: Duration::from_millis(STEPS[usize::from(how >> 3 & 3)]),
        }
    }

    pub(crate) fn tick(&mut self) {
        self.now += self.step;
    }

    /// Longer than anybody waits.
    pub(crate) fn end(&mut self) {
        self.now += Duration::from_secs(3600);
    }
}
