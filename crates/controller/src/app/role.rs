//! Roles: named sets of actions that projects make.
//!
//! A change of a role changes all its grants, so it needs what granting that anew would need. That
//! is enough since a project's role is granted on things of that project only.

use headworks_types::{
    Action, EventKind, GrantObject, ProjectId, Role, RoleCreate, RoleId, RoleUpdate,
};
use sqlx::PgConnection;

use super::{
    Begun, Caller, Error, Expected, Once, Reach, Result, Scope, Versioned,
    access::{Actions, require_all},
    revocation,
};
use crate::{
    db::{
        self, OnConstraint,
        event::{NewEvent, event_insert},
    },
    state::State,
};

const NAME: &str = "role_name_key";

/// Creates a role in the caller's project.
pub(crate) async fn role_create(
    state: &State,
    caller: &Caller,
    once: Once,
    new: RoleCreate,
) -> Result<Role> {
    let project = caller.project_id;
    caller.require(Action::UserManage, Scope::Project(project))?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(role) => return Ok(role),
    };
    let conn = write.conn();
    let role = db::role::role_insert(conn, project, state.ids.next(), &new.name, &new.actions)
        .await
        .on_constraint(NAME, || name_taken(&new.name))?;
    announce(conn, caller, &role, EventKind::RoleCreated, "was created").await?;
    write.commit(&role).await?;
    Ok(role)
}

/// Changes a role, and so every grant of it.
pub(crate) async fn role_update(
    state: &State,
    caller: &Caller,
    id: RoleId,
    expected: Expected,
    change: RoleUpdate,
) -> Result<Versioned<Role>> {
    let reach = caller.reach(Action::UserManage)?;
    let mut tx = state.pool.begin().await?;
    let (project, role) = get_locked(&mut tx, &reach, id, &expected).await?;
    let name = change.name.unwrap_or(role.name);
    let actions = change.actions.unwrap_or_else(|| role.actions.clone());
    // Also what is taken out of it: it may be what somebody is denied.
    let (old, new) = (set(&role.actions), set(&actions));
    let changed = old.without(new) | new.without(old);
    let object = GrantObject::Project { id: project };
    let changed = changed.iter().filter(|action| action.is_on(&object));
    require_all(&mut tx, caller, object, changed.collect()).await?;
    let role = db::role::role_update(&mut tx, project, id, &name, &actions)
        .await
        .on_constraint(NAME, || name_taken(&name))?;
    let event = EventKind::RoleUpdated;
    announce(&mut tx, caller, &role.thing, event, "was changed").await?;
    if old != new {
        revocation::narrow_role(&mut tx, id).await?;
    }
    tx.commit().await?;
    state.wake.sessions();
    Ok(role)
}

/// Deletes a role that is granted to nobody.
pub(crate) async fn role_delete(
    state: &State,
    caller: &Caller,
    id: RoleId,
    expected: Expected,
) -> Result<()> {
    let reach = caller.reach(Action::UserManage)?;
    let mut tx = state.pool.begin().await?;
    let (project, role) = get_locked(&mut tx, &reach, id, &expected).await?;
    db::role::role_delete(&mut tx, project, id)
        .await
        .on_constraint("grant_role_id_fkey", || {
            Error::Conflict(format!(
                "role `{}` is granted; delete its grants first (`/v1/grants?role_id={id}`)",
                role.name
            ))
        })?;
    let event = EventKind::RoleDeleted;
    announce(&mut tx, caller, &role, event, "was deleted").await?;
    tx.commit().await?;
    Ok(())
}

async fn get_locked(
    conn: &mut PgConnection,
    reach: &Reach,
    id: RoleId,
    expected: &Expected,
) -> Result<(ProjectId, Role)> {
    db::role::role_lock(conn, reach, id).await?;
    let found = db::role::role_get(conn, reach, id)
        .await?
        .ok_or_else(|| Error::not_found(id))?;
    expected.check(found.version)?;
    let project = found.thing.project_id;
    Ok((project.ok_or(sqlx::Error::RowNotFound)?, found.thing))
}

fn set(actions: &[Action]) -> Actions {
    actions.iter().copied().collect()
}

async fn announce(
    conn: &mut PgConnection,
    caller: &Caller,
    role: &Role,
    kind: EventKind,
    what: &str,
) -> Result<()> {
    let actions: Vec<_> = role.actions.iter().map(Action::to_string).collect();
    let event = NewEvent {
        project_id: role.project_id,
        kind,
        subject: role.id.to_string(),
        actor: &caller.identity.to_string(),
        message: format!("role `{}` ({}) {what}", role.name, actions.join(", ")),
    };
    Ok(event_insert(conn, event).await?)
}

fn name_taken(name: &str) -> Error {
    Error::Conflict(format!("there is a role `{name}` in the project already"))
}
