//! Grants: who may do what with what. Nobody can allow what they may not do themselves, nor lift
//! what is denied to them.

use headworks_types::{
    Action, ApiKeyId, Effect, EventKind, Grant, GrantCreate, GrantId, GrantObject, Principal,
    ProjectId, RoleRef, User, UserGroup,
};
use sqlx::PgConnection;

use super::{
    Begun, Caller, Error, Once, Reach, Result, Scope,
    access::{Actions, name, require_all},
    api_key::{administers, keep_an_administrator},
    camera_group, revocation,
};
use crate::{
    db::{
        self,
        access::object_project,
        camera::camera_list_access,
        event::{NewEvent, event_insert},
        grant::{grant_get, grant_insert, grant_list_to, zone_exists},
        user_group::user_group_list_of,
    },
    state::State,
};

/// Grants something.
pub(crate) async fn grant_create(
    state: &State,
    caller: &Caller,
    once: Once,
    new: GrantCreate,
) -> Result<Grant> {
    let reach = caller.reach(Action::UserManage)?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(grant) => return Ok(grant),
    };
    let conn = write.conn();
    check_conditions(state, conn, &new).await?;
    let project = project_of(conn, &reach, new.principal).await?;
    let actions = actions_of(conn, project, &new).await?;
    match new.effect {
        Effect::Allow => require_known(conn, caller, project, new.object).await?,
        Effect::Deny => require_users(conn, caller, &reach, project, new.object).await?,
    }
    if matches!(new.role, Some(RoleRef::Custom(_))) {
        require_in(conn, project, new.object).await?;
    }
    match new.effect {
        Effect::Allow => require_all(conn, caller, new.object, actions).await?,
        Effect::Deny => keep_from_locking_out(conn, &new, actions).await?,
    }
    let grant = grant_insert(conn, state.ids.next(), project, &new)
        .await
        .map_err(gone_meanwhile)?;
    announce(conn, caller, &grant, EventKind::GrantCreated).await?;
    if new.effect == Effect::Deny {
        revocation::narrow_principal(conn, grant.principal).await?;
    }
    write.commit(&grant).await?;
    state.wake.sessions();
    Ok(grant)
}

/// Takes a grant away. To lift a deny is to allow, and needs as much.
pub(crate) async fn grant_delete(state: &State, caller: &Caller, id: GrantId) -> Result<()> {
    let reach = caller.reach(Action::UserManage)?;
    let mut tx = state.pool.begin().await?;
    let grant = grant_get(&mut tx, &reach, id)
        .await?
        .ok_or_else(|| Error::not_found(id))?;
    match grant.effect {
        Effect::Allow => require_own(caller, &grant)?,
        Effect::Deny => {
            let actions = grant.actions.iter().copied();
            let actions = actions.filter(|action| action.is_on(&grant.object));
            require_all(&mut tx, caller, grant.object, actions.collect()).await?;
        }
    }
    if administers(&grant) {
        keep_an_administrator(&mut tx, |_, other| other != id).await?;
    }
    match db::grant::grant_delete(&mut tx, grant.project_id, id).await {
        Err(sqlx::Error::RowNotFound) => return Err(Error::not_found(id)),
        other => other?,
    }
    announce(&mut tx, caller, &grant, EventKind::GrantDeleted).await?;
    // What was issued before says more than is so now.
    revocation::narrow_principal(&mut tx, grant.principal).await?;
    tx.commit().await?;
    state.wake.sessions();
    Ok(())
}

/// Refuses unless the caller, too, may do what the grant allows on a project or the cluster.
/// With cameras and their groups it is enough to manage the principal.
pub(crate) fn require_own(caller: &Caller, grant: &Grant) -> Result<()> {
    let scope = match grant.object {
        GrantObject::Camera { .. } | GrantObject::CameraGroup { .. } => return Ok(()),
        GrantObject::Project { id } => Scope::Project(id),
        GrantObject::Cluster => Scope::Cluster,
    };
    let on = |action: &&Action| action.is_on(&grant.object);
    let mut actions = grant.actions.iter().filter(on);
    actions.try_for_each(|&action| caller.require(action, scope))
}

/// Refuses what the database could not judge later, and what would never hold.
async fn check_conditions(state: &State, conn: &mut PgConnection, new: &GrantCreate) -> Result<()> {
    if let Some(schedule) = &new.conditions.schedule
        && !zone_exists(conn, &schedule.zone).await?
    {
        return Err(Error::invalid(
            "/conditions/schedule/zone",
            "is no zone of the IANA database, such as Europe/Paris",
        ));
    }
    let now = state.clock.now();
    if new.conditions.not_after.is_some_and(|at| at <= now) {
        return Err(Error::invalid(
            "/conditions/not_after",
            "must be in the future",
        ));
    }
    Ok(())
}

/// Refuses unless the caller, too, may do what the user may do on projects and the cluster, by
/// itself and by its groups: whoever can become the user would else rise.
pub(crate) async fn require_rights_of(
    conn: &mut PgConnection,
    caller: &Caller,
    user: &User,
) -> Result<()> {
    let project = user.project_id;
    let groups = user_group_list_of(conn, &Reach::of(project), user.id, None, i64::MAX).await?;
    let groups = groups
        .iter()
        .map(|group| Principal::UserGroup { id: group.id });
    for principal in [Principal::User { id: user.id }].into_iter().chain(groups) {
        require_own_to(conn, caller, project, principal).await?;
    }
    Ok(())
}

/// As [`require_own`], for everything that is allowed to a principal.
pub(crate) async fn require_own_to(
    conn: &mut PgConnection,
    caller: &Caller,
    project: ProjectId,
    principal: Principal,
) -> Result<()> {
    let grants = grant_list_to(conn, project, principal).await?;
    let mut allowed = grants.iter().filter(|grant| grant.effect == Effect::Allow);
    allowed.try_for_each(|grant| require_own(caller, grant))
}

/// Refuses unless the caller could make each grant of this effect to the group, or lift it: who
/// joins a group is allowed what it is allowed, who leaves it is denied no more what it is denied.
pub(crate) async fn require_gifts_of(
    conn: &mut PgConnection,
    caller: &Caller,
    group: &UserGroup,
    effect: Effect,
) -> Result<()> {
    let principal = Principal::UserGroup { id: group.id };
    for grant in grant_list_to(conn, group.project_id, principal).await? {
        if grant.effect == effect {
            let actions = grant.actions.iter().copied();
            let actions = actions.filter(|action| action.is_on(&grant.object));
            require_all(conn, caller, grant.object, actions.collect()).await?;
        }
    }
    Ok(())
}

/// The project of the principal, if the caller may manage users there.
async fn project_of(
    conn: &mut PgConnection,
    reach: &Reach,
    principal: Principal,
) -> Result<ProjectId> {
    db::access::principal_project(conn, reach, principal)
        .await?
        .ok_or_else(|| match principal {
            Principal::User { id } => Error::not_found(id),
            Principal::UserGroup { id } => Error::not_found(id),
            Principal::ApiKey { id } => Error::not_found(id),
        })
}

/// What the grant is about: of a role, what means something on the object.
async fn actions_of(
    conn: &mut PgConnection,
    project: ProjectId,
    new: &GrantCreate,
) -> Result<Actions> {
    let actions = match (new.role, &new.actions) {
        (Some(RoleRef::BuiltIn(role)), _) => role.actions().to_vec(),
        (Some(RoleRef::Custom(id)), _) => {
            let found = db::role::role_get(conn, &Reach::of(project), id).await?;
            found.ok_or_else(|| Error::not_found(id))?.thing.actions
        }
        (None, actions) => actions.clone().unwrap_or_default(),
    };
    let on = actions
        .into_iter()
        .filter(|action| action.is_on(&new.object));
    let on: Actions = on.collect();
    if on.is_empty() {
        return Err(Error::invalid(
            "/role",
            format!("has no action that means something on {}", name(new.object)),
        ));
    }
    Ok(on)
}

/// Refuses to allow something on what the caller may not know of, or on another project's. Only
/// who manages users of the whole cluster can tie projects together.
async fn require_known(
    conn: &mut PgConnection,
    caller: &Caller,
    project: ProjectId,
    object: GrantObject,
) -> Result<()> {
    let of = match object {
        GrantObject::Cluster => return Ok(()),
        GrantObject::Project { id } => {
            let known = caller.known_projects()?;
            let found = db::project::project_get(conn, &known, id).await?;
            found.map(|_| id)
        }
        GrantObject::CameraGroup { id } => Some(
            camera_group::require_seen(conn, caller, id)
                .await?
                .project_id,
        ),
        GrantObject::Camera { id } => {
            let found = camera_list_access(conn, &caller.sight()?, &[id]).await?;
            found.first().map(|camera| camera.project_id)
        }
    };
    let everywhere = caller.may(Action::UserManage, Scope::Cluster);
    match of {
        Some(of) if of == project || everywhere => Ok(()),
        _ => Err(Error::not_found(name(object))),
    }
}

/// Refuses to deny something where the caller does not manage users.
async fn require_users(
    conn: &mut PgConnection,
    caller: &Caller,
    reach: &Reach,
    project: ProjectId,
    object: GrantObject,
) -> Result<()> {
    if object == GrantObject::Cluster {
        return caller.require(Action::UserManage, Scope::Cluster);
    }
    let everywhere = caller.may(Action::UserManage, Scope::Cluster);
    match object_project(conn, reach, object).await? {
        Some(of) if of == project || everywhere => Ok(()),
        _ => Err(Error::not_found(name(object))),
    }
}

/// Refuses to grant a project's role outside of the project: else who may change the role could
/// change what others may do there.
async fn require_in(
    conn: &mut PgConnection,
    project: ProjectId,
    object: GrantObject,
) -> Result<()> {
    let of = object_project(conn, &Reach::of(project), object).await?;
    if of == Some(project) {
        return Ok(());
    }
    Err(Error::invalid(
        "/role",
        "is a project's own role: it can be granted on things of that project only",
    ))
}

/// Refuses to deny the last key that manages keys in the whole cluster just that.
async fn keep_from_locking_out(
    conn: &mut PgConnection,
    new: &GrantCreate,
    actions: Actions,
) -> Result<()> {
    let denied: Option<ApiKeyId> = match new.principal {
        Principal::ApiKey { id } => Some(id),
        Principal::User { .. } | Principal::UserGroup { .. } => None,
    };
    match denied {
        Some(id) if new.object == GrantObject::Cluster && actions.include(Action::UserManage) => {
            keep_an_administrator(conn, |key, _| key != id).await
        }
        _ => Ok(()),
    }
}

/// The principal or the object was deleted since we looked.
fn gone_meanwhile(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Database(violation) if violation.is_foreign_key_violation() => {
            Error::NotFound("the principal or the object has just been deleted".to_owned())
        }
        _ => error.into(),
    }
}

async fn announce(
    conn: &mut PgConnection,
    caller: &Caller,
    grant: &Grant,
    kind: EventKind,
) -> Result<()> {
    let who = match grant.principal {
        Principal::User { id } => id.to_string(),
        Principal::UserGroup { id } => id.to_string(),
        Principal::ApiKey { id } => id.to_string(),
    };
    let may = match (kind, grant.effect) {
        (EventKind::GrantDeleted, Effect::Allow) => "may no more",
        (EventKind::GrantDeleted, Effect::Deny) => "is no more denied",
        (_, Effect::Allow) => "may",
        (_, Effect::Deny) => "is denied",
    };
    let what = match grant.role {
        Some(role) => format!("the role {role}"),
        None => {
            let actions: Vec<_> = grant.actions.iter().map(Action::to_string).collect();
            actions.join(", ")
        }
    };
    let event = NewEvent {
        project_id: Some(grant.project_id),
        kind,
        subject: grant.id.to_string(),
        actor: &caller.identity.to_string(),
        message: format!("{who} {may} {what} on {}", name(grant.object)),
    };
    Ok(event_insert(conn, event).await?)
}
