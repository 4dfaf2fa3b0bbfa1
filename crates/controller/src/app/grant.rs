//! Grants: who may do what with what. Nobody can grant what they may not do themselves.

use headworks_types::{
    Action, EventKind, Grant, GrantCreate, GrantId, GrantObject, Principal, ProjectId,
};
use sqlx::PgConnection;

use super::{
    Begun, Caller, Error, Once, Reach, Result, Scope,
    api_key::{administers, keep_an_administrator},
    revocation,
};
use crate::{
    db::{
        self,
        event::{NewEvent, event_insert},
        grant::{grant_get, grant_insert},
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
    let project = project_of(conn, &reach, new.principal).await?;
    require_actions(conn, caller, project, &new).await?;
    let grant = grant_insert(
        conn,
        state.ids.next(),
        project,
        new.principal,
        new.object,
        &new.actions,
    )
    .await
    .map_err(gone_meanwhile)?;
    announce(conn, caller, &grant, EventKind::GrantCreated, "may").await?;
    write.commit(&grant).await?;
    Ok(grant)
}

/// Takes a grant away.
pub(crate) async fn grant_delete(state: &State, caller: &Caller, id: GrantId) -> Result<()> {
    let reach = caller.reach(Action::UserManage)?;
    let mut tx = state.pool.begin().await?;
    let grant = grant_get(&mut tx, &reach, id)
        .await?
        .ok_or_else(|| Error::not_found(id))?;
    require_own(caller, &grant)?;
    if administers(&grant) {
        keep_an_administrator(&mut tx, |_, other| other != id).await?;
    }
    match db::grant::grant_delete(&mut tx, grant.project_id, id).await {
        Err(sqlx::Error::RowNotFound) => return Err(Error::not_found(id)),
        other => other?,
    }
    announce(
        &mut tx,
        caller,
        &grant,
        EventKind::GrantDeleted,
        "may no more",
    )
    .await?;
    // What was issued before says more than is so now.
    match grant.principal {
        Principal::User { id } => revocation::narrow_subject(&mut tx, id.into()).await?,
        Principal::ApiKey { id } => revocation::narrow_subject(&mut tx, id.into()).await?,
    }
    tx.commit().await?;
    state.wake.sessions();
    Ok(())
}

/// Refuses unless the caller, too, may do what the grant allows on a project or the cluster.
/// With single cameras it is enough to manage the principal.
pub(crate) fn require_own(caller: &Caller, grant: &Grant) -> Result<()> {
    let scope = match grant.object {
        GrantObject::Camera { .. } => return Ok(()),
        GrantObject::Project { id } => Scope::Project(id),
        GrantObject::Cluster => Scope::Cluster,
    };
    grant
        .actions
        .iter()
        .try_for_each(|&action| caller.require(action, scope))
}

/// The project of the principal, if the caller may manage users there.
async fn project_of(
    conn: &mut PgConnection,
    reach: &Reach,
    principal: Principal,
) -> Result<ProjectId> {
    match principal {
        Principal::User { id } => db::user::user_get(conn, reach, id)
            .await?
            .map(|user| user.thing.project_id)
            .ok_or_else(|| Error::not_found(id)),
        Principal::ApiKey { id } => db::api_key::api_key_get(conn, reach, id)
            .await?
            .map(|key| key.project_id)
            .ok_or_else(|| Error::not_found(id)),
    }
}

/// Refuses unless the caller, too, may do every action on the object. Only who manages users of
/// the whole cluster can grant something of another project.
async fn require_actions(
    conn: &mut PgConnection,
    caller: &Caller,
    project: ProjectId,
    new: &GrantCreate,
) -> Result<()> {
    let everywhere = caller.may(Action::UserManage, Scope::Cluster);
    let require_in = |scope| {
        let mut actions = new.actions.iter();
        actions.try_for_each(|&action| caller.require(action, scope))
    };
    match new.object {
        GrantObject::Cluster => require_in(Scope::Cluster),
        GrantObject::Project { id } => {
            let known = caller.known_projects()?;
            db::project::project_get(conn, &known, id)
                .await?
                .filter(|_| id == project || everywhere)
                .ok_or_else(|| Error::not_found(id))?;
            require_in(Scope::Project(id))
        }
        GrantObject::Camera { id } => {
            let access = db::camera::camera_list_access(conn, &caller.sight()?, &[id]).await?;
            let access = access
                .first()
                .filter(|access| access.project_id == project.uuid() || everywhere)
                .ok_or_else(|| Error::not_found(id))?;
            let missing = new.actions.iter().find(|action| match action {
                Action::CameraManage => !access.manages,
                Action::CameraViewLive => !access.watches,
                _ => true,
            });
            match missing {
                None => Ok(()),
                Some(action) => Err(Error::Forbidden(format!(
                    "this key has no {} on {id}",
                    action.as_str()
                ))),
            }
        }
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
    may: &str,
) -> Result<()> {
    let who = match grant.principal {
        Principal::User { id } => id.to_string(),
        Principal::ApiKey { id } => id.to_string(),
    };
    let on = match grant.object {
        GrantObject::Camera { id } => id.to_string(),
        GrantObject::Project { id } => id.to_string(),
        GrantObject::Cluster => "the cluster".to_owned(),
    };
    let actions: Vec<_> = grant.actions.iter().map(|action| action.as_str()).collect();
    let event = NewEvent {
        project_id: Some(grant.project_id),
        kind,
        subject: grant.id.to_string(),
        actor: &caller.identity.to_string(),
        message: format!("{who} {may} {} on {on}", actions.join(", ")),
    };
    Ok(event_insert(conn, event).await?)
}
