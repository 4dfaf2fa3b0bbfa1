//! Gives frames away in real time.
//!
//! A segment comes at once, and whoever got its frames at once would get nothing afterwards.

use std::time::Duration;

use headworks_bootstrap::Clock;
use headworks_media::{Demuxed, VIDEO_CLOCK};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout_at},
};

use super::Item;
use crate::ingest::{Feed, failure::Failure};

/// What is later than this, since the server was, is not caught up on.
const LATE: Duration = Duration::from_secs(3);

/// Timestamps that go this far, in 90 kHz, have jumped.
const JUMP: i64 = 10 * VIDEO_CLOCK as i64;

/// Shows everything that comes, at its time. Fails if no picture comes for too long.
pub(super) async fn run(
    mut items: mpsc::Receiver<Item>,
    clock: &Clock,
    feed: &mut Feed,
) -> Result<(), Failure> {
    let mut pace = Pace::default();
    loop {
        let item = match timeout_at(feed.deadline(), items.recv()).await {
            Ok(Some(item)) => item,
            Ok(None) => return Ok(()),
            Err(_) => {
                feed.check()?;
                continue;
            }
        };
        match item {
            Item::Begin => {
                pace = Pace::default();
                feed.begin("HLS");
            }
            Item::Found(found) => {
                if let Demuxed::Video { dts, .. } = &found {
                    let now = clock.monotonic();
                    sleep_until(pace.due(*dts, now)).await;
                }
                feed.take(found);
                feed.flush();
            }
        }
    }
}

/// Which time of the media belongs to which of ours.
#[derive(Debug, Default)]
struct Pace {
    anchor: Option<(i64, Instant)>,
    last: i64,
}

impl Pace {
    /// When a picture with this timestamp is due; may be in the past.
    fn due(&mut self, dts: i64, now: Instant) -> Instant {
        let jumps = dts.saturating_sub(self.last).saturating_abs() > JUMP;
        self.last = dts;
        if let Some((from, start)) = self.anchor.filter(|_| !jumps) {
            let micros = (dts - from).max(0) as u64 * 1000 / u64::from(VIDEO_CLOCK / 1000);
            let due = start + Duration::from_micros(micros);
            if due + LATE > now {
                return due;
            }
        }
        self.anchor = Some((dts, now));
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_come_in_real_time_also_behind_jumps_and_stalls() {
        let start = Clock::system().monotonic();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let second = i64::from(VIDEO_CLOCK);
        let mut pace = Pace::default();
        assert_eq!(pace.due(second, at(0.0)), at(0.0));
        assert_eq!(pace.due(2 * second, at(0.0)), at(1.0));
        assert_eq!(pace.due(3 * second, at(4.0)), at(2.0), "is caught up on");
        assert_eq!(pace.due(900 * second, at(4.0)), at(4.0), "has jumped");
        assert_eq!(pace.due(901 * second, at(4.0)), at(5.0));
        assert_eq!(pace.due(902 * second, at(60.0)), at(60.0), "is too late");
        assert_eq!(pace.due(903 * second, at(60.0)), at(61.0));
        assert_eq!(pace.due(i64::MAX, at(60.0)), at(60.0));
    }
}
