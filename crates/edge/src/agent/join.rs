//! Becoming a node of the cluster, and telling it at each start what this node is now.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use headworks_client::{Client, Error};
use headworks_types::{
    ProblemCode,
    edge::{JoinRequest, JoinResponse, NodeSpec},
};
use tokio::sync::watch::Sender;

use super::{
    Agent,
    certificate::{NextKey, Renewal},
    identity,
    identity::Identity,
};
use crate::backoff::{self, Backoff};

/// Waits between attempts while no controller answers.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const MOST_WAIT: Duration = Duration::from_secs(30);

impl Agent {
    /// Joins with the join token. Waits for a controller as long as it takes; fails where the
    /// answer is no.
    pub(super) async fn join(&self) -> anyhow::Result<Identity> {
        let token = self.config.join_token.clone().context(
            "this edge has not joined a cluster yet, and edge.join_token is missing; make one with \
             `headworks join-token create`",
        )?;
        let client = Client::for_joining(self.controller.clone(), &token)?;
        let next = NextKey::load(&self.data)?;
        let mut backoff = Backoff::new(FIRST_WAIT, MOST_WAIT);
        loop {
            let node = self.describe(&mut backoff).await;
            let name = node.name.clone();
            let request = JoinRequest {
                token: token.clone(),
                node,
                certificate: next.request.clone(),
            };
            match client.node_join(&request).await {
                Ok(JoinResponse {
                    node_id,
                    certificate,
                }) => {
                    let now = self.clock.now();
                    let identity = Identity::new(node_id, next.pem.clone(), certificate, now);
                    identity.save(&self.identity_path)?;
                    next.done();
                    tracing::info!(node.id = %identity.node_id, node.name = name, "joined the cluster");
                    return Ok(identity);
                }
                Err(error) if error.is_temporary() => {
                    pause(&mut backoff, "cannot join the cluster yet", &error).await;
                }
                Err(error) => return Err(refusal(&error, &name)),
            }
        }
    }

    /// Tells the cluster what this node is now, and gives the client that it talks with from now on. A
    /// node whose certificate is not known any more joins again if there is a join token. `None` if
    /// what is on disk cannot be used.
    pub(super) async fn connect(&self, identity: Identity) -> Option<(Identity, Client)> {
        let connected = self.announce(identity).await.and_then(|identity| {
            let client = Client::for_node(self.controller.clone(), &identity.credentials())?;
            Ok((identity, client))
        });
        connected
            .inspect_err(|error| {
                let error = format!("{error:#}");
                tracing::error!(
                    error,
                    "no controller can be asked; working from the saved state"
                );
            })
            .ok()
    }

    async fn announce(&self, mut identity: Identity) -> anyhow::Result<Identity> {
        let mut backoff = Backoff::new(FIRST_WAIT, MOST_WAIT);
        let mut expired = false;
        loop {
            let client = Client::for_node(self.controller.clone(), &identity.credentials())?;
            if expired || self.clock.now() >= identity.renew_at {
                identity = self.renew(identity, client.clone()).await;
                expired = false;
            }
            let client = Client::for_node(self.controller.clone(), &identity.credentials())?;
            let node = self.describe(&mut backoff).await;
            match client.node_announce(&node).await {
                Ok(()) => return Ok(identity),
                // The controller's clock says so, if ours does not.
                Err(error) if error.code() == Some(ProblemCode::Forbidden) => {
                    expired = true;
                    pause(
                        &mut backoff,
                        "the cluster wants another certificate",
                        &error,
                    )
                    .await;
                }
                Err(error) if error.is_temporary() => {
                    let what = "cannot reach the cluster; working from the saved state";
                    pause(&mut backoff, what, &error).await;
                }
                Err(error) if error.code() == Some(ProblemCode::Unauthenticated) => {
                    return Ok(self.join_again(identity).await);
                }
                Err(error) => {
                    tracing::error!(%error, "the cluster does not take this node's description");
                    return Ok(identity);
                }
            }
        }
    }

    /// The certificate may have ended while the edge was switched off.
    async fn renew(&self, identity: Identity, client: Client) -> Identity {
        let mut renewal = Renewal {
            identity,
            identity_path: self.identity_path.clone(),
            controller: self.controller.clone(),
            client: Arc::new(Sender::new(client)),
            status: Arc::clone(&self.status),
            own: self.own.clone(),
            clock: self.clock.clone(),
        };
        if let Err(error) = renewal.renew().await {
            let error = format!("{error:#}");
            tracing::warn!(error, "the node's certificate is not renewed");
        }
        renewal.identity
    }

    async fn join_again(&self, identity: Identity) -> Identity {
        if self.config.join_token.is_none() {
            // The lease finds out the same, more carefully, and acts.
            return identity;
        }
        tracing::warn!(
            node.id = %identity.node_id,
            "the cluster does not know this node any more; joining again"
        );
        match self.join().await {
            Ok(joined) => joined,
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "cannot join again");
                identity
            }
        }
    }

    /// What this node is now; waits until its own address is known.
    async fn describe(&self, backoff: &mut Backoff) -> NodeSpec {
        loop {
            // Boxed, since it is rare and would make every future around it large.
            let node = identity::describe(&self.config, &self.controller, self.bound);
            match Box::pin(node).await {
                Ok(node) => return node,
                Err(error) => {
                    let wait = backoff.next(backoff::random());
                    tracing::warn!(
                        error = format!("{error:#}"),
                        retry_in = ?wait,
                        "cannot find out where viewers reach this edge; set edge.http_advertise"
                    );
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }
}

async fn pause(backoff: &mut Backoff, what: &'static str, error: &Error) {
    let wait = backoff.next(backoff::random());
    tracing::warn!(%error, retry_in = ?wait, "{what}");
    tokio::time::sleep(wait).await;
}

fn refusal(error: &Error, name: &str) -> anyhow::Error {
    match error.code() {
        Some(ProblemCode::Unauthenticated) => anyhow!(
            "the controller refused the join token: it is unknown, expired, revoked or used; make \
             another with `headworks join-token create`"
        ),
        Some(ProblemCode::Conflict) => anyhow!(
            "the name `{name}` belongs to another node of the cluster: if it is this one and its data \
             is lost, wait until the cluster knows that it has gone (about 10 s); else choose \
             another with edge.name"
        ),
        _ => anyhow!("the controller does not take this edge: {error}"),
    }
}
