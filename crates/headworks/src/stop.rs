//! Stopping on Ctrl-C: in order at the first, at once at the second.

use std::time::Duration;

use headworks_bootstrap::{Tasks, signal::Signals};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// The exit code of a program that was interrupted: 128 and `SIGINT`.
const INTERRUPTED: i32 = 130;

/// Knows when to stop.
pub(crate) struct Stop {
    token: CancellationToken,
    tasks: Tasks,
}

impl Stop {
    /// From now on the signals do not end the process by themselves.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let mut signals = Signals::listen().map_err(Failure::from_error)?;
        let (token, tasks) = (CancellationToken::new(), Tasks::new());
        let (first, ended) = (token.clone(), tasks.token());
        tasks.spawn("signals", async move {
            let watch = async {
                let signal = signals.next().await;
                tracing::info!(signal, "stopping; once more stops at once");
                first.cancel();
                signals.next().await;
                std::process::exit(INTERRUPTED);
            };
            ended.run_until_cancelled(watch).await;
        });
        Ok(Self { token, tasks })
    }

    /// Waits for the first signal.
    pub(crate) async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// What `work` gives; none if a signal comes first.
    pub(crate) async fn or<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.token.run_until_cancelled(work).await
    }

    /// The end of listening.
    pub(crate) async fn done(self) {
        self.tasks.shutdown(Duration::from_secs(1)).await;
    }
}
