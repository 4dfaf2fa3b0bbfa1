//! Even timestamps for sound.
//!
//! Cameras and relays stamp sound with a wall clock or in milliseconds, so that packets of 1024
//! samples come 1000 to 1050 ticks apart. Copied into a container, that is heard as clicks. The
//! number of samples is the better clock, as long as both agree.

/// Counts samples, and follows the source's timestamps only where they really differ.
#[derive(Debug, Clone)]
pub struct AudioClock {
    tolerance: i64,
    next: Option<i64>,
}

impl AudioClock {
    /// For timestamps that count in `clock_rate`; trusts the count within 40 ms.
    #[must_use]
    pub fn new(clock_rate: u32) -> Self {
        Self {
            tolerance: i64::from(clock_rate) / 25,
            next: None,
        }
    }

    /// When the packet of `length` samples plays that the source stamped `heard`. `None` if it
    /// would overlap what has been played: it has to be dropped.
    pub fn stamp(&mut self, heard: i64, length: u32) -> Option<i64> {
        let stamp = match self.next {
            Some(next) if heard < next - self.tolerance => return None,
            Some(next) if heard <= next + self.tolerance => next,
            _ => heard,
        };
        self.next = Some(stamp + i64::from(length));
        Some(stamp)
    }

    /// Where the last packet ends.
    #[must_use]
    pub fn end(&self) -> Option<i64> {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn jitter_disappears_and_gaps_stay() {
        let mut clock = AudioClock::new(48_000);
        assert_eq!(clock.stamp(100, 1024), Some(100));
        assert_eq!(clock.stamp(1150, 1024), Some(1124));
        assert_eq!(clock.stamp(2100, 1024), Some(2148));
        assert_eq!(clock.stamp(50_000, 1024), Some(50_000));
        assert_eq!(clock.stamp(2_000, 1024), None);
        assert_eq!(clock.stamp(51_000, 1024), Some(51_024));
    }

    proptest! {
        #[test]
        fn packets_never_overlap(heard in prop::collection::vec((-100_000_i64..100_000, 1_u32..3000), 1..100)) {
            let mut clock = AudioClock::new(8000);
            let mut end = i64::MIN;
            for (heard, length) in heard {
                if let Some(stamp) = clock.stamp(heard, length) {
                    prop_assert!(stamp >= end);
                    end = stamp + i64::from(length);
                }
            }
        }
    }
}
