//! Connection attempts begin in turns: after a power cut not all cameras of a site are asked at
//! once. Who does not answer keeps the others waiting for a moment only.

use std::{pin::pin, time::Duration};

use tokio::{sync::Semaphore, time::timeout};

/// An attempt counts for this long at most. Whoever lives has mostly answered by then.
const COUNTED: Duration = Duration::from_secs(1);

/// Lets so many attempts begin at once.
pub(crate) struct Turns(Semaphore);

impl Turns {
    /// At least one.
    pub(crate) fn new(at_once: usize) -> Self {
        Self(Semaphore::new(at_once.max(1)))
    }

    /// Waits for a turn, then makes the attempt. `None` if it takes longer than `limit`.
    pub(crate) async fn attempt<T>(
        &self,
        limit: Duration,
        attempt: impl Future<Output = T>,
    ) -> Option<T> {
        let turn = self.0.acquire().await;
        let mut attempt = pin!(timeout(limit, attempt));
        match timeout(COUNTED, &mut attempt).await {
            Ok(done) => done.ok(),
            Err(_) => {
                drop(turn);
                attempt.await.ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use headworks_bootstrap::Clock;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn the_dead_keep_the_living_waiting_for_a_moment_only() {
        let turns = Turns::new(1);
        let clock = Clock::system();
        let start = clock.monotonic();
        let dead = async {
            let outcome = turns.attempt(LIMIT, pending::<()>()).await;
            (outcome, clock.monotonic() - start)
        };
        let living = async {
            let outcome = turns.attempt(LIMIT, ready(())).await;
            (outcome, clock.monotonic() - start)
        };
        let (dead, living) = tokio::join!(dead, living);
        assert_eq!(dead, (None, LIMIT));
        assert_eq!(living, (Some(()), COUNTED));
    }
}
