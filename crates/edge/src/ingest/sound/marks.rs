//! Which moment of the stream each packet of AAC belongs to.
//!
//! An encoder counts samples and knows nothing of gaps. So it is noted at which sample what goes
//! into it does not go on from what was before.

use std::collections::VecDeque;

use headworks_media::rescale;

use super::{AAC_RATE, FRAME};

/// The encoder's first packet holds what is before the first sample (`initial_padding`), so that
/// every packet begins so many samples before what was put in for it.
const PRIMING: i64 = FRAME;

/// Maps samples that come out onto stamps of what went in.
#[derive(Debug)]
pub(super) struct Marks {
    /// Samples per second of what goes in.
    rate: u32,
    /// Samples that went in.
    fed: i64,
    /// Packets that came out.
    made: i64,
    /// Samples, and the stamps that belong to them: where it does not go on by itself. Both count
    /// in the clock of the AAC.
    marks: VecDeque<(i64, i64)>,
}

impl Marks {
    pub(super) fn new(rate: u32) -> Self {
        Self {
            rate,
            fed: 0,
            made: 0,
            marks: VecDeque::new(),
        }
    }

    /// `length` samples with this stamp go in. Returns after how many others, in milliseconds.
    pub(super) fn feed(&mut self, stamp: i64, length: u32) -> u64 {
        let at = rescale(self.fed, self.rate, AAC_RATE);
        let stamp = rescale(stamp, self.rate, AAC_RATE);
        let expected = self.marks.back().map(|(from, stamp)| stamp + at - from);
        // Rounding makes a difference of one.
        if expected.is_none_or(|expected| stamp.abs_diff(expected) > 1) {
            self.marks.push_back((at, stamp));
        }
        let before = rescale(self.fed, self.rate, 1000);
        self.fed += i64::from(length);
        u64::try_from(before).unwrap_or(0)
    }

    /// When the next packet plays that comes out; `None` if it is before everything.
    pub(super) fn make(&mut self) -> Option<i64> {
        let at = self.made * FRAME - PRIMING;
        self.made += 1;
        while self.marks.get(1).is_some_and(|(next, _)| *next <= at) {
            self.marks.pop_front();
        }
        let (from, stamp) = self.marks.front()?;
        (at >= *from).then(|| stamp + at - from)
    }

    /// How far what went in is ahead of what came out, in ticks of the AAC.
    pub(super) fn ahead(&self) -> i64 {
        rescale(self.fed, self.rate, AAC_RATE) - self.made * FRAME
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_packet_is_priming_and_a_gap_moves_what_follows() {
        let mut marks = Marks::new(8000);
        assert_eq!(marks.feed(80_000, 160), 0);
        assert_eq!(marks.feed(80_160, 160), 20);
        // A second is missing.
        assert_eq!(marks.feed(88_320, 160), 40);
        assert_eq!(marks.make(), None);
        let stamps = std::iter::from_fn(|| marks.make()).take(3);
        assert_eq!(
            stamps.collect::<Vec<_>>(),
            [480_000, 481_024, 482_048 + 48_000]
        );
    }

    proptest! {
        #[test]
        fn what_comes_out_belongs_to_what_went_in(
            rate in prop_oneof![Just(8000_u32), Just(16_000), Just(44_100), Just(48_000)],
            packets in prop::collection::vec((1_u32..3000, 0_i64..5000), 1..60),
        ) {
            let mut marks = Marks::new(rate);
            let (mut stamp, mut sent) = (1_000_000, Vec::new());
            for (length, gap) in packets {
                stamp += gap;
                sent.push((stamp, length));
                marks.feed(stamp, length);
                stamp += i64::from(length);
            }
            let mut last = i64::MIN;
            while marks.ahead() > 0 {
                let Some(made) = marks.make() else { continue };
                prop_assert!(made > last);
                last = made;
                // It is within a packet, but for rounding.
                let inside = sent.iter().any(|(stamp, length)| {
                    let from = rescale(*stamp, rate, AAC_RATE);
                    let to = rescale(stamp + i64::from(*length), rate, AAC_RATE);
                    (from - 12..=to + 12).contains(&made)
                });
                prop_assert!(inside, "{} in {:?}", made, sent);
            }
        }
    }
}
