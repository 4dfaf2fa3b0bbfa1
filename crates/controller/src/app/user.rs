//! Users: the people who watch.

use headworks_types::{Action, EventKind, User, UserCreate, UserId, UserUpdate};
use sqlx::PgConnection;

use super::{Begun, Caller, Error, Expected, Once, Reach, Result, Scope, Versioned, revocation};
use crate::{
    db::{
        self, OnConstraint,
        event::{NewEvent, event_insert},
    },
    state::State,
};

const EXTERNAL_ID: &str = "user_external_id_key";

/// Creates a user in the caller's project.
pub(crate) async fn user_create(
    state: &State,
    caller: &Caller,
    once: Once,
    new: UserCreate,
) -> Result<User> {
    let project = caller.project_id;
    caller.require(Action::UserManage, Scope::Project(project))?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(user) => return Ok(user),
    };
    let (id, external_id) = (state.ids.next(), new.external_id.as_deref());
    let user = db::user::user_insert(
        write.conn(),
        project,
        id,
        &new.name,
        external_id,
        &new.labels,
        new.max_sessions,
    )
    .await
    .on_constraint(EXTERNAL_ID, || external_id_taken(external_id))?;
    announce(
        write.conn(),
        caller,
        &user,
        EventKind::UserCreated,
        "was created",
    )
    .await?;
    write.commit(&user).await?;
    Ok(user)
}

/// Changes a user.
pub(crate) async fn user_update(
    state: &State,
    caller: &Caller,
    id: UserId,
    expected: Expected,
    change: UserUpdate,
) -> Result<Versioned<User>> {
    let reach = caller.reach(Action::UserManage)?;
    let mut tx = state.pool.begin().await?;
    let Versioned { mut thing, .. } = get_locked(&mut tx, &reach, id, &expected).await?;
    let was_enabled = thing.enabled;
    apply(&mut thing, change);
    let changed = db::user::user_update(&mut tx, &thing)
        .await
        .on_constraint(EXTERNAL_ID, || {
            external_id_taken(thing.external_id.as_deref())
        })?;
    if was_enabled && !thing.enabled {
        revocation::end_subject(&mut tx, id.into()).await?;
    }
    let what = if thing.enabled {
        "was changed"
    } else {
        "was changed and is disabled"
    };
    announce(&mut tx, caller, &thing, EventKind::UserUpdated, what).await?;
    tx.commit().await?;
    state.wake.sessions();
    Ok(changed)
}

/// Deletes a user with its grants.
pub(crate) async fn user_delete(
    state: &State,
    caller: &Caller,
    id: UserId,
    expected: Expected,
) -> Result<()> {
    let reach = caller.reach(Action::UserManage)?;
    let mut tx = state.pool.begin().await?;
    let user = get_locked(&mut tx, &reach, id, &expected).await?.thing;
    db::user::user_delete(&mut tx, user.project_id, id).await?;
    revocation::end_subject(&mut tx, id.into()).await?;
    announce(
        &mut tx,
        caller,
        &user,
        EventKind::UserDeleted,
        "was deleted",
    )
    .await?;
    tx.commit().await?;
    Ok(())
}

async fn get_locked(
    conn: &mut PgConnection,
    reach: &Reach,
    id: UserId,
    expected: &Expected,
) -> Result<Versioned<User>> {
    db::user::user_lock(conn, reach, id).await?;
    let found = db::user::user_get(conn, reach, id)
        .await?
        .ok_or_else(|| Error::not_found(id))?;
    expected.check(found.version)?;
    Ok(found)
}

fn apply(user: &mut User, change: UserUpdate) {
    let UserUpdate {
        name,
        external_id,
        labels,
        enabled,
        max_sessions,
    } = change;
    if let Some(name) = name {
        user.name = name;
    }
    if let Some(external_id) = external_id {
        user.external_id = external_id;
    }
    if let Some(labels) = labels {
        user.labels = labels;
    }
    if let Some(enabled) = enabled {
        user.enabled = enabled;
    }
    if let Some(max_sessions) = max_sessions {
        user.max_sessions = max_sessions;
    }
}

async fn announce(
    conn: &mut PgConnection,
    caller: &Caller,
    user: &User,
    kind: EventKind,
    what: &str,
) -> Result<()> {
    let event = NewEvent {
        project_id: Some(user.project_id),
        kind,
        subject: user.id.to_string(),
        actor: &caller.identity.to_string(),
        message: format!("user `{}` {what}", user.name),
    };
    Ok(event_insert(conn, event).await?)
}

fn external_id_taken(external_id: Option<&str>) -> Error {
    let external_id = external_id.unwrap_or_default();
    Error::Conflict(format!(
        "there is a user with external_id `{external_id}` in the project already"
    ))
}
