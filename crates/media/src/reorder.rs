//! Decoding times from presentation times.
//!
//! RTP carries only when a picture is shown. Pictures arrive in decoding order, so the n-th
//! picture can be decoded at the (n − depth)-th smallest presentation time: a min-heap of `depth`
//! entries gives it without delay.

use std::{cmp::Reverse, collections::BinaryHeap};

/// Between the first pictures, before there is anything to measure: 25 pictures per second.
const FIRST_STEP: i64 = 3600;

/// More than any level of H.264 and H.265 allows.
const MAX_DEPTH: usize = 16;

/// Finds the decoding time of each picture of one video track, in 90 kHz.
#[derive(Debug, Clone)]
pub struct Reorder {
    depth: usize,
    shown: BinaryHeap<Reverse<i64>>,
    last: Option<i64>,
}

impl Reorder {
    /// For a stream of this reorder depth.
    #[must_use]
    pub fn new(depth: usize) -> Self {
        Self {
            depth: depth.min(MAX_DEPTH),
            shown: BinaryHeap::new(),
            last: None,
        }
    }

    /// How many pictures it allows to overtake another.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// By how much the first picture is decoded before it is shown.
    #[must_use]
    pub fn lead(&self) -> i64 {
        self.depth as i64 * FIRST_STEP
    }

    /// The decoding time of the next picture in decoding order, which is shown at `pts`. Rises
    /// with every call. Stays at or below `pts` unless the stream reorders deeper than it said;
    /// from then on its real depth is used.
    pub fn dts(&mut self, pts: i64) -> i64 {
        let missing = self.depth.saturating_sub(self.shown.len()) as i64;
        self.shown.push(Reverse(pts));
        let smallest = if missing > 0 {
            self.shown.peek().map_or(pts, |first| first.0) - missing * FIRST_STEP
        } else {
            self.shown.pop().map_or(pts, |first| first.0)
        };
        let dts = self.rise(smallest);
        if dts > pts && self.depth < MAX_DEPTH {
            self.depth += 1;
        }
        dts
    }

    /// The decoding time of the next picture where the source tells it. Rises with every call.
    pub fn rise(&mut self, dts: i64) -> i64 {
        let dts = match self.last {
            Some(last) if dts <= last => last.saturating_add(1),
            _ => dts,
        };
        self.last = Some(dts);
        dts
    }

    /// Forgets presentation times, after a jump; decoding times go on rising.
    pub fn restart(&mut self, depth: usize) {
        self.depth = depth.min(MAX_DEPTH);
        self.shown.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stamps(depth: usize, pts: &[i64]) -> Vec<i64> {
        let mut reorder = Reorder::new(depth);
        pts.iter().map(|pts| reorder.dts(*pts)).collect()
    }

    #[test]
    fn without_reordering_both_times_are_equal() {
        assert_eq!(stamps(0, &[0, 3600, 7200]), [0, 3600, 7200]);
    }

    #[test]
    fn a_pyramid_of_b_frames() {
        // I P B B P B B, 25 per second, as x264 sends them with bframes=2 and pyramid.
        let pts = [7200, 18_000, 10_800, 14_400, 28_800, 21_600, 25_200];
        let dts = stamps(2, &pts);
        assert_eq!(dts, [0, 3600, 7200, 10_800, 14_400, 18_000, 21_600]);
    }

    #[test]
    fn a_depth_that_was_too_small_is_learned() {
        let pts: Vec<_> = (0..40)
            .flat_map(|i| [i * 7200 + 7200, i * 7200 + 3600])
            .collect();
        let dts = stamps(0, &pts);
        assert!(dts.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(dts.iter().zip(&pts).skip(4).all(|(dts, pts)| dts <= pts));
    }

    proptest! {
        #[test]
        fn decoding_times_always_rise(depth in 0_usize..20, pts in prop::collection::vec(-1_000_000_i64..1_000_000, 1..100)) {
            let dts = stamps(depth, &pts);
            prop_assert!(dts.windows(2).all(|pair| pair[0] < pair[1]));
        }

        #[test]
        fn a_shuffle_within_the_depth_never_decodes_late(depth in 0_usize..5, swaps in prop::collection::vec(0_usize..5, 60)) {
            // Moves each picture back by at most `depth` places, which is what the depth promises.
            let mut waiting: Vec<i64> = Vec::new();
            // Nothing is shown before the first picture: decoding starts with it.
            let mut order = vec![0];
            for (index, swap) in swaps.iter().enumerate() {
                waiting.push((index as i64 + 1) * 3600);
                if waiting.len() > depth {
                    // The oldest must go now if it would otherwise be overtaken once too often.
                    let overtaken = order.iter().filter(|pts| **pts > waiting[0]).count();
                    let pick = if overtaken >= depth { 0 } else { swap % waiting.len() };
                    order.push(waiting.remove(pick));
                }
            }
            let dts = stamps(depth, &order);
            prop_assert!(dts.iter().zip(&order).all(|(dts, pts)| dts <= pts), "{order:?} {dts:?}");
        }
    }
}
