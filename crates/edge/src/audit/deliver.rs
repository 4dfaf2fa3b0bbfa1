//! Gives a controller what the queue has, in batches, each until it is taken.

use std::time::Duration;

use headworks_client::{Client, Error};
use headworks_types::ProblemCode;
use tokio::{
    sync::watch::Receiver,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Audit, Store};
use crate::backoff::{self, Backoff};

/// One delivery. The controller takes more.
const MOST: usize = 500;
const BYTES: usize = 512 << 10;

/// How long the controller may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// The queue is looked at this often, also if nobody calls.
const LOOK: Duration = Duration::from_secs(5);

/// Records that come together go together.
const GATHER: Duration = Duration::from_millis(100);

const FIRST_WAIT: Duration = Duration::from_millis(500);
const MOST_WAIT: Duration = Duration::from_secs(10);

/// Delivers until `stop`.
pub(crate) async fn deliver(
    audit: Audit,
    store: Store,
    client: Receiver<Client>,
    stop: &CancellationToken,
) {
    let mut backoff = Backoff::new(FIRST_WAIT, MOST_WAIT);
    let work = async {
        loop {
            match turn(&audit, &store, &client).await {
                Ok(true) => backoff.reset(),
                Ok(false) => {
                    backoff.reset();
                    let _ = timeout(LOOK, store.written()).await;
                    sleep(GATHER).await;
                }
                Err(error) => {
                    let wait = backoff.next(backoff::random());
                    tracing::debug!(error = format!("{error:#}"), retry_in = ?wait,
                        "the audit log is not delivered");
                    sleep(wait).await;
                }
            }
        }
    };
    stop.run_until_cancelled(work).await;
}

/// One delivery; false if there was nothing.
async fn turn(audit: &Audit, store: &Store, client: &Receiver<Client>) -> anyhow::Result<bool> {
    let delivery = store.peek(MOST, BYTES).await?;
    let Some(last) = delivery.entries.last().map(|entry| entry.sequence) else {
        return Ok(false);
    };
    let call = client.borrow().audit_deliver(&delivery);
    match call.deadline(DEADLINE).await {
        Ok(()) => {}
        Err(error) if is_for_good(&error) => {
            tracing::error!(%error, "the controller does not take records of the audit log");
            audit.lose(delivery.entries.iter().map(|entry| entry.count).sum());
        }
        Err(error) => return Err(error.into()),
    }
    store.forget(last).await?;
    Ok(true)
}

/// Asking again would not help, and what comes after would never be told.
fn is_for_good(error: &Error) -> bool {
    matches!(
        error.code(),
        Some(ProblemCode::Malformed | ProblemCode::Invalid | ProblemCode::TooLarge)
    )
}
