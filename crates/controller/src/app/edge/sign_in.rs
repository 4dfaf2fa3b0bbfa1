//! Node certificates. The handshake has proved that who asks holds the key of a certificate of our
//! authority; what that certificate is worth now stands in the database. Each renewal of a lease
//! asks, so a replica remembers answers for a while: the load must not grow with the fleet.
//!
//! Only a node's newest certificate counts, and the one before it until a minute after the newest was
//! used first.
//! Who shows that one later has a copy of the node's data: it is refused, and that is an event.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use headworks_types::{EventKind, NodeId};
use tokio::time::Instant;

use crate::{
    app::{Error, Result},
    db::{
        event::{NewEvent, event_insert},
        node_certificate::{Presented, certificate_forget, certificate_present, certificate_used},
    },
    pki::Fingerprint,
    state::State,
};

/// For how long a row that was read is believed, and so how long a revoked node may go on where the
/// revocation is not heard of.
const REMEMBERED: Duration = Duration::from_secs(5);
/// How long after its end a certificate can still be renewed: edges are switched off for weeks.
const RENEWABLE: Duration = Duration::from_secs(30 * 86_400);

const UNKNOWN: Error = Error::Unauthenticated(
    "the node's certificate is not known, or was taken away; join anew with a join token",
);
const CLONED: Error = Error::Unauthenticated(
    "the node has a newer certificate: this edge runs on a copy of its data directory; remove \
     identity.json there to join as a node of its own",
);

/// The node that asks, signed in by its certificate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeCaller {
    pub(crate) node: NodeId,
    pub(crate) certificate: Fingerprint,
}

/// What is known of certificates of nodes. Holds no more than a few for each node, since only what
/// is in the database gets in.
#[derive(Clone, Default)]
pub(crate) struct KnownCertificates(Arc<Mutex<HashMap<Fingerprint, Known>>>);

#[derive(Clone, Copy)]
struct Known {
    node: NodeId,
    read_at: Instant,
}

impl NodeCaller {
    /// Signs in with a certificate of our authority: mostly without a query.
    pub(crate) async fn sign_in(state: &State, certificate: &Fingerprint) -> Result<Self> {
        let now = state.clock.monotonic();
        let certificates = &state.edges.certificates;
        let node = match certificates.get(certificate, now) {
            Some(node) => node,
            None => {
                let node = judge(state, certificate).await?;
                certificates.insert(certificate, Known { node, read_at: now });
                node
            }
        };
        Ok(Self {
            node,
            certificate: *certificate,
        })
    }
}

/// The node, if the certificate is worth something.
async fn judge(state: &State, certificate: &Fingerprint) -> Result<NodeId> {
    let found = present(state, certificate).await?;
    if found.expired {
        // Not a node that is unknown: it is to renew, and to do its work meanwhile.
        return Err(Error::Forbidden(
            "the node's certificate has expired; renew it".to_owned(),
        ));
    }
    if !found.newest_used && found.is_newest {
        let mut tx = state.pool.begin().await?;
        certificate_used(&mut tx, certificate).await?;
        tx.commit().await?;
    }
    Ok(found.node)
}

/// The node of a certificate that can be renewed.
pub(super) async fn present(state: &State, certificate: &Fingerprint) -> Result<Presented> {
    let mut conn = state.pool.acquire().await?;
    let found = certificate_present(&mut conn, certificate, RENEWABLE).await?;
    drop(conn);
    let found = found.ok_or(UNKNOWN)?;
    if !found.is_newest && found.previous_over == Some(true) {
        return Err(cloned(state, certificate, &found).await?);
    }
    if found.too_old {
        return Err(Error::Unauthenticated(
            "the node's certificate has expired too long ago to be renewed; join anew with a join \
             token",
        ));
    }
    Ok(found)
}

/// Says that two edges want to be the node, once.
pub(super) async fn cloned(
    state: &State,
    certificate: &Fingerprint,
    found: &Presented,
) -> Result<Error> {
    let mut tx = state.pool.begin().await?;
    if certificate_forget(&mut tx, certificate).await? {
        let event = NewEvent {
            project_id: None,
            kind: EventKind::NodeCloned,
            subject: found.node.to_string(),
            actor: &found.node.to_string(),
            message: format!(
                "a second edge came with an older certificate of {}: its data directory was copied",
                found.name
            ),
        };
        event_insert(&mut tx, event).await?;
        tracing::error!(node.id = %found.node, node.name = found.name, "two edges want to be one node");
    }
    tx.commit().await?;
    Ok(CLONED)
}

impl KnownCertificates {
    fn get(&self, certificate: &Fingerprint, now: Instant) -> Option<NodeId> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get(certificate)?;
        (now - known.read_at < REMEMBERED).then_some(known.node)
    }

    fn insert(&self, certificate: &Fingerprint, known: Known) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, old| known.read_at - old.read_at < REMEMBERED);
        all.insert(*certificate, known);
    }

    /// From now on the database is asked about this node.
    pub(crate) fn forget(&self, node: NodeId) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, known| known.node != node);
    }
}
