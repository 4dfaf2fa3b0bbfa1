//! What edges ask for: to join, to say what they are, to live on, and to know what to do.

mod directory;
mod feed;
mod gate;
mod renewal;
mod sign_in;

use std::time::Duration;

use bytes::Bytes;
use headworks_types::{
    EventKind, JoinTokenId, NodeId,
    edge::{
        Bundle, CertificateRequest, JoinRequest, JoinResponse, LeaseGrant, LeaseRenewal,
        NodeCertificate, NodeSpec, WatchMessage,
    },
};
use sqlx::PgConnection;

pub(crate) use directory::{DirectoryFeed, Reader as DirectoryReader, SLACK};
pub(crate) use feed::Feeds;
pub(crate) use gate::Gate;
pub(crate) use renewal::{Renewals, Waiting};
pub(crate) use sign_in::{KnownCertificates, NodeCaller};

use super::{Error, Result, camera_playback::Places, signing_key};
use crate::{
    credential::{self, Kind},
    db::{
        OnConstraint,
        event::{NewEvent, event_insert},
        join_token::{Presented, join_token_present, join_token_use},
        node::{node_insert, node_occupy, node_update, node_vacant},
        node_certificate::{
            NewCertificate, certificate_lock, certificate_present, certificate_set, node_joined_by,
            node_joining_again,
        },
        playback_key::playback_key_rules,
        revocation::revocation_list,
    },
    pki::{Asked, Fingerprint, NODE_LIFE},
    state::State,
};

/// What a replica keeps for the edges that talk to it. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Edges {
    /// Renewals that wait for their batch.
    pub(crate) renewals: Renewals,
    /// What is announced to watches.
    pub(crate) feeds: Feeds,
    /// What watches are told of the directory.
    pub(crate) directory: DirectoryFeed,
    /// How many watches ask the database at once.
    pub(crate) gate: Gate,
    /// What certificates of nodes are worth.
    pub(crate) certificates: KnownCertificates,
    /// Where viewers can be sent.
    pub(crate) places: Places,
}

/// What every edge has to know, as a watch sends it.
pub(crate) async fn bundle_line(conn: &mut PgConnection) -> sqlx::Result<Bytes> {
    let bundle = Bundle {
        jwks: signing_key::jwks(conn).await?,
        playback_keys: playback_key_rules(conn).await?,
        revocations: revocation_list(conn).await?,
    };
    line(&WatchMessage::Bundle(bundle)).map_err(|error| sqlx::Error::Encode(error.into()))
}

/// The message as a watch sends it.
pub(crate) fn line(message: &WatchMessage) -> serde_json::Result<Bytes> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line.into())
}

/// Takes a node into the cluster: a new one, or, where an edge has lost its data, the one of its
/// name that is gone. That one's certificate is worth nothing from then on.
///
/// An edge whose answer was lost asks again with the same token and key, and gets another one; that
/// is no second use of the token.
pub(crate) async fn node_join(state: &State, request: &JoinRequest) -> Result<JoinResponse> {
    let asked = parse(&request.certificate)?;
    let mut tx = state.pool.begin().await?;
    let token = admit(state, &mut tx, request).await?;
    let again = node_joining_again(&mut tx, token.id, &asked.public_key).await?;
    let spec = &request.node;
    let node = match again {
        Some(node) => node,
        None => {
            if !join_token_use(&mut tx, token.id).await? {
                return Err(Error::Unauthenticated(
                    "the join token was used already; create a new one",
                ));
            }
            let node = settle(state, &mut tx, spec).await?;
            node_joined_by(&mut tx, node, token.id).await?;
            node
        }
    };
    let certificate = certify(state, &mut tx, node, asked, None).await?;
    if again.is_none() {
        let event = NewEvent {
            project_id: None,
            kind: EventKind::NodeJoined,
            subject: node.to_string(),
            actor: &JoinTokenId::from(token.id).to_string(),
            message: format!(
                "{} joined in site {} by the token `{}`",
                spec.name, spec.site, token.name
            ),
        };
        event_insert(&mut tx, event).await?;
    }
    tx.commit().await?;
    state.edges.certificates.forget(node);
    tracing::info!(node.id = %node, node.name = spec.name, "node joined");
    state.wake.planner();
    Ok(JoinResponse {
        node_id: node,
        certificate,
    })
}

/// The join token of the request, if it is good for something.
async fn admit(state: &State, conn: &mut PgConnection, request: &JoinRequest) -> Result<Presented> {
    const UNKNOWN: Error = Error::Unauthenticated("the join token is not known");
    let presented = credential::parse(Kind::JoinToken, request.token.expose()).ok_or(UNKNOWN)?;
    let token = join_token_present(conn, presented.lookup)
        .await?
        .filter(|token| presented.matches(&state.keys, &token.digest))
        .ok_or(UNKNOWN)?;
    if token.revoked {
        return Err(Error::Unauthenticated("the join token was revoked"));
    }
    if token.expired {
        return Err(Error::Unauthenticated(
            "the join token has expired; create a new one",
        ));
    }
    Ok(token)
}

/// The place of the node: that of its name if it is vacant, else a new one.
async fn settle(state: &State, conn: &mut PgConnection, spec: &NodeSpec) -> Result<NodeId> {
    let lease = state.config.lease_dead.as_secs_f64();
    if let Some(vacant) = node_vacant(conn, &spec.name, lease).await? {
        let id = vacant.id.into();
        node_update(conn, id, spec).await?;
        if !node_occupy(conn, &vacant).await? {
            return Err(name_taken(&spec.name));
        }
        return Ok(id);
    }
    let id = state.ids.next();
    node_insert(conn, id, spec)
        .await
        .on_constraint("node_name_key", || name_taken(&spec.name))?;
    Ok(id)
}

/// Gives a node another certificate. Only its newest counts, and the one before until that is used.
pub(crate) async fn certificate_renew(
    state: &State,
    caller: &Fingerprint,
    request: &CertificateRequest,
) -> Result<NodeCertificate> {
    let asked = parse(request)?;
    let found = sign_in::present(state, caller).await?;
    let mut tx = state.pool.begin().await?;
    certificate_lock(&mut tx, found.node).await?;
    // Somebody may have been faster.
    let locked = certificate_present(&mut tx, caller, Duration::ZERO).await?;
    let locked = locked.ok_or(Error::Unauthenticated(
        "the node's certificate was taken away",
    ))?;
    let is_again = !locked.newest_used && locked.public_key == asked.public_key;
    if !locked.is_newest && !is_again {
        drop(tx);
        return Err(sign_in::cloned(state, caller, &locked).await?);
    }
    let certificate = certify(state, &mut tx, found.node, asked, Some(caller)).await?;
    tx.commit().await?;
    tracing::debug!(node.id = %found.node, "node certificate renewed");
    Ok(certificate)
}

async fn certify(
    state: &State,
    conn: &mut PgConnection,
    node: NodeId,
    asked: Asked,
    previous: Option<&Fingerprint>,
) -> Result<NodeCertificate> {
    let public_key = asked.public_key;
    let issued = state.authority.issue(asked, node, state.clock.now());
    let issued = issued.map_err(Error::Internal)?;
    let new = NewCertificate {
        certificate: &issued.fingerprint,
        public_key: &public_key,
        life: NODE_LIFE,
    };
    certificate_set(conn, node, &new, previous.map(|one| &one[..])).await?;
    Ok(NodeCertificate {
        certificate: issued.pem,
        authority: state.authority.pem(),
        expires_in_seconds: u32::try_from(NODE_LIFE.as_secs()).unwrap_or(u32::MAX),
    })
}

fn parse(request: &CertificateRequest) -> Result<Asked> {
    Asked::parse(&request.csr).map_err(|error| Error::invalid("/csr", error.to_string()))
}

/// Stores what a node says of itself when it starts.
pub(crate) async fn node_announce(state: &State, node: NodeId, spec: &NodeSpec) -> Result<()> {
    let mut tx = state.pool.begin().await?;
    node_update(&mut tx, node, spec)
        .await
        .on_constraint("node_name_key", || name_taken(&spec.name))?;
    tx.commit().await?;
    state.wake.planner();
    Ok(())
}

fn name_taken(name: &str) -> Error {
    Error::Conflict(format!(
        "there is a node named `{name}` already: if it is this one, start it with its old data \
         directory, where its certificate is, or try again when its lease has run out; else give it \
         another name"
    ))
}

/// Renews a node's lease: waits until the batch with it is committed.
pub(crate) async fn lease_renew(
    state: &State,
    node: NodeId,
    renewal: LeaseRenewal,
) -> Result<LeaseGrant> {
    let goodbye = renewal.goodbye;
    let revision = state.edges.renewals.submit(node, renewal).await?;
    if goodbye {
        state.wake.planner();
    }
    Ok(LeaseGrant {
        renew_in_ms: milliseconds(state.config.lease_renew),
        expires_in_ms: milliseconds(state.config.lease_dead),
        revision,
    })
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
