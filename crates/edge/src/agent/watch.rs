//! Watches what the edge should do.
//!
//! What ends sessions counts at once. What changes the work goes to an [`Applier`], and what is to
//! outlive a restart to a [`Keeper`]: neither a slow disk nor work that takes its time to stop keeps
//! this loop from hearing the next revocation.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use futures::StreamExt as _;
use headworks_bootstrap::Clock;
use headworks_client::Client;
use headworks_types::edge::{Bundle, DirectoryUpdate, WatchMessage};
use tokio::sync::watch::{Receiver, Sender};
use tokio_util::sync::CancellationToken;

use super::{
    Status,
    applier::{Applier, Target},
    bundle::{self, Keeper},
    desired, directory,
};
use crate::{
    access::Access,
    backoff::{self, Backoff},
    directory::Directory,
    work::Work,
};

const FIRST_WAIT: Duration = Duration::from_millis(250);
const MOST_WAIT: Duration = Duration::from_secs(10);

/// The loop, and those who work for it.
pub(super) struct WatchLoop {
    listener: Listener,
    applier: Applier,
    keeper: Keeper,
    directory_keeper: directory::Keeper,
}

/// What takes what every edge is told.
pub(super) struct Told {
    pub(super) access: Access,
    pub(super) directory: Directory,
}

/// Hears what the controller says.
struct Listener {
    target: Sender<Target>,
    bundle: Sender<Bundle>,
    access: Access,
    directory: Directory,
    /// What has come of an update whose rest is still to come.
    partial: Option<DirectoryUpdate>,
    status: Arc<Sender<Status>>,
    backoff: Backoff,
}

impl WatchLoop {
    /// Starts the work that is known from disk.
    pub(super) fn load(
        data: &Path,
        work: Work,
        told: Told,
        status: Arc<Sender<Status>>,
        clock: &Clock,
    ) -> anyhow::Result<Self> {
        let Told { access, directory } = told;
        let (state, keys) = (data.join("state.json"), data.join("bundle.json"));
        let saved = desired::load(&state)?;
        let ready = saved.is_some();
        let desired = saved.unwrap_or_default();
        let known = bundle::load(&keys)?.unwrap_or_default();
        access.set_bundle(&known, None);
        let peers = data.join("directory.json");
        if let Some(saved) = directory::load(&peers)? {
            directory.update(saved);
        }
        status.send_modify(|status| {
            status.ready = ready;
            status.revision = desired.revision;
            status.overtaken.clone_from(&desired.overtaken);
            status.signing_keys = bundle::kids(&known);
        });
        let mut applier = Applier::new(state, work, access.clone(), Arc::clone(&status));
        applier.start(&desired);
        let bundle = Sender::new(known);
        let keeper = Keeper {
            path: keys,
            bundle: bundle.subscribe(),
            status: Arc::clone(&status),
        };
        let directory_keeper = directory::Keeper::new(peers, directory.clone(), clock.clone());
        let target = Target {
            desired,
            ..Target::default()
        };
        let listener = Listener {
            target: Sender::new(target),
            bundle,
            access,
            directory,
            partial: None,
            status,
            backoff: Backoff::new(FIRST_WAIT, MOST_WAIT),
        };
        Ok(Self {
            listener,
            applier,
            keeper,
            directory_keeper,
        })
    }

    /// Watches until `token` is cancelled.
    pub(super) async fn run(self, client: Receiver<Client>, token: &CancellationToken) {
        let Self {
            mut listener,
            applier,
            keeper,
            directory_keeper,
        } = self;
        let target = listener.target.subscribe();
        tokio::join!(
            listener.run(client, token),
            applier.run(target, token),
            keeper.run(token),
            directory_keeper.run(token)
        );
    }
}

impl Listener {
    async fn run(&mut self, mut client: Receiver<Client>, token: &CancellationToken) {
        while !token.is_cancelled() {
            if self.status.borrow().refused.is_some() {
                self.stop_all();
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
        let cursor = self.directory.entries().cursor;
        self.partial = None;
        let watch = newest.watch(self.revision(), Some(cursor));
        let Some(messages) = token.run_until_cancelled(watch).await else {
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
            self.take(message.context("the controller ended the watch")??)?;
            self.backoff.reset();
        }
    }

    /// Waits for nobody.
    fn take(&mut self, message: WatchMessage) -> anyhow::Result<()> {
        match message {
            WatchMessage::Snapshot { revision, slots } => self.target.send_modify(|target| {
                let refused = target.desired.snapshot(revision, slots);
                target.complain(&refused);
            }),
            WatchMessage::Delta {
                revision,
                upsert,
                remove,
            } => {
                anyhow::ensure!(self.revision() > 0, "a delta came before any snapshot");
                self.target.send_modify(|target| {
                    let refused = target.desired.delta(revision, upsert, &remove);
                    target.complain(&refused);
                });
            }
            WatchMessage::Bundle(bundle) => {
                self.access.set_bundle(&bundle, Some(Duration::ZERO));
                self.bundle.send_replace(bundle);
            }
            WatchMessage::Directory(update) => self.take_directory(update),
            WatchMessage::Bookmark {
                revision,
                bundle_age,
            } => {
                self.access.confirm(Duration::from_secs(bundle_age));
                return self.compare(revision);
            }
        }
        Ok(())
    }

    /// Nobody ever sees half an update.
    fn take_directory(&mut self, update: DirectoryUpdate) {
        let whole = match self.partial.take() {
            Some(mut partial) => {
                partial.append(update);
                partial
            }
            None => update,
        };
        if whole.more {
            self.partial = Some(whole);
        } else {
            self.directory.update(whole);
        }
    }

    /// A bookmark with another revision than ours means that we missed something. Changes nothing of
    /// what is to be done.
    fn compare(&self, revision: i64) -> anyhow::Result<()> {
        let mut compared = Ok(());
        self.target.send_if_modified(|target| {
            compared = target.desired.compare(revision);
            false
        });
        Ok(compared?)
    }

    /// What was heard last, which may not be applied yet.
    fn revision(&self) -> i64 {
        self.target.borrow().desired.revision
    }

    /// The node was removed, or another process is it.
    fn stop_all(&self) {
        self.target.send_modify(|target| {
            target.desired.revision = 0;
            target.stopped = true;
        });
    }
}
