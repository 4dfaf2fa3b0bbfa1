//! Tells the controller who watches here: what has changed, at most once a second, and every few
//! seconds how much everybody was sent.
//!
//! The controller takes a report only behind the one before; when one is lost, the next one says
//! everything. So it costs what changes, and what is lost heals.

use std::{
    collections::{HashMap, HashSet},
    future::IntoFuture as _,
    sync::Arc,
    time::Duration,
};

use headworks_bootstrap::Clock;
use headworks_client::Client;
use headworks_types::{
    SessionId,
    edge::{SessionReport, SessionSent},
};
use tokio::{
    sync::watch::{Receiver, Sender},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Status;
use crate::{
    backoff::{self, Backoff},
    session::{Session, Sessions},
};

/// The least time between two reports.
const PERIOD: Duration = Duration::from_secs(1);
/// How often it is told how much everybody was sent.
const SENT_PERIOD: Duration = Duration::from_secs(5);
/// How long one report may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// The longest time between attempts while no controller answers.
const MOST_WAIT: Duration = Duration::from_secs(10);
/// How long the last one may hold up the stop.
const GOODBYE_DEADLINE: Duration = Duration::from_secs(1);

/// The loop and what it has told.
pub(super) struct SessionLoop {
    client: Receiver<Client>,
    sessions: Sessions,
    status: Arc<Sender<Status>>,
    clock: Clock,
    instance: Uuid,
    sequence: i64,
    /// The sessions that the controller knows, with what it knows they were sent.
    told: HashMap<SessionId, u64>,
    /// Nobody knows what the controller knows: it is told everything.
    is_lost: bool,
    sent_at: Instant,
    backoff: Backoff,
}

impl SessionLoop {
    pub(super) fn new(
        client: Receiver<Client>,
        sessions: Sessions,
        status: Arc<Sender<Status>>,
        clock: Clock,
        instance: Uuid,
    ) -> Self {
        Self {
            client,
            sessions,
            status,
            sent_at: clock.monotonic(),
            clock,
            instance,
            sequence: 0,
            told: HashMap::new(),
            is_lost: true,
            backoff: Backoff::new(PERIOD, MOST_WAIT),
        }
    }

    /// Reports until `token` is cancelled; then that nobody watches any more.
    pub(super) async fn run(mut self, token: &CancellationToken) {
        let mut changes = self.sessions.changes();
        loop {
            let turn = async {
                changes.borrow_and_update();
                let wait = self.turn().await;
                sleep(wait).await;
                if !self.is_lost {
                    tokio::select! {
                        // The sender is ours.
                        _ = changes.changed() => {}
                        () = sleep_until(self.sent_at + SENT_PERIOD) => {}
                    }
                }
            };
            if token.run_until_cancelled(turn).await.is_none() {
                break;
            }
        }
        let report = self.complete(&[]);
        let goodbye = self.client.borrow().session_report(&report);
        if timeout(GOODBYE_DEADLINE, goodbye.into_future())
            .await
            .is_err()
        {
            tracing::debug!("could not say that nobody watches any more");
        }
    }

    /// Reports what there is; says how long to wait until the next time. Who was ended is on the disk
    /// before anybody hears that he is gone.
    async fn turn(&mut self) -> Duration {
        let now = self.list();
        let is_saved = self.save().await;
        let Some(report) = self.report(&now, is_saved) else {
            return PERIOD;
        };
        let call = self.client.borrow().session_report(&report);
        match call.deadline(DEADLINE).await {
            Ok(receipt) => {
                self.backoff.reset();
                self.is_lost = !receipt.taken;
                self.note(&report);
                PERIOD
            }
            Err(error) => {
                self.is_lost = true;
                tracing::debug!(%error, "sessions are not reported; it is tried again");
                self.backoff.next(backoff::random())
            }
        }
    }

    /// Writes down which sessions were ended.
    async fn save(&self) -> bool {
        let sessions = self.sessions.clone();
        match tokio::task::spawn_blocking(move || sessions.save()).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::error!(error = format!("{error:#}"), "ended sessions are not saved");
                false
            }
            Err(_) => false,
        }
    }

    /// Everybody who watches. A removed node tells nobody.
    fn list(&self) -> Vec<Session> {
        if self.status.borrow().refused.is_some() {
            return Vec::new();
        }
        self.sessions.list()
    }

    /// What is to be told; nothing if nothing is new. Nobody's end, unless it is saved.
    fn report(&mut self, now: &[Session], is_saved: bool) -> Option<SessionReport> {
        let sent_is_due = self.clock.monotonic() >= self.sent_at + SENT_PERIOD;
        if sent_is_due {
            self.sent_at = self.clock.monotonic();
        }
        if self.is_lost {
            return is_saved.then(|| self.complete(now));
        }
        let is_new = |session: &&Session| !self.told.contains_key(&session.about().id);
        let opened: Vec<_> = now.iter().filter(is_new).map(Session::opened).collect();
        let has_moved = |session: &&Session| {
            let told = self.told.get(&session.about().id);
            told.is_some_and(|told| *told != session.sent())
        };
        let moved = now.iter().filter(|_| sent_is_due).filter(has_moved);
        let sent: Vec<_> = moved
            .map(|session| SessionSent {
                id: session.about().id,
                bytes_sent: session.sent(),
            })
            .collect();
        let here: HashSet<_> = now.iter().map(|session| session.about().id).collect();
        let gone = self.told.keys().filter(|id| is_saved && !here.contains(id));
        let closed: Vec<_> = gone.copied().collect();
        if opened.is_empty() && sent.is_empty() && closed.is_empty() {
            return None;
        }
        self.sequence += 1;
        Some(SessionReport {
            instance: self.instance,
            sequence: self.sequence,
            complete: false,
            opened,
            sent,
            closed,
        })
    }

    fn complete(&mut self, now: &[Session]) -> SessionReport {
        self.sequence += 1;
        SessionReport {
            instance: self.instance,
            sequence: self.sequence,
            complete: true,
            opened: now.iter().map(Session::opened).collect(),
            sent: Vec::new(),
            closed: Vec::new(),
        }
    }

    /// Takes note of what was told.
    fn note(&mut self, report: &SessionReport) {
        if report.complete {
            self.told.clear();
        }
        for id in &report.closed {
            self.told.remove(id);
        }
        let opened = report.opened.iter();
        self.told
            .extend(opened.map(|opened| (opened.id, opened.bytes_sent)));
        self.told
            .extend(report.sent.iter().map(|sent| (sent.id, sent.bytes_sent)));
    }
}
