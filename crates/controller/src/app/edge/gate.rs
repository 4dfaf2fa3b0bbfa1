//! How many watches ask the database for their nodes' work at once.
//!
//! When a controller starts again, all edges come back together. Without this they would queue for
//! every connection to the database that there is, and leases, which nobody may be late with, would
//! wait behind them.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// Fewer than a controller has connections.
const PLACES: usize = 4;
/// How long somebody waits. An edge that is sent away comes back after a moment, and not with all
/// others.
const DEADLINE: Duration = Duration::from_secs(10);

/// The gate. Clones are the same.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PLACES)))
    }
}

impl Gate {
    /// Waits for a place, which is held until it is dropped; `None` if none was free for long.
    pub(crate) async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        let place = timeout(DEADLINE, self.0.acquire()).await;
        place.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_sent_away() {
        let gate = Gate::default();
        let mut inside = Vec::new();
        for _ in 0..PLACES {
            inside.push(gate.enter().await.expect("there is room"));
        }
        assert!(gate.enter().await.is_none());
        inside.pop();
        assert!(gate.enter().await.is_some());
    }
}
