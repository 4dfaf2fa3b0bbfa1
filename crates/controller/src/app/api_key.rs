//! API keys: how programs sign in.

use headworks_types::{
    Action, ApiKey, ApiKeyCreate, ApiKeyCreated, ApiKeyId, Effect, EventKind, Grant, GrantId,
    GrantObject, Principal,
};
use sqlx::PgConnection;

use super::{
    Begun, Caller, Error, Identity, Once, Reach, Result,
    access::{Rule, require_own},
    revocation,
};
use crate::{
    credential::{Kind, generate},
    db::{
        self,
        event::{NewEvent, event_insert},
        grant::grant_list_to,
    },
    state::State,
};

/// Creates a key. It may do nothing until it is granted something.
pub(crate) async fn api_key_create(
    state: &State,
    caller: &Caller,
    once: Once,
    new: ApiKeyCreate,
) -> Result<ApiKeyCreated> {
    let project = new.project_id.unwrap_or(caller.project_id);
    let reach = caller.reach(Action::UserManage)?;
    if !reach.covers(project) {
        return Err(Error::not_found(project));
    }
    if new.expires_at.is_some_and(|at| at <= state.clock.now()) {
        return Err(Error::invalid("/expires_at", "must be in the future"));
    }
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(created) => return Ok(created),
    };
    let conn = write.conn();
    db::project::project_get(conn, &reach, project)
        .await?
        .ok_or_else(|| Error::not_found(project))?;
    let credential = generate(&state.keys, Kind::ApiKey);
    let id = state.ids.next();
    let api_key = db::api_key::api_key_insert(conn, project, id, &new, &credential).await?;
    announce(
        conn,
        caller,
        &api_key,
        EventKind::ApiKeyCreated,
        "was created",
    )
    .await?;
    let created = ApiKeyCreated {
        api_key,
        secret: credential.secret,
    };
    write.commit(&created).await?;
    Ok(created)
}

/// Revokes a key: it works no more. A key may always revoke itself. Nobody can revoke a key that
/// may do more than they, nor the last one that can manage the cluster's keys.
pub(crate) async fn api_key_revoke(
    state: &State,
    caller: &Caller,
    once: Once,
    id: ApiKeyId,
) -> Result<ApiKey> {
    let own = caller.identity == Identity::ApiKey(id);
    let reach = if own {
        Reach::own(caller)
    } else {
        caller.reach(Action::UserManage)?
    };
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(api_key) => return Ok(api_key),
    };
    let conn = write.conn();
    let found = db::api_key::api_key_get(conn, &reach, id)
        .await?
        .ok_or_else(|| Error::not_found(id))?;
    let grants = grant_list_to(conn, found.project_id, Principal::ApiKey { id }).await?;
    if !own {
        let rules: Vec<_> = grants.iter().map(Rule::from).collect();
        require_own(caller, &rules)?;
    }
    if grants.iter().any(administers) {
        keep_an_administrator(conn, |key, _| key != id).await?;
    }
    let api_key = db::api_key::api_key_revoke(conn, found.project_id, id).await?;
    if found.revoked_at.is_none() {
        revocation::end_subject(conn, id.into()).await?;
        announce(
            conn,
            caller,
            &api_key,
            EventKind::ApiKeyRevoked,
            "was revoked",
        )
        .await?;
    }
    write.commit(&api_key).await?;
    Ok(api_key)
}

/// True if the grant lets its key manage keys in the whole cluster.
pub(crate) fn administers(grant: &Grant) -> bool {
    grant.effect == Effect::Allow
        && grant.object == GrantObject::Cluster
        && grant.actions.contains(&Action::UserManage)
}

/// Refuses if nobody could manage the cluster's keys with those of the keys and grants only that
/// `stays` says stay.
pub(crate) async fn keep_an_administrator(
    conn: &mut PgConnection,
    stays: impl Fn(ApiKeyId, GrantId) -> bool,
) -> Result<()> {
    let administrators = db::api_key::api_key_lock_administrators(conn).await?;
    let mut left = administrators.iter().map(|&(key, grant)| stays(key, grant));
    if administrators.is_empty() || left.any(|stays| stays) {
        return Ok(());
    }
    Err(Error::Conflict(
        "this is the last key that may manage keys in the whole cluster; nobody could make \
         another one"
            .to_owned(),
    ))
}

async fn announce(
    conn: &mut PgConnection,
    caller: &Caller,
    key: &ApiKey,
    kind: EventKind,
    what: &str,
) -> Result<()> {
    let event = NewEvent {
        project_id: Some(key.project_id),
        kind,
        subject: key.id.to_string(),
        actor: &caller.identity.to_string(),
        message: format!("API key `{}` {what}", key.name),
    };
    Ok(event_insert(conn, event).await?)
}
