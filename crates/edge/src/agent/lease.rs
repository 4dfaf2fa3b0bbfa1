//! Renews the node's lease and reports what the edge observes.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use headworks_bootstrap::Clock;
use headworks_client::{Client, Error};
use headworks_types::{
    NodeLoad, ProblemCode,
    edge::{LeaseGrant, LeaseRenewal, SlotKey, SlotReport, SlotState},
};
use tokio::{
    sync::watch::{Receiver, Sender},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use uuid::{NoContext, Timestamp, Uuid};

use super::{
    Refused, Status,
    load::{ProcessLoad, SentRate, memory_bytes},
    usage::Meter,
};
use crate::work::Work;

/// Until a grant says how often to renew, and at most between attempts while no controller answers.
const RETRY: Duration = Duration::from_secs(1);
/// What a server may ask for.
const LEAST_INTERVAL: Duration = Duration::from_millis(10);
const MOST_INTERVAL: Duration = Duration::from_secs(60);
/// How long one renewal may take.
const DEADLINE: Duration = Duration::from_secs(3);
/// How long the last one may hold up the stop.
const GOODBYE_DEADLINE: Duration = Duration::from_secs(1);
/// How long strict work may take to end before the goodbye; it cuts itself off earlier.
const STRICT_END: Duration = Duration::from_secs(3);
/// So many refusals in a row mean that the node was removed.
const REFUSALS: u32 = 3;
/// A removed node asks so many times less often whether it was a mistake.
const REFUSED_SLOWER: u32 = 15;

/// Of two the one that was started later has the higher. A clock that was set back makes a restarted
/// edge wait until the lease of the process before it has run out.
pub(super) fn instance(now: DateTime<Utc>) -> Uuid {
    let seconds = now.timestamp().try_into().unwrap_or_default();
    let time = Timestamp::from_unix(NoContext, seconds, now.timestamp_subsec_nanos());
    Uuid::new_v7(time)
}

/// The report of work that is not done, since it was seen under this higher epoch.
fn overtaken((key, epoch): (&SlotKey, &i64), since: DateTime<Utc>) -> SlotReport {
    SlotReport {
        key: *key,
        epoch: *epoch,
        state: SlotState::Failed,
        message: "was assigned here under a higher number before; waits for a new assignment"
            .to_owned(),
        since,
        tracks: Vec::new(),
        viewers: 0,
        publisher: None,
        refused: None,
        published: Vec::new(),
        restream: None,
        usage: None,
    }
}

impl Refused {
    fn log(self, error: &Error) {
        match self {
            Self::Removed => tracing::error!(
                %error,
                "the cluster refuses this node's certificate: the node was removed, or was \
                 away for too long; all work stops. To join again, delete identity.json in the edge's \
                 data directory and start with a new join token"
            ),
            Self::Doubled => tracing::error!(
                "another process that was started later has the identity of this node; all work \
                 stops here until that one has ended. Each edge needs a data directory of its own"
            ),
        }
    }
}

/// The loop and what it remembers.
pub(super) struct LeaseLoop {
    client: Receiver<Client>,
    status: Arc<Sender<Status>>,
    work: Work,
    clock: Clock,
    instance: Uuid,
    process: ProcessLoad,
    usage: Meter,
    sent: SentRate,
    refusals: u32,
    interval: Duration,
}

impl LeaseLoop {
    pub(super) fn new(
        client: Receiver<Client>,
        status: Arc<Sender<Status>>,
        work: Work,
        clock: Clock,
        instance: Uuid,
    ) -> Self {
        Self {
            client,
            status,
            work,
            clock,
            instance,
            process: ProcessLoad::default(),
            usage: Meter::default(),
            sent: SentRate::default(),
            refusals: 0,
            interval: RETRY,
        }
    }

    /// Renews until `token` is cancelled, and then says goodbye.
    pub(super) async fn run(mut self, token: &CancellationToken) {
        loop {
            let turn = async {
                let wait = self.renew().await;
                tokio::time::sleep(wait).await;
            };
            if token.run_until_cancelled(turn).await.is_none() {
                break;
            }
        }
        // Who says goodbye lets others push at once.
        if timeout(STRICT_END, self.work.all_strict_stopped())
            .await
            .is_err()
        {
            tracing::warn!("strict work has not ended; no goodbye, the lease will run out");
            return;
        }
        let renewal = self.renewal(true);
        let goodbye = self.client.borrow().lease_renew(&renewal);
        if let Err(error) = goodbye.deadline(GOODBYE_DEADLINE).await {
            tracing::info!(%error, "could not say goodbye; the lease will run out");
        }
    }

    /// Renews once; says how long to wait until the next time.
    async fn renew(&mut self) -> Duration {
        let renewal = self.renewal(false);
        // What strict work lives by goes on while the machine sleeps.
        let sent = self.clock.boottime();
        let call = self.client.borrow_and_update().lease_renew(&renewal);
        match call.deadline(DEADLINE).await {
            Ok(grant) => {
                self.work.fence().renewed(sent, grant.revision);
                self.granted(grant)
            }
            Err(error) => self.failed(&error),
        }
    }

    fn granted(&mut self, grant: LeaseGrant) -> Duration {
        self.refusals = 0;
        self.change(|status| {
            if !status.connected {
                tracing::info!("the lease is renewed");
            }
            status.connected = true;
            status.expired = false;
            status.refused = None;
        });
        let interval = Duration::from_millis(grant.renew_in_ms.into());
        self.interval = interval.clamp(LEAST_INTERVAL, MOST_INTERVAL);
        self.interval.mul_f64(rand::random_range(0.9..=1.0))
    }

    fn failed(&mut self, error: &Error) -> Duration {
        if error.code() == Some(ProblemCode::Unauthenticated) {
            self.refusals += 1;
        } else {
            self.refusals = 0;
        }
        let refused = match error.code() {
            Some(ProblemCode::Conflict) => Some(Refused::Doubled),
            _ if self.refusals >= REFUSALS => Some(Refused::Removed),
            _ => None,
        };
        // Said of a certificate that is not replaced yet.
        let expired = error.code() == Some(ProblemCode::Forbidden)
            && !self.client.has_changed().unwrap_or(false);
        self.change(|status| {
            status.expired |= expired;
            match refused {
                Some(refused) if status.refused != Some(refused) => refused.log(error),
                None if status.connected => {
                    tracing::warn!(%error, "the lease is not renewed; going on with what is known");
                }
                _ => {}
            }
            status.connected = false;
            status.refused = refused.or(status.refused);
        });
        match refused {
            Some(Refused::Removed) => self.interval * REFUSED_SLOWER,
            Some(Refused::Doubled) | None => self.interval.min(RETRY),
        }
    }

    /// Wakes those who watch the status only if it is another.
    fn change(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_if_modified(|status| {
            let before = status.clone();
            change(status);
            *status != before
        });
    }

    fn renewal(&mut self, goodbye: bool) -> LeaseRenewal {
        let media = self.work.load();
        let now = self.clock.monotonic();
        let status = self.status.borrow().clone();
        let mut slots = self.work.reports();
        self.usage.measure(now, &self.work.consumed(), &mut slots);
        let since = self.clock.now();
        slots.extend(status.overtaken.iter().map(|one| overtaken(one, since)));
        LeaseRenewal {
            instance: self.instance,
            revision: status.revision,
            apply_error: status.apply_error,
            signing_keys: status.signing_keys,
            slots,
            load: NodeLoad {
                cpu_cores: self.process.cpu_cores(now),
                memory_bytes: memory_bytes(),
                sent_kbit: self.sent.kbit(now, media.sent_bytes),
                ..media
            },
            goodbye,
        }
    }
}
