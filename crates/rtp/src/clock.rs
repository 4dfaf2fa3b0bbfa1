//! RTP timestamps without wraps, counted from the start of a session.

/// A start that is further from the first packet than this, in seconds, is a mistake.
const ABSURD: i64 = 10;

/// Turns the 32 bits of a track's timestamps into ticks since the session's start.
#[derive(Debug, Clone)]
pub struct Timestamps {
    clock_rate: u32,
    start: Option<u32>,
    last: Option<(u32, i64)>,
}

impl Timestamps {
    /// `start` is the timestamp at which the session begins, the same moment for all tracks, if
    /// the server has told (`rtptime` in RTP-Info, RFC 2326 §12.33). Otherwise the track's first
    /// packet is its start, and sender reports have to tell how tracks relate.
    #[must_use]
    pub fn new(clock_rate: u32, start: Option<u32>) -> Self {
        Self {
            clock_rate,
            start,
            last: None,
        }
    }

    /// Ticks since the start, of the next packet.
    pub fn next(&mut self, timestamp: u32) -> i64 {
        let ticks = self.peek(timestamp).unwrap_or_else(|| {
            let limit = ABSURD * i64::from(self.clock_rate);
            let since = |start| i64::from(distance(start, timestamp));
            self.start
                .map(since)
                .filter(|ticks| (-limit..=limit).contains(ticks))
                .unwrap_or(0)
        });
        self.last = Some((timestamp, ticks));
        ticks
    }

    /// Ticks since the start, of something that is near the last packet: a sender report. `None`
    /// before the first packet.
    #[must_use]
    pub fn peek(&self, timestamp: u32) -> Option<i64> {
        let (last, ticks) = self.last?;
        Some(ticks.saturating_add(distance(last, timestamp).into()))
    }

    /// The sender counts from somewhere else now; its first packet goes on where the last was.
    pub fn restart(&mut self, timestamp: u32) {
        if let Some((last, _)) = &mut self.last {
            *last = timestamp;
        }
        self.start = None;
    }
}

/// From one wrapping timestamp to another, the shorter way.
fn distance(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from) as i32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wraps_and_steps_back() {
        let mut timestamps = Timestamps::new(90_000, None);
        assert_eq!(timestamps.peek(7), None);
        assert_eq!(timestamps.next(u32::MAX - 1), 0);
        assert_eq!(timestamps.next(3598), 3600);
        assert_eq!(timestamps.next(1798), 1800, "a B-frame");
        assert_eq!(timestamps.peek(u32::MAX), Some(1));
        timestamps.restart(77);
        assert_eq!(timestamps.next(78), 1801);
    }

    #[test]
    fn the_start_of_the_session() {
        let first = |start| Timestamps::new(8000, Some(start)).next(1000);
        assert_eq!(first(900), 100);
        assert_eq!(first(1100), -100);
        assert_eq!(first(1_000_000), 0, "which the server got wrong");
    }

    proptest! {
        #[test]
        fn steps_are_kept(start: u32, steps in prop::collection::vec(-100_000_i32..1_000_000, 1..50)) {
            let mut timestamps = Timestamps::new(90_000, None);
            let (mut sent, mut expected) = (start, 0_i64);
            timestamps.next(sent);
            for step in steps {
                sent = sent.wrapping_add_signed(step);
                expected += i64::from(step);
                prop_assert_eq!(timestamps.next(sent), expected);
            }
        }
    }
}
