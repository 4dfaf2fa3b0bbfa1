//! Keeps strict work from being done by two nodes at once ([`Fencing::Strict`]): waits for what
//! [`duty::Fence`] decides.
//!
//! The lease loop says what is [`renewed`], the watch loop what is [`applied`]. Who does strict
//! work waits for a [`Permit`], asks it before each burst of bytes whether it still [`holds`], and
//! lets everything go when it has [`lapsed`]. A permit that has lapsed once never holds again,
//! whatever is renewed later: somebody else may have had the work meanwhile.
//!
//! The clock goes on while the process is frozen or the machine sleeps, so that the first thing that
//! it does when it thaws is not to send.
//!
//! What stays open: all clocks of a virtual machine stand still while its hypervisor pauses it. One
//! that goes on after longer than its lease sends until it has heard of the revision that took the
//! work away, for [`STRICT_STOP`] at most. And what the kernel had taken before a freeze it sends.
//!
//! [`duty::Fence`]: headworks_duty::Fence
//! [`Fencing::Strict`]: headworks_types::edge::Fencing::Strict
//! [`renewed`]: Fence::renewed
//! [`applied`]: Fence::applied
//! [`holds`]: Permit::holds
//! [`lapsed`]: Permit::lapsed
//! [`STRICT_STOP`]: headworks_types::edge::STRICT_STOP

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll};

use headworks_bootstrap::Clock;
use headworks_duty as duty;
use tokio::{
    sync::watch,
    time::{Duration, Instant, sleep},
};

/// So often who holds a permit looks at the clock, whatever timers say.
const LOOK: Duration = Duration::from_secs(1);

/// Says whether strict work may be done. Clones are the same.
#[derive(Clone)]
pub(crate) struct Fence {
    clock: Clock,
    state: Arc<watch::Sender<duty::Fence>>,
}

/// The right to do strict work, until it lapses.
#[derive(Clone)]
pub(crate) struct Permit {
    fence: Fence,
    permit: duty::Permit,
}

impl Fence {
    /// Lets nothing through yet.
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            state: Arc::default(),
        }
    }

    /// A renewal that was sent at `sent` is acknowledged; the grant names `revision`.
    pub(crate) fn renewed(&self, sent: Instant, revision: i64) {
        let now = self.clock.boottime().into_std();
        self.state
            .send_modify(|state| state.renewed(now, sent.into_std(), revision));
    }

    /// A new revision is being applied; until it is, nothing starts.
    pub(crate) fn applying(&self) {
        self.state.send_modify(duty::Fence::applying);
    }

    /// This revision is applied.
    pub(crate) fn applied(&self, revision: i64) {
        self.state.send_modify(|state| state.applied(revision));
    }

    /// Waits until strict work may start.
    pub(crate) async fn permit(&self) -> Permit {
        let mut state = self.state.subscribe();
        loop {
            let now = self.clock.boottime().into_std();
            let permit = state.borrow_and_update().permit(now);
            if let Some(permit) = permit {
                return Permit {
                    fence: self.clone(),
                    permit,
                };
            }
            // The sender is in `self`.
            let _ = state.changed().await;
        }
    }
}

impl Permit {
    /// True as long as the work may go on.
    pub(crate) fn holds(&self) -> bool {
        self.left().is_some()
    }

    /// Returns when the work has to stop. Looks at the clock whenever it is polled: after a freeze
    /// timers may be late.
    pub(crate) async fn lapsed(&self) {
        let mut waiting = pin!(self.wait());
        poll_fn(|context| {
            if self.holds() {
                waiting.as_mut().poll(context)
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }

    async fn wait(&self) {
        let mut state = self.fence.state.subscribe();
        loop {
            state.mark_unchanged();
            // Timers do not know of the time that the machine slept.
            let Some(left) = self.left() else {
                return;
            };
            tokio::select! {
                () = sleep(left.min(LOOK)) => {}
                _ = state.changed() => {}
            }
        }
    }

    /// How long it holds, as things stand; none if it has lapsed.
    fn left(&self) -> Option<Duration> {
        let state = *self.fence.state.borrow();
        let now = self.fence.clock.boottime().into_std();
        let until = state.until(self.permit).filter(|until| now < *until)?;
        Some(until - now)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use headworks_types::edge::STRICT_STOP;
    use proptest::prelude::*;
    use tokio::time::advance;

    use super::*;

    fn second() -> Duration {
        Duration::from_secs(1)
    }

    /// A fence that was granted revision 3, and has applied it.
    fn open() -> (Fence, Clock) {
        let clock = Clock::system();
        let fence = Fence::new(clock.clone());
        fence.applied(3);
        fence.renewed(clock.boottime(), 3);
        (fence, clock)
    }

    fn permit(fence: &Fence) -> Option<Permit> {
        fence.permit().now_or_never()
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_starts_before_a_grant_names_what_is_applied() {
        let clock = Clock::system();
        let fence = Fence::new(clock.clone());
        assert!(permit(&fence).is_none(), "nothing is known");
        fence.applied(3);
        assert!(permit(&fence).is_none(), "no controller has spoken");
        fence.renewed(clock.boottime(), 4);
        assert!(permit(&fence).is_none(), "4 may have taken it away");
        fence.applying();
        fence.renewed(clock.boottime(), 4);
        assert!(permit(&fence).is_none(), "4 is not applied yet");
        fence.applied(4);
        assert!(permit(&fence).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn work_goes_on_while_a_newer_revision_is_on_its_way() {
        let (fence, clock) = open();
        let permit = permit(&fence).expect("may start");
        for _ in 0..20 {
            advance(second()).await;
            fence.renewed(clock.boottime(), 4);
            assert!(permit.holds());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn work_stops_seven_seconds_after_the_last_good_renewal_was_sent() {
        let (fence, clock) = open();
        let permit = permit(&fence).expect("may start");
        let sent = clock.boottime();
        // Its answer took three seconds.
        advance(3 * second()).await;
        fence.renewed(sent, 3);
        permit.lapsed().await;
        let late = (clock.boottime() - sent).saturating_sub(STRICT_STOP);
        assert!(late < Duration::from_millis(10), "{late:?}");
        assert!(!permit.holds());
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_after_the_end_lets_nothing_old_go_on() {
        let (fence, clock) = open();
        let old = permit(&fence).expect("may start");
        // The process was frozen, and nothing in it has noticed when the next grant comes.
        advance(60 * second()).await;
        fence.renewed(clock.boottime(), 5);
        assert!(!old.holds());
        assert!(old.lapsed().now_or_never().is_some());
        assert!(permit(&fence).is_none(), "5 is not applied");
        fence.applied(5);
        assert!(permit(&fence).expect("may start").holds());
        assert!(!old.holds());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_from_before_a_freeze_renews_nothing() {
        let (fence, clock) = open();
        let sent = clock.boottime();
        advance(60 * second()).await;
        fence.renewed(sent, 3);
        assert!(permit(&fence).is_none());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Pass(u16),
        /// A renewal that was sent so long ago names a revision.
        Renewed(u16, i64),
        Applying,
        Applied(i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_u16..9000).prop_map(Step::Pass),
            (0_u16..9000, 0_i64..3).prop_map(|(ago, revision)| Step::Renewed(ago, revision)),
            Just(Step::Applying),
            (0_i64..3).prop_map(Step::Applied),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        /// Whatever happens: who holds a permit has had a renewal sent within the last seven
        /// seconds, without a gap since it got the permit.
        #[test]
        fn no_permit_outlives_the_lease(steps in proptest::collection::vec(step(), 1..40)) {
            let clock = Clock::manual(chrono::DateTime::UNIX_EPOCH);
            let fence = Fence::new(clock.clone());
            let start = clock.boottime();
            clock.advance(Duration::from_secs(10));
            let mut until = start;
            let (mut granted, mut applied) = (None, None);
            let mut permits: Vec<Permit> = Vec::new();
            for step in steps {
                match step {
                    Step::Pass(by) => clock.advance(Duration::from_millis(by.into())),
                    Step::Renewed(ago, revision) => {
                        let now = clock.boottime();
                        if now >= until {
                            permits.iter().for_each(|permit| assert!(!permit.holds()));
                            permits.clear();
                        }
                        let sent = now - Duration::from_millis(ago.into());
                        fence.renewed(sent, revision);
                        until = until.max(sent + STRICT_STOP);
                        granted = Some(revision);
                    }
                    Step::Applying => {
                        fence.applying();
                        applied = None;
                    }
                    Step::Applied(revision) => {
                        fence.applied(revision);
                        applied = Some(revision);
                    }
                }
                let alive = clock.boottime() < until;
                prop_assert!(permits.iter().all(|permit| permit.holds() == alive));
                let new = permit(&fence);
                let may_start = alive && granted.is_some() && granted == applied;
                prop_assert_eq!(new.is_some(), may_start);
                permits.extend(new);
            }
        }
    }
}
