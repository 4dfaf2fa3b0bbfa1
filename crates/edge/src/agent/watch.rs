//! Watches what the edge should do, saves it, and applies the difference.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use futures::StreamExt as _;
use headworks_client::Client;
use headworks_types::edge::{Bundle, WatchMessage};
use tokio::sync::watch::{Receiver, Sender};
use tokio_util::sync::CancellationToken;

use super::{
    Status,
    apply::{Change, Slots, diff},
    desired::{Desired, Refused},
};
use crate::{
    access::{self, Access},
    backoff::{self, Backoff},
    work::Work,
};

const FIRST_WAIT: Duration = Duration::from_millis(250);
const MOST_WAIT: Duration = Duration::from_secs(10);

/// The loop and what it remembers.
pub(super) struct WatchLoop {
    path: PathBuf,
    desired: Desired,
    running: Slots,
    work: Work,
    access: Access,
    status: Arc<Sender<Status>>,
    backoff: Backoff,
}

impl WatchLoop {
    /// Starts the work that is known from disk.
    pub(super) fn load(
        path: PathBuf,
        work: Work,
        access: Access,
        status: Arc<Sender<Status>>,
    ) -> anyhow::Result<Self> {
        let saved = Desired::load(&path)?;
        let ready = saved.is_some();
        let desired = saved.unwrap_or_default();
        access.set_bundle(&desired.bundle, None);
        status.send_modify(|status| {
            status.ready = ready;
            status.revision = desired.revision;
            status.signing_keys = kids(&desired.bundle);
        });
        let mut watch = Self {
            path,
            running: Slots::new(),
            desired,
            work,
            access,
            status,
            backoff: Backoff::new(FIRST_WAIT, MOST_WAIT),
        };
        watch.apply();
        watch.work.fence().applied(watch.desired.revision);
        Ok(watch)
    }

    /// Watches until `token` is cancelled.
    pub(super) async fn run(mut self, mut client: Receiver<Client>, token: &CancellationToken) {
        // Cancelled only where nothing is half done.
        while !token.is_cancelled() {
            if self.status.borrow().refused.is_some() {
                self.stop_all().await;
                let mut status = self.status.subscribe();
                let allowed = status.wait_for(|status| status.refused.is_none());
                token.run_until_cancelled(allowed).await;
                continue;
            }
            if let Err(error) = self.follow(&mut client, token).await {
                let wait = self.backoff.next(backoff::random());
                tracing::debug!(error = format!("{error:#}"), retry_in = ?wait, "the watch ended");
                token.run_until_cancelled(tokio::time::sleep(wait)).await;
            }
        }
    }

    /// One connection, until it ends, the node is refused, or has another certificate.
    async fn follow(
        &mut self,
        client: &mut Receiver<Client>,
        token: &CancellationToken,
    ) -> anyhow::Result<()> {
        let newest = client.borrow_and_update().clone();
        let Some(messages) = token
            .run_until_cancelled(newest.watch(self.desired.revision))
            .await
        else {
            return Ok(());
        };
        let mut messages = messages?;
        let mut status = self.status.subscribe();
        loop {
            let message = tokio::select! {
                message = messages.next() => message,
                _ = status.wait_for(|status| status.refused.is_some()) => return Ok(()),
                Ok(()) = client.changed() => return Ok(()),
                () = token.cancelled() => return Ok(()),
            };
            self.take(message.context("the controller ended the watch")??)
                .await?;
            self.backoff.reset();
        }
    }

    async fn take(&mut self, message: WatchMessage) -> anyhow::Result<()> {
        let refused = match message {
            WatchMessage::Snapshot { revision, slots } => self.desired.snapshot(revision, slots),
            WatchMessage::Delta {
                revision,
                upsert,
                remove,
            } => {
                anyhow::ensure!(
                    self.desired.revision > 0,
                    "a delta came before any snapshot"
                );
                self.desired.delta(revision, upsert, &remove)
            }
            WatchMessage::Bundle(bundle) => {
                self.access.set_bundle(&bundle, Some(Duration::ZERO));
                let kids = kids(&bundle);
                self.desired.bundle = bundle;
                // Only what also a restart knows: the controller lets a key sign by this.
                if self.save().await.is_none() {
                    self.status.send_modify(|status| status.signing_keys = kids);
                }
                return Ok(());
            }
            WatchMessage::Bookmark {
                revision,
                bundle_age,
            } => {
                self.access.confirm(Duration::from_secs(bundle_age));
                return self.compare(revision);
            }
        };
        // On disk first: after a crash, too, no older epoch may act.
        let saved = self.save().await;
        self.work.fence().applying();
        self.apply();
        // Nobody may hear that work was taken away while it is still done.
        self.work.strict_stopped().await;
        self.work.fence().applied(self.desired.revision);
        let apply_error = complaints(&refused).or(saved);
        if let Some(error) = &apply_error {
            tracing::error!(
                error,
                revision = self.desired.revision,
                "not all of it was applied"
            );
        }
        self.status.send_modify(|status| {
            status.ready = true;
            status.revision = self.desired.revision;
            status.apply_error = apply_error;
        });
        Ok(())
    }

    /// A bookmark with another revision than ours means that we missed something.
    fn compare(&mut self, revision: i64) -> anyhow::Result<()> {
        let ours = self.desired.revision;
        if revision < ours {
            // The database was set back: only everything anew helps.
            self.desired.revision = 0;
        }
        anyhow::ensure!(
            revision == ours,
            "at revision {ours}, the controller at {revision}"
        );
        Ok(())
    }

    /// Says what went wrong.
    async fn save(&self) -> Option<String> {
        let (desired, path) = (self.desired.clone(), self.path.clone());
        let saved = tokio::task::spawn_blocking(move || desired.save(&path)).await;
        let error = match saved {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => format!("{error:#}"),
            Err(error) => error.to_string(),
        };
        tracing::error!(error, "the desired state is not saved");
        Some(format!("not saved: {error}"))
    }

    fn apply(&mut self) {
        let slots = self.desired.slots.values();
        self.access.set_cameras(access::cameras(slots));
        let changes = diff(&self.running, &self.desired.slots);
        if !changes.is_empty() {
            let count = |wanted: fn(&Change) -> bool| changes.iter().filter(|c| wanted(c)).count();
            tracing::info!(
                revision = self.desired.revision,
                started = count(|change| matches!(change, Change::Start(_))),
                updated = count(|change| matches!(change, Change::Update(_))),
                stopped = count(|change| matches!(change, Change::Stop(_))),
                "applied"
            );
        }
        for change in changes {
            self.change(change);
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Stop(key) => {
                self.running.remove(&key);
                self.work.stop(key);
            }
            Change::Update(slot) | Change::Start(slot) => {
                self.running.insert(slot.key, slot.clone());
                self.work.start(slot);
            }
        }
    }

    /// The node was removed. What is on disk stays; if it was a mistake, all comes back.
    async fn stop_all(&mut self) {
        self.work.fence().applying();
        for change in diff(&self.running, &Slots::new()) {
            self.change(change);
        }
        self.work.strict_stopped().await;
        self.desired.revision = 0;
        self.status.send_modify(|status| status.revision = 0);
    }
}

fn kids(bundle: &Bundle) -> Vec<String> {
    let keys = bundle.jwks.keys.iter();
    keys.map(|key| key.kid.clone()).collect()
}

fn complaints(refused: &[Refused]) -> Option<String> {
    let (first, others) = refused.split_first()?;
    Some(match others.len() {
        0 => first.to_string(),
        more => format!("{first}, and {more} more"),
    })
}
