//! How a source is received, as receiver reports tell it (RFC 3550 §6.4.1, §A.3, §A.8).

use std::time::{Duration, Instant};

use crate::{Packet, rtcp::Block};

/// Further apart than this, numbers have been restarted (§A.1).
const MAX_DROPOUT: u16 = 3000;

/// Counts one source's packets as they arrive, out of order and twice too.
#[derive(Debug)]
pub struct Statistics {
    clock_rate: u32,
    source: Option<Source>,
    report: Option<(u32, Instant)>,
}

#[derive(Debug)]
struct Source {
    ssrc: u32,
    /// Sequence numbers without wraps.
    first: u32,
    highest: u32,
    received: u32,
    reported_expected: u32,
    reported_received: u32,
    /// In sixteenths of RTP ticks (§A.8).
    jitter: u32,
    start: Instant,
    /// Arrival minus timestamp of the last packet, in RTP ticks; only differences mean something.
    transit: u32,
}

impl Statistics {
    /// Of a track whose timestamps have this clock.
    #[must_use]
    pub fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate,
            source: None,
            report: None,
        }
    }

    /// A packet came.
    pub fn packet(&mut self, now: Instant, packet: &Packet) {
        let known = self
            .source
            .as_mut()
            .filter(|source| source.ssrc == packet.ssrc);
        let Some(source) = known else {
            return self.restart(now, packet);
        };
        let ahead = packet.sequence.wrapping_sub(source.highest as u16);
        if ahead < MAX_DROPOUT {
            source.highest = source.highest.wrapping_add(ahead.into());
        } else if ahead < u16::MAX - MAX_DROPOUT {
            return self.restart(now, packet);
        }
        source.received = source.received.wrapping_add(1);
        let arrived = ticks(now.saturating_duration_since(source.start), self.clock_rate);
        let transit = arrived.wrapping_sub(packet.timestamp);
        let differs = (transit.wrapping_sub(source.transit) as i32).unsigned_abs();
        source.transit = transit;
        // §A.8; a source that jumps in time is not jitter.
        if differs < self.clock_rate.saturating_mul(10) {
            let jitter = source.jitter.saturating_add(differs);
            source.jitter = jitter.saturating_sub(source.jitter.saturating_add(8) >> 4);
        }
    }

    fn restart(&mut self, now: Instant, packet: &Packet) {
        let first = u32::from(packet.sequence);
        self.source = Some(Source {
            ssrc: packet.ssrc,
            first,
            highest: first,
            received: 1,
            reported_expected: 0,
            reported_received: 0,
            jitter: 0,
            start: now,
            transit: 0_u32.wrapping_sub(packet.timestamp),
        });
    }

    /// A sender report with this wall clock came.
    pub fn sender_report(&mut self, now: Instant, ntp: u64) {
        self.report = Some(((ntp >> 16) as u32, now));
    }

    /// What to report now; what is lost counts from here on anew. `None` before the first packet.
    pub fn block(&mut self, now: Instant) -> Option<Block> {
        let source = self.source.as_mut()?;
        let expected = source.highest.wrapping_sub(source.first).wrapping_add(1);
        let lost = expected.wrapping_sub(source.received) as i32;
        let expected_now = expected.wrapping_sub(source.reported_expected);
        let received_now = source.received.wrapping_sub(source.reported_received);
        source.reported_expected = expected;
        source.reported_received = source.received;
        let lost_now = u64::from(expected_now.saturating_sub(received_now));
        let fraction = (lost_now << 8).checked_div(expected_now.into());
        let (last_report, delay) = match self.report {
            Some((middle, came)) => {
                let since = now.saturating_duration_since(came);
                (middle, ticks(since, 1 << 16))
            }
            None => (0, 0),
        };
        Some(Block {
            ssrc: source.ssrc,
            fraction_lost: fraction.unwrap_or(0).min(255) as u8,
            lost: lost.clamp(-0x80_0000, 0x7f_ffff),
            highest: source.highest,
            jitter: source.jitter >> 4,
            last_report,
            delay,
        })
    }
}

/// Ticks of a clock in a time, of which only the lower 32 bits count.
fn ticks(time: Duration, clock_rate: u32) -> u32 {
    (time.as_nanos() * u128::from(clock_rate) / 1_000_000_000) as u32
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::testing;

    fn packet(sequence: u16, timestamp: u32) -> Packet {
        Packet {
            marker: false,
            payload_type: 96,
            sequence,
            timestamp,
            ssrc: 5,
            payload: Bytes::new(),
        }
    }

    #[test]
    fn losses_and_wraps() {
        let (mut statistics, now) = (Statistics::new(8000), testing::origin());
        assert_eq!(statistics.block(now), None);
        for sequence in [65_534, 65_535, 1, 3] {
            statistics.packet(now, &packet(sequence, 0));
        }
        let block = statistics.block(now).expect("has packets");
        assert_eq!((block.lost, block.fraction_lost), (2, 85));
        assert_eq!((block.ssrc, block.highest), (5, 0x1_0003));
        // One of those comes late: nothing is lost since the report.
        statistics.packet(now, &packet(2, 0));
        let block = statistics.block(now).expect("has packets");
        assert_eq!((block.lost, block.fraction_lost), (1, 0));
    }

    #[test]
    fn jitter_is_that_of_the_network() {
        let (mut statistics, mut now) = (Statistics::new(8000), testing::origin());
        let mut jitter_after = |late: &dyn Fn(u32) -> u64| {
            for number in 0..200_u32 {
                now += Duration::from_millis(20);
                let came = now + Duration::from_millis(late(number));
                statistics.packet(came, &packet(number as u16, number * 160));
            }
            statistics.block(now).expect("has packets").jitter
        };
        assert_eq!(jitter_after(&|_| 0), 0);
        // 10 ms late every second time: 80 ticks.
        let jitter = jitter_after(&|number| u64::from(number % 2) * 10);
        assert!((75..=81).contains(&jitter), "{jitter}");
    }

    #[test]
    fn the_last_sender_report() {
        let (mut statistics, now) = (Statistics::new(8000), testing::origin());
        statistics.packet(now, &packet(1, 0));
        statistics.sender_report(now, 0x1122_3344_5566_7788);
        let block = statistics
            .block(now + Duration::from_millis(1500))
            .expect("has packets");
        assert_eq!((block.last_report, block.delay), (0x3344_5566, 3 << 15));
    }

    proptest! {
        #[test]
        fn any_numbers_never_panic(packets in prop::collection::vec((any::<u16>(), any::<u32>(), 0_u64..100_000), 0..100)) {
            let (mut statistics, mut now) = (Statistics::new(u32::MAX), testing::origin());
            for (sequence, timestamp, later) in packets {
                now += Duration::from_millis(later);
                statistics.packet(now, &packet(sequence, timestamp));
                statistics.block(now);
            }
        }
    }
}
