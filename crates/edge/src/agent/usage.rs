//! Measures what each slot takes from this node, over the last minute of its work.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use headworks_types::edge::{SlotKey, SlotReport, SlotState, SlotUsage};
use tokio::time::Instant;

use crate::work::Consumed;

/// Over how long means are taken.
const WINDOW: Duration = Duration::from_secs(60);
/// From so much on a mean tells something.
const ENOUGH: Duration = Duration::from_secs(30);
/// How often it is looked.
const STEP: Duration = Duration::from_secs(5);

/// What slots had consumed at some times within the window.
#[derive(Default)]
pub(super) struct Meter(HashMap<SlotKey, VecDeque<(Instant, Consumed)>>);

impl Meter {
    /// Adds to the reports what their slots take. What does not run takes nothing that counts: its
    /// measuring begins anew when it does.
    pub(super) fn measure(
        &mut self,
        now: Instant,
        consumed: &HashMap<SlotKey, Consumed>,
        reports: &mut [SlotReport],
    ) {
        let live: HashSet<_> = reports
            .iter()
            .filter(|report| report.state == SlotState::Live)
            .map(|report| report.key)
            .collect();
        self.0.retain(|key, _| live.contains(key));
        for report in reports {
            if live.contains(&report.key)
                && let Some(consumed) = consumed.get(&report.key)
            {
                report.usage = self.look(report.key, now, *consumed);
            }
        }
    }

    fn look(&mut self, key: SlotKey, now: Instant, consumed: Consumed) -> Option<SlotUsage> {
        let seen = self.0.entry(key).or_default();
        let (began, is_due) = match (seen.front(), seen.back()) {
            (Some((_, first)), Some((last, before))) => {
                // A new connection or another encoder counts from nothing.
                let is_reset = consumed.is_less(before);
                (
                    (!is_reset).then_some(*first),
                    is_reset || now - *last >= STEP,
                )
            }
            _ => (None, true),
        };
        if began.is_none() {
            seen.clear();
        }
        if is_due {
            seen.push_back((now, consumed));
        }
        while seen.get(1).is_some_and(|(at, _)| now - *at >= WINDOW) {
            seen.pop_front();
        }
        let (since, first) = *seen.front()?;
        let elapsed = now - since;
        (elapsed >= ENOUGH).then(|| consumed.since(&first, elapsed))
    }
}

impl Consumed {
    fn is_less(&self, before: &Self) -> bool {
        let less = |now: Option<u64>, before: Option<u64>| now.unwrap_or(0) < before.unwrap_or(0);
        self.received < before.received
            || self.sent < before.sent
            || less(self.child_ticks, before.child_ticks)
    }

    fn since(&self, first: &Self, elapsed: Duration) -> SlotUsage {
        let millis = elapsed.as_millis().max(1);
        let kbit = |now: u64, before: u64| {
            let bits = u128::from(now.saturating_sub(before)) * 8;
            u32::try_from(bits / millis).unwrap_or(u32::MAX)
        };
        // A tick is a hundredth of a second.
        let cores = |ticks: u64, before: u64| {
            let micros = u128::from(ticks.saturating_sub(before)) * 10_000;
            u32::try_from(micros / millis).unwrap_or(u32::MAX)
        };
        SlotUsage {
            in_kbit: kbit(self.received, first.received),
            out_kbit: kbit(self.sent, first.sent),
            millicores: self
                .child_ticks
                .map(|ticks| cores(ticks, first.child_ticks.unwrap_or(0))),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use headworks_bootstrap::Clock;
    use headworks_types::{CameraId, edge::Role};
    use uuid::Uuid;

    use super::*;

    fn report(state: SlotState) -> SlotReport {
        SlotReport {
            key: SlotKey {
                camera_id: CameraId::from(Uuid::nil()),
                role: Role::Restream,
                ordinal: 0,
            },
            epoch: 1,
            state,
            message: String::new(),
            since: DateTime::UNIX_EPOCH,
            tracks: Vec::new(),
            viewers: 0,
            publisher: None,
            refused: None,
            published: Vec::new(),
            restream: None,
            usage: None,
        }
    }

    fn consumed(megabits: u64, ticks: Option<u64>) -> Consumed {
        Consumed {
            received: 0,
            sent: megabits * 125_000,
            child_ticks: ticks,
        }
    }

    fn look(
        meter: &mut Meter,
        now: Instant,
        state: SlotState,
        consumed: Consumed,
    ) -> Option<SlotUsage> {
        let mut reports = [report(state)];
        let consumed = HashMap::from([(reports[0].key, consumed)]);
        meter.measure(now, &consumed, &mut reports);
        reports[0].usage
    }

    #[test]
    fn means_are_over_the_last_minute_of_work() {
        let start = Clock::manual(DateTime::UNIX_EPOCH).monotonic();
        let mut meter = Meter::default();
        let mut at = |seconds: u64, state, consumed| {
            look(
                &mut meter,
                start + Duration::from_secs(seconds),
                state,
                consumed,
            )
        };
        let live = SlotState::Live;
        // 4 Mbit/s and half a core for a minute.
        for second in (0..30).step_by(2) {
            let usage = at(second, live, consumed(4 * second, Some(50 * second)));
            assert_eq!(usage, None, "{second}");
        }
        let steady = |out_kbit, millicores| SlotUsage {
            in_kbit: 0,
            out_kbit,
            millicores: Some(millicores),
        };
        for second in (30..60).step_by(2) {
            let usage = at(second, live, consumed(4 * second, Some(50 * second)));
            assert_eq!(usage, Some(steady(4000, 500)), "{second}");
        }
        // Then nothing: after another minute that is all there is.
        let mut last = None;
        for second in (60..140).step_by(2) {
            last = at(second, live, consumed(232, Some(2900)));
        }
        assert_eq!(last, Some(steady(0, 0)));
        // Another encoder counts from nothing, and so does what was interrupted.
        assert_eq!(at(142, live, consumed(232, Some(1))), None);
        assert_eq!(
            at(172, live, consumed(232, Some(301))),
            Some(steady(0, 100))
        );
        assert_eq!(at(174, SlotState::Failed, consumed(232, None)), None);
        assert_eq!(at(176, live, consumed(232, None)), None);
    }
}
