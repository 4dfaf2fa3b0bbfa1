//! Gives a controller what the queues have, in batches, each until it is taken.
//!
//! Hardly any answer means "never". When the controller is away, busy, or takes nobody's word, what
//! was sent is good and is sent again. When it refuses what was sent, the batch is halved until one
//! record stands alone, so that those beside it go through. That one may be good too: a controller
//! that is older than the edge does not know every action. It waits, and those behind it, as long as
//! an upgrade may take; only then it is given up.

use std::time::Duration;

use headworks_bootstrap::Clock;
use headworks_client::{Client, Error};
use headworks_types::ProblemCode;
use tokio::{
    sync::watch::Receiver,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Audit, Kind, Store, keep::Shelf};
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

/// How long a record may be refused: no rolling upgrade takes longer.
pub(super) const PATIENCE: Duration = Duration::from_secs(3600);

/// Delivers until `stop`, each kind by itself.
pub(crate) async fn deliver(
    audit: Audit,
    store: Store,
    client: Receiver<Client>,
    stop: &CancellationToken,
) {
    let course = |kind| Course::new(audit.clone(), &store, kind, client.clone()).run();
    let all = async { tokio::join!(course(Kind::Admitted), course(Kind::Refused)) };
    stop.run_until_cancelled(all).await;
}

/// The delivery of one kind.
pub(super) struct Course {
    audit: Audit,
    shelf: Shelf,
    kind: Kind,
    client: Receiver<Client>,
    clock: Clock,
    /// Records of the next batch.
    most: usize,
    patience: Patience,
}

impl Course {
    pub(super) fn new(audit: Audit, store: &Store, kind: Kind, client: Receiver<Client>) -> Self {
        Self {
            clock: audit.0.clock.clone(),
            audit,
            shelf: store.shelf(kind).clone(),
            kind,
            client,
            most: MOST,
            patience: Patience::default(),
        }
    }

    async fn run(mut self) {
        let mut backoff = Backoff::new(FIRST_WAIT, MOST_WAIT);
        loop {
            match self.turn().await {
                Ok(true) => backoff.reset(),
                Ok(false) => {
                    backoff.reset();
                    let _ = timeout(LOOK, self.shelf.written()).await;
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
    }

    /// One delivery; false if there was nothing.
    pub(super) async fn turn(&mut self) -> anyhow::Result<bool> {
        let delivery = self.shelf.peek(self.most, BYTES).await?;
        let Some(last) = delivery.entries.last() else {
            return Ok(false);
        };
        let call = self.client.borrow().audit_deliver(&delivery);
        match call.deadline(DEADLINE).await {
            Ok(()) => {
                self.most = (self.most * 2).min(MOST);
                self.patience.taken(last.sequence);
            }
            Err(error) if is_of_content(&error) && delivery.entries.len() > 1 => {
                self.most = delivery.entries.len() / 2;
                return Ok(true);
            }
            Err(error)
                if is_of_content(&error)
                    && self.patience.is_over(last.sequence, self.clock.monotonic()) =>
            {
                tracing::error!(
                    %error, record = ?last,
                    "the controller does not take a record of the audit log; it is lost"
                );
                self.audit.lose(self.kind, last.count);
            }
            Err(error) => return Err(error.into()),
        }
        self.shelf.forget(last.sequence).await?;
        Ok(true)
    }
}

/// True if the controller speaks of what was sent: not of who sent it, or of itself.
fn is_of_content(error: &Error) -> bool {
    matches!(
        error.code(),
        Some(ProblemCode::Malformed | ProblemCode::Invalid | ProblemCode::TooLarge)
    )
}

/// For how long records have been refused.
#[derive(Default)]
struct Patience {
    /// When the first and the last were.
    refused: Option<(Instant, Instant)>,
    /// The one that is sent again.
    waiting: Option<i64>,
}

impl Patience {
    /// A record was refused by itself; true if it is to be given up. Once one was, the next are at
    /// once: those behind them have waited enough.
    fn is_over(&mut self, sequence: i64, now: Instant) -> bool {
        let recent = self.refused.filter(|(_, last)| now - *last <= PATIENCE);
        let since = recent.map_or(now, |(since, _)| since);
        self.refused = Some((since, now));
        let is_over = now - since >= PATIENCE;
        self.waiting = (!is_over).then_some(sequence);
        is_over
    }

    /// Everything up to this number was taken.
    fn taken(&mut self, sequence: i64) {
        if self.waiting.is_some_and(|waiting| waiting <= sequence) {
            *self = Self::default();
        }
    }
}
