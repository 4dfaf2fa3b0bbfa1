//! What edges ask for: to join, to say what they are, to live on, and to know what to do.

mod feed;
mod renewal;
mod sign_in;

use std::time::Duration;

use headworks_types::{
    EventKind, NodeId,
    edge::{Bundle, JoinRequest, JoinResponse, LeaseGrant, LeaseRenewal, NodeSpec},
};
use sqlx::PgConnection;

pub(crate) use feed::Feeds;
pub(crate) use renewal::{Renewals, Waiting};
pub(crate) use sign_in::NodeCaller;

use super::{Error, Result, signing_key};
use crate::{
    credential::{self, Kind},
    db::{
        OnConstraint,
        event::{NewEvent, event_insert},
        join_token::join_token_present,
        node::{node_insert, node_rekey, node_update, node_vacant},
        playback_key::playback_key_rules,
        revocation::revocation_list,
    },
    state::State,
};

/// What a replica keeps for the edges that talk to it. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Edges {
    /// Renewals that wait for their batch.
    pub(crate) renewals: Renewals,
    /// What is announced to watches.
    pub(crate) feeds: Feeds,
    keys: sign_in::KnownKeys,
}

/// What every edge has to know.
pub(crate) async fn bundle(conn: &mut PgConnection) -> sqlx::Result<Bundle> {
    Ok(Bundle {
        jwks: signing_key::jwks(conn).await?,
        playback_keys: playback_key_rules(conn).await?,
        revocations: revocation_list(conn).await?,
    })
}

/// Takes a node into the cluster: a new one, or, where an edge has lost its data, the one of its
/// name that is gone. That one's key is worth nothing from then on.
pub(crate) async fn node_join(state: &State, request: &JoinRequest) -> Result<JoinResponse> {
    const UNKNOWN: Error = Error::Unauthenticated("the join token is not known");
    let presented = credential::parse(Kind::JoinToken, request.token.expose()).ok_or(UNKNOWN)?;
    let mut tx = state.pool.begin().await?;
    let token = join_token_present(&mut tx, presented.lookup)
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
    let key = credential::generate(&state.keys, Kind::NodeKey);
    let spec = &request.node;
    let lease = state.config.lease_dead.as_secs_f64();
    let id = match node_vacant(&mut tx, &spec.name, lease).await? {
        Some(vacant) => {
            let id = vacant.id.into();
            node_update(&mut tx, id, spec).await?;
            if !node_rekey(&mut tx, &vacant, &key.lookup, &key.digest).await? {
                return Err(name_taken(&spec.name));
            }
            id
        }
        None => {
            let id = state.ids.next();
            node_insert(&mut tx, id, spec, &key.lookup, &key.digest)
                .await
                .on_constraint("node_name_key", || name_taken(&spec.name))?;
            id
        }
    };
    let event = NewEvent {
        project_id: None,
        kind: EventKind::NodeJoined,
        subject: id.to_string(),
        actor: &headworks_types::JoinTokenId::from(token.id).to_string(),
        message: format!(
            "{} joined in site {} by the token `{}`",
            spec.name, spec.site, token.name
        ),
    };
    event_insert(&mut tx, event).await?;
    tx.commit().await?;
    tracing::info!(node.id = %id, node.name = spec.name, "node joined");
    state.wake.planner();
    Ok(JoinResponse {
        node_id: id,
        key: key.secret,
    })
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
         directory, where its key is, or try again when its lease has run out; else give it \
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
