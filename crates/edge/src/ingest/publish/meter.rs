//! How much has come in the last ten seconds.

use std::time::Duration;

use tokio::time::Instant;

/// How many slices the window has, the one that is being filled among them.
const SLICES: usize = 10;

/// How long a slice is.
const SLICE: Duration = Duration::from_secs(1);

/// Counts bytes over a window of ten seconds that moves on by a second. It costs an addition for each
/// piece, and memory for ten numbers.
///
/// A window bounds both: nobody sends more than the window holds at once, and nobody more than the
/// cap for long. What comes in bursts, as a key frame or what an encoder has kept through a short
/// outage, passes as long as ten seconds together hold it.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter {
    slices: [u64; SLICES],
    /// The slice that is being filled, and when it is full; `None` before the first byte.
    now: Option<(usize, Instant)>,
}

impl Meter {
    /// So many bytes have come.
    pub(super) fn add(&mut self, bytes: u64, now: Instant) {
        let slice = self.move_on(now);
        self.slices[slice] += bytes;
    }

    /// True if the window holds more than so many kbit/s come to.
    pub(super) fn is_over(&mut self, kbit: u32, now: Instant) -> bool {
        self.move_on(now);
        let most = u64::from(kbit) * 1000 / 8 * SLICES as u64;
        self.slices.iter().sum::<u64>() > most
    }

    /// Forgets what is older than the window; gives the slice that is being filled.
    fn move_on(&mut self, now: Instant) -> usize {
        let Some((mut slice, mut full_at)) = self.now else {
            self.now = Some((0, now + SLICE));
            return 0;
        };
        if now >= full_at + SLICE * SLICES as u32 {
            *self = Self::default();
            return self.move_on(now);
        }
        while now >= full_at {
            slice = (slice + 1) % SLICES;
            self.slices[slice] = 0;
            full_at += SLICE;
        }
        self.now = Some((slice, full_at));
        slice
    }
}

#[cfg(test)]
mod tests {
    use headworks_bootstrap::Clock;

    use super::*;

    /// For how many tenths of a second so many bytes a tenth pass, at most a minute.
    fn passes(meter: &mut Meter, start: Instant, bytes: u64, kbit: u32) -> u32 {
        let tenth = |tenth| start + SLICE / 10 * tenth;
        let passes = |&tenths: &u32| {
            meter.add(bytes, tenth(tenths));
            !meter.is_over(kbit, tenth(tenths))
        };
        (0..600).take_while(passes).count() as u32
    }

    #[tokio::test(start_paused = true)]
    async fn who_stays_below_passes_for_ever_and_who_does_not_only_for_a_while() {
        let start = Clock::system().monotonic();
        // 80 kbit/s are 1000 bytes in a tenth of a second.
        assert_eq!(passes(&mut Meter::default(), start, 1000, 80), 600);
        let slightly = passes(&mut Meter::default(), start, 1100, 80);
        assert!((85..=100).contains(&slightly), "{slightly}");
        assert_eq!(passes(&mut Meter::default(), start, 2000, 80), 50);
        assert_eq!(passes(&mut Meter::default(), start, 100_001, 80), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_is_forgotten_when_the_window_has_moved_on() {
        let start = Clock::system().monotonic();
        let mut meter = Meter::default();
        meter.add(100_000, start);
        assert!(!meter.is_over(80, start));
        meter.add(1, start + SLICE * 9);
        assert!(meter.is_over(80, start + SLICE * 9));
        assert!(!meter.is_over(80, start + SLICE * 10));
        meter.add(99_999, start + SLICE * 11);
        assert!(!meter.is_over(80, start + SLICE * 11));
        meter.add(100_000, start + SLICE * 3600);
        assert!(!meter.is_over(80, start + SLICE * 3600), "all is old");
    }
}
