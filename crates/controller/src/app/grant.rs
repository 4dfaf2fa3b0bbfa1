//! Grants: who may do what with what. Nobody can allow what they may not do themselves, nor lift
//! what is denied to them, nor deny something to who may do more.

use headworks_types::{
    Action, Effect, EventKind, Grant, GrantCreate, GrantId, GrantObject, Principal, ProjectId,
    RoleRef, UserId,
};
use sqlx::PgConnection;

use super::{
    Begun, Caller, Error, Once, Reach, Result, Scope,
    access::{Actions, Rule, everything_of, name, require_all, require_gifts, require_own},
    api_key::{administers, keep_an_administrator},
    camera_group, revocation,
};
use crate::{
    db::{
        self,
        access::object_project,
        camera::camera_list_access,
        event::{NewEvent, event_insert},
        grant::{grant_get, grant_insert, principal_uuid, zone_exists},
        revocation::user_group_members,
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
        Effect::Deny => {
            require_no_mightier(conn, caller, project, new.principal).await?;
            keep_from_locking_out(conn, new.principal).await?;
        }
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
        Effect::Allow => require_own(caller, [&Rule::from(&grant)])?,
        Effect::Deny => require_gifts(&mut tx, caller, [&Rule::from(&grant)]).await?,
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

/// Refuses to deny something to somebody who may do more than the caller: of a group, to anybody in
/// it.
async fn require_no_mightier(
    conn: &mut PgConnection,
    caller: &Caller,
    project: ProjectId,
    principal: Principal,
) -> Result<()> {
    let mut principals = vec![principal_uuid(principal)];
    if let Principal::UserGroup { id } = principal {
        let members = user_group_members(conn, id).await?;
        principals.extend(members.into_iter().map(UserId::uuid));
    }
    require_own(caller, &everything_of(conn, project, &principals).await?)
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

/// Refuses to deny anything to the last key that manages keys in the whole cluster: it could make
/// no other one that may do all, nor lift the deny.
async fn keep_from_locking_out(conn: &mut PgConnection, principal: Principal) -> Result<()> {
    match principal {
        Principal::ApiKey { id } => keep_an_administrator(conn, |key, _| key != id).await,
        Principal::User { .. } | Principal::UserGroup { .. } => Ok(()),
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
