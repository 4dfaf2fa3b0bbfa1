//! Tokens by which nodes join.

use headworks_types::{
    Action, EventKind, JoinToken, JoinTokenCreate, JoinTokenCreated, JoinTokenId,
};

use super::{Begun, Caller, Error, Once, Result, caller::Scope};
use crate::{
    credential::{self, Kind},
    db::{
        event::{NewEvent, event_insert},
        join_token::{self, Revoked, join_token_insert},
    },
    state::State,
};

/// Creates a token.
pub(crate) async fn join_token_create(
    state: &State,
    caller: &Caller,
    once: Once,
    body: &JoinTokenCreate,
) -> Result<JoinTokenCreated> {
    caller.require(Action::NodeManage, Scope::Cluster)?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Again(answer) => return Ok(answer),
        Begun::Fresh(write) => write,
    };
    let id: JoinTokenId = state.ids.next();
    let token = credential::generate(&state.keys, Kind::JoinToken);
    let seconds = f64::from(body.expires_in_seconds);
    let join_token = join_token_insert(
        write.conn(),
        id,
        &body.name,
        &token.lookup,
        &token.digest,
        seconds,
        body.max_uses,
    )
    .await?;
    let event = NewEvent {
        project_id: None,
        kind: EventKind::JoinTokenCreated,
        subject: id.to_string(),
        actor: &caller.identity.to_string(),
        message: format!(
            "join token `{}` was created; it works for {} s",
            body.name, body.expires_in_seconds
        ),
    };
    event_insert(write.conn(), event).await?;
    let created = JoinTokenCreated {
        join_token,
        secret: state.authority.pinned(&token.secret),
    };
    write.commit(&created).await?;
    Ok(created)
}

/// Revokes a token. Nodes that have joined by it stay.
pub(crate) async fn join_token_revoke(
    state: &State,
    caller: &Caller,
    once: Once,
    id: JoinTokenId,
) -> Result<JoinToken> {
    caller.require(Action::NodeManage, Scope::Cluster)?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Again(answer) => return Ok(answer),
        Begun::Fresh(write) => write,
    };
    let token = match join_token::join_token_revoke(write.conn(), id).await? {
        None => return Err(Error::not_found(id)),
        Some(Revoked::Before(token)) => token,
        Some(Revoked::Now(token)) => {
            let event = NewEvent {
                project_id: None,
                kind: EventKind::JoinTokenRevoked,
                subject: id.to_string(),
                actor: &caller.identity.to_string(),
                message: format!("join token `{}` was revoked", token.name),
            };
            event_insert(write.conn(), event).await?;
            token
        }
    };
    write.commit(&token).await?;
    Ok(token)
}
