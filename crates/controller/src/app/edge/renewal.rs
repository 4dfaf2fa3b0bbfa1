//! The queue in which renewals wait for their batch.
//!
//! `reconcile::renewal` empties it. The queue is bounded: when it is full, edges are told to try
//! again, which they do long before their leases run out.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use headworks_types::{NodeId, edge::LeaseRenewal};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::app::{Error, Result};

const QUEUE: usize = 4096;
const DEADLINE: Duration = Duration::from_secs(5);

/// The way into the queue. Clones lead into the same one.
#[derive(Clone)]
pub(crate) struct Renewals {
    queue: mpsc::Sender<Waiting>,
    outlet: Arc<Mutex<Option<mpsc::Receiver<Waiting>>>>,
}

/// A renewal that waits.
pub(crate) struct Waiting {
    pub(crate) node: NodeId,
    pub(crate) renewal: LeaseRenewal,
    /// Takes the node's revision when the batch is committed.
    pub(crate) answer: oneshot::Sender<Result<i64>>,
}

impl Default for Renewals {
    fn default() -> Self {
        let (queue, outlet) = mpsc::channel(QUEUE);
        Self {
            queue,
            outlet: Arc::new(Mutex::new(Some(outlet))),
        }
    }
}

impl Renewals {
    /// Waits until the renewal is committed; returns the node's revision.
    pub(crate) async fn submit(&self, node: NodeId, renewal: LeaseRenewal) -> Result<i64> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting {
            node,
            renewal,
            answer,
        };
        self.queue.try_send(waiting).map_err(|_| overloaded())?;
        match timeout(DEADLINE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(overloaded()),
        }
    }

    /// The end of the queue, for the one who empties it.
    pub(crate) fn outlet(&self) -> Option<mpsc::Receiver<Waiting>> {
        self.outlet
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

fn overloaded() -> Error {
    Error::Unavailable(sqlx::Error::PoolTimedOut)
}
