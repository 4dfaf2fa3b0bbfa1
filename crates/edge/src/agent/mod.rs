//! The edge's side of the control loop: joins, renews the lease, watches what to do, and does it.
//!
//! * What was told last is on disk and is applied before anybody is asked, so an edge starts and
//!   goes on without a controller.
//! * [`lease`] and [`watch`] are two loops that share only a [`Status`]. Each retries for ever.
//! * The node's certificate is renewed in time ([`certificate`]).
//! * A certificate that is refused several times in a row means that the node was removed: the edge
//!   stops its work and says so, and keeps asking slowly in case it was a mistake. It does the same
//!   while another process with its identity, which was started later, is the node.

mod applier;
mod bundle;
mod certificate;
mod desired;
mod directory;
mod identity;
mod join;
mod lease;
mod load;
mod sessions;
#[cfg(test)]
mod tests;
mod usage;
mod watch;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use headworks_bootstrap::{Clock, Tasks};
use headworks_types::edge::SlotKey;
use tokio::sync::watch::{Receiver, Sender};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    Config,
    access::Access,
    audit::{Audit, Store, deliver},
    directory::Directory,
    session::Sessions,
    work::Work,
};

use certificate::Renewal;
pub(crate) use identity::{Bound, Identity, Own};
use lease::LeaseLoop;
pub(crate) use load::process_ticks;
use sessions::SessionLoop;
use watch::{Told, WatchLoop};

/// How the agent is doing; the lease reports it, and readiness is read from it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// True once it is known what to do, from disk or from a controller.
    pub(crate) ready: bool,
    /// The revision that is applied.
    pub(crate) revision: i64,
    /// Work that is not done, since it was seen under these higher epochs.
    pub(crate) overtaken: BTreeMap<SlotKey, i64>,
    /// The names of the keys that tokens are verified with, now and after a restart.
    pub(crate) signing_keys: Vec<String>,
    /// What could not be applied or saved.
    pub(crate) apply_error: Option<String>,
    /// True while controllers answer.
    pub(crate) connected: bool,
    /// True once controllers have said that the certificate has expired, until there is another.
    pub(crate) expired: bool,
    /// Why the cluster does not take this process as the node, if it does not.
    pub(crate) refused: Option<Refused>,
}

/// Why a process is not taken as its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The certificate is not good any more: the node was removed.
    Removed,
    /// A process that was started later has the same identity.
    Doubled,
}

/// What the agent works with.
pub(crate) struct Agent {
    config: Arc<Config>,
    bound: Bound,
    controller: Url,
    data: PathBuf,
    identity_path: PathBuf,
    status: Arc<Sender<Status>>,
    watch: WatchLoop,
    work: Work,
    sessions: Sessions,
    clock: Clock,
    directory: Directory,
    /// What is to be told to the audit log, and where it is kept.
    audit: Option<(Audit, Store)>,
    /// Who it is, for the rest of the edge.
    own: Own,
}

impl Agent {
    /// Starts the work that is known from disk.
    pub(crate) fn load(
        config: &Arc<Config>,
        data: &Path,
        bound: Bound,
        work: Work,
        access: Access,
        directory: Directory,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let controller = config
            .controller_url
            .clone()
            .context("edge.controller_url is missing")?;
        let status = Arc::new(Sender::new(Status::default()));
        let sessions = access.sessions().clone();
        let told = Told {
            access,
            directory: directory.clone(),
        };
        let watch = WatchLoop::load(data, work.clone(), told, Arc::clone(&status), &clock)?;
        Ok(Self {
            config: Arc::clone(config),
            bound,
            controller,
            data: data.to_owned(),
            identity_path: data.join("identity.json"),
            status,
            watch,
            work,
            sessions,
            clock,
            directory,
            audit: None,
            own: Own::default(),
        })
    }

    /// Delivers to the audit log what is kept for it.
    pub(crate) fn with_audit(mut self, audit: Audit, store: Store) -> Self {
        self.audit = Some((audit, store));
        self
    }

    /// Says who this edge is as soon as it is known.
    pub(crate) fn with_own(mut self, own: Own) -> Self {
        self.own = own;
        self
    }

    /// For readiness and metrics.
    pub(crate) fn status(&self) -> Receiver<Status> {
        self.status.subscribe()
    }

    /// Makes sure that this edge is a node of the cluster, which takes a controller only the first
    /// time; then starts the loops. Ends early, without an error, when `tasks` shuts down.
    ///
    /// # Errors
    /// When the cluster does not take this edge: trying again would not help.
    pub(crate) async fn start(self, tasks: &Tasks) -> anyhow::Result<()> {
        let token = tasks.token();
        let identity = match Identity::load(&self.identity_path)? {
            Some(identity) => identity,
            None => match token.run_until_cancelled(Box::pin(self.join())).await {
                Some(joined) => joined?,
                None => return Ok(()),
            },
        };
        self.own.set(&identity);
        self.directory.set_own(identity.node_id);
        tasks.spawn("agent", self.run(identity, token));
        Ok(())
    }

    async fn run(self, identity: Identity, token: CancellationToken) {
        let connected = token.run_until_cancelled(self.connect(identity)).await;
        let Some(Some((identity, client))) = connected else {
            return;
        };
        tracing::info!(node.id = %identity.node_id, "this edge is a node of the cluster");
        self.own.set(&identity);
        let client = Arc::new(Sender::new(client));
        let renewal = Renewal {
            identity,
            identity_path: self.identity_path,
            controller: self.controller,
            client: Arc::clone(&client),
            status: Arc::clone(&self.status),
            own: self.own,
            clock: self.clock.clone(),
        };
        let instance = lease::instance(self.clock.now());
        let sessions = SessionLoop::new(
            client.subscribe(),
            self.sessions,
            Arc::clone(&self.status),
            self.clock.clone(),
            instance,
        );
        let audit = self.audit;
        let deliver = async {
            if let Some((audit, store)) = audit {
                deliver(audit, store, client.subscribe(), &token).await;
            }
        };
        let client_of_lease = client.subscribe();
        let lease = LeaseLoop::new(
            client_of_lease,
            self.status,
            self.work,
            self.clock,
            instance,
        );
        tokio::join!(
            renewal.run(&token),
            lease.run(&token),
            self.watch.run(client.subscribe(), &token),
            sessions.run(&token),
            deliver
        );
    }
}
