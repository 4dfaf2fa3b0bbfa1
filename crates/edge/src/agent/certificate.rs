//! The node's certificate: asked for when it joins, renewed at half of its life, or at once when a
//! controller says that it has expired: of two clocks that do not agree, the controller's counts.
//!
//! Each certificate has a key of its own, which is on disk before it is asked for: when an answer is
//! lost, or the machine, the edge asks again with the same key and is known to be the same.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use headworks_bootstrap::{Clock, file};
use headworks_client::{Client, Error};
use headworks_types::{ProblemCode, Secret, edge::CertificateRequest};
use rcgen::{CertificateParams, KeyPair};
use tokio::{
    sync::watch::Sender,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    Status,
    identity::{Identity, Own},
};
use crate::backoff::{self, Backoff};

/// How often it is looked whether the time has come: a clock may be set.
const LOOK: Duration = Duration::from_secs(30);
/// Waits between attempts while no controller gives one.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const MOST_WAIT: Duration = Duration::from_secs(15);

/// A key whose certificate is asked for.
pub(super) struct NextKey {
    path: PathBuf,
    pub(super) pem: Secret,
    pub(super) request: CertificateRequest,
}

impl NextKey {
    /// The key that was asked for last without an answer, or a new one. Stays on disk until
    /// [`NextKey::done`].
    pub(super) fn load(directory: &Path) -> anyhow::Result<Self> {
        let path = directory.join("next.key");
        let kept = file::read(&path)?.and_then(|bytes| String::from_utf8(bytes).ok());
        let kept = kept.and_then(|pem| KeyPair::from_pem(&pem).ok());
        let key = match kept {
            Some(key) => key,
            None => {
                let key = KeyPair::generate().context("make the node's key")?;
                file::write(&path, key.serialize_pem().as_bytes())?;
                key
            }
        };
        let request = CertificateParams::default().serialize_request(&key);
        let request = request.and_then(|request| request.pem());
        Ok(Self {
            path,
            pem: Secret::new(key.serialize_pem()),
            request: CertificateRequest {
                csr: request.context("ask for a certificate")?,
            },
        })
    }

    /// Its certificate is on disk.
    pub(super) fn done(self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            let path = self.path.display().to_string();
            tracing::warn!(%error, path, "the key that is used now is not removed");
        }
    }
}

/// Renews the certificate in time; whoever talks to controllers takes the client of the newest.
pub(super) struct Renewal {
    pub(super) identity: Identity,
    pub(super) identity_path: PathBuf,
    pub(super) controller: Url,
    pub(super) client: Arc<Sender<Client>>,
    pub(super) status: Arc<Sender<Status>>,
    pub(super) own: Own,
    pub(super) clock: Clock,
}

impl Renewal {
    /// Renews until `token` is cancelled.
    pub(super) async fn run(mut self, token: &CancellationToken) {
        let mut backoff = Backoff::new(FIRST_WAIT, MOST_WAIT);
        loop {
            let turn = async {
                self.due().await;
                match self.renew().await {
                    Ok(()) => {
                        backoff.reset();
                        // Also if a controller says of any certificate that it has expired.
                        sleep(FIRST_WAIT).await;
                    }
                    Err(error) => {
                        let wait = backoff.next(backoff::random());
                        not_renewed(&error, wait);
                        sleep(wait).await;
                    }
                }
            };
            if token.run_until_cancelled(turn).await.is_none() {
                return;
            }
        }
    }

    /// Waits until the certificate is to be renewed, by this machine's clock or a controller's.
    async fn due(&self) {
        let mut status = self.status.subscribe();
        while self.clock.now() < self.identity.renew_at {
            let expired = status.wait_for(|status| status.expired);
            if timeout(LOOK, expired).await.is_ok() {
                return;
            }
        }
    }

    /// Renews once.
    pub(super) async fn renew(&mut self) -> anyhow::Result<()> {
        let directory = self.identity_path.parent().unwrap_or(Path::new("."));
        let next = NextKey::load(directory)?;
        let client = self.client.borrow().clone();
        let given = client.certificate_renew(&next.request).await?;
        let (node, now) = (self.identity.node_id, self.clock.now());
        let identity = Identity::new(node, next.pem.clone(), given, now);
        let client = Client::for_node(self.controller.clone(), &identity.credentials())?;
        // On disk first: nobody else may learn of it before.
        identity.save(&self.identity_path)?;
        next.done();
        self.own.set(&identity);
        self.identity = identity;
        self.client.send_replace(client);
        self.status
            .send_if_modified(|status| std::mem::take(&mut status.expired));
        tracing::info!(renew_at = %self.identity.renew_at, "the node's certificate is renewed");
        Ok(())
    }
}

/// Says what became of an attempt, and what a person can do if no other one will help.
fn not_renewed(error: &anyhow::Error, retry_in: Duration) {
    let code = error.downcast_ref::<Error>().and_then(Error::code);
    let error = format!("{error:#}");
    if code == Some(ProblemCode::Unauthenticated) {
        tracing::error!(
            error,
            ?retry_in,
            "the cluster does not renew the node's certificate any more. To join again, delete \
             identity.json in the edge's data directory and start with a new join token"
        );
    } else {
        tracing::warn!(error, ?retry_in, "the node's certificate is not renewed");
    }
}
