//! Camera groups: the tree that cameras hang in. To put something somewhere in it, or to take it
//! away from there, needs `camera.manage` there: what is granted on a group reaches what is put
//! into it. Whoever moves something comes to no more by that.

use headworks_types::{
    Action, CameraGroup, CameraGroupCreate, CameraGroupId, CameraGroupUpdate, EventKind,
    GrantObject, ProjectId,
};
use sqlx::PgConnection;

use super::{
    Begun, Caller, Error, Expected, Once, Result, Scope, Versioned, access::require_move,
    revocation,
};
use crate::{
    db::{
        self, OnConstraint,
        camera_group::{
            GroupAccess, MAX_DEPTH, camera_group_get, camera_group_height,
            camera_group_list_access, tree_lock,
        },
        event::{NewEvent, event_insert},
        viewing::view_policy_tell,
    },
    state::State,
};

const EXTERNAL_ID: &str = "camera_group_external_id_key";

/// Creates a group in a group, or at the top of the caller's project.
pub(crate) async fn camera_group_create(
    state: &State,
    caller: &Caller,
    once: Once,
    new: CameraGroupCreate,
) -> Result<CameraGroup> {
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(group) => return Ok(group),
    };
    let conn = write.conn();
    let project = require_place(conn, caller, caller.project_id, new.parent_id).await?;
    tree_lock(conn, project).await?;
    let above = path(conn, project, new.parent_id).await?;
    if above.len() >= MAX_DEPTH {
        return Err(too_deep());
    }
    let id = state.ids.next();
    let group = db::camera_group::camera_group_insert(conn, project, id, &above, &new)
        .await
        .on_constraint(EXTERNAL_ID, || {
            external_id_taken(new.external_id.as_deref())
        })?;
    let event = EventKind::CameraGroupCreated;
    announce(conn, caller, &group, event, "was created").await?;
    write.commit(&group).await?;
    Ok(group)
}

/// Changes a group, and moves it with everything below it.
pub(crate) async fn camera_group_update(
    state: &State,
    caller: &Caller,
    id: CameraGroupId,
    expected: Expected,
    change: CameraGroupUpdate,
) -> Result<Versioned<CameraGroup>> {
    let mut tx = state.pool.begin().await?;
    let mut group = get_locked(&mut tx, caller, id, &expected).await?;
    let CameraGroupUpdate {
        name,
        parent_id,
        external_id,
        labels,
    } = change;
    let parent_id = parent_id.unwrap_or(group.parent_id);
    if parent_id != group.parent_id {
        move_to(&mut tx, caller, &group, parent_id).await?;
    }
    group.name = name.unwrap_or(group.name);
    group.labels = labels.unwrap_or(group.labels);
    group.external_id = external_id.unwrap_or(group.external_id);
    let changed = db::camera_group::camera_group_update(&mut tx, &group)
        .await
        .on_constraint(EXTERNAL_ID, || {
            external_id_taken(group.external_id.as_deref())
        })?;
    let what = match parent_id == group.parent_id {
        true => "was changed".to_owned(),
        false => format!("was moved {}", place(parent_id)),
    };
    let event = EventKind::CameraGroupUpdated;
    announce(&mut tx, caller, &changed.thing, event, &what).await?;
    tx.commit().await?;
    state.wake.sessions();
    Ok(changed)
}

/// Deletes an empty group with the grants on it.
pub(crate) async fn camera_group_delete(
    state: &State,
    caller: &Caller,
    id: CameraGroupId,
    expected: Expected,
) -> Result<()> {
    let mut tx = state.pool.begin().await?;
    let group = get_locked(&mut tx, caller, id, &expected).await?;
    db::camera_group::camera_group_delete(&mut tx, group.project_id, id)
        .await
        .map_err(|error| match &error {
            sqlx::Error::Database(violation) if violation.is_foreign_key_violation() => {
                Error::Conflict(format!(
                    "{id} has cameras or groups in it; move or delete them first"
                ))
            }
            _ => error.into(),
        })?;
    let event = EventKind::CameraGroupDeleted;
    announce(&mut tx, caller, &group, event, "was deleted").await?;
    tx.commit().await?;
    Ok(())
}

/// Refuses unless the caller may manage cameras in the group, or else in the whole project; returns
/// the place's project.
pub(crate) async fn require_place(
    conn: &mut PgConnection,
    caller: &Caller,
    project: ProjectId,
    group: Option<CameraGroupId>,
) -> Result<ProjectId> {
    let Some(id) = group else {
        caller.require(Action::CameraManage, Scope::Project(project))?;
        return Ok(project);
    };
    let access = require_seen(conn, caller, id).await?;
    if !access.actions.include(Action::CameraManage) {
        return Err(caller.lacks(&[Action::CameraManage], &id.to_string()));
    }
    if access.project_id != project {
        return Err(Error::Forbidden(format!("{id} is of another project")));
    }
    Ok(project)
}

/// What the caller may do in the group; refuses if it may not know of it.
pub(crate) async fn require_seen(
    conn: &mut PgConnection,
    caller: &Caller,
    id: CameraGroupId,
) -> Result<GroupAccess> {
    let found = camera_group_list_access(conn, &caller.sight()?, &[id]).await?;
    found.into_iter().next().ok_or_else(|| Error::not_found(id))
}

/// Moves the group; nothing is below itself, and nothing is too deep.
async fn move_to(
    conn: &mut PgConnection,
    caller: &Caller,
    group: &CameraGroup,
    parent: Option<CameraGroupId>,
) -> Result<()> {
    let project = group.project_id;
    require_place(conn, caller, project, group.parent_id).await?;
    require_place(conn, caller, project, parent).await?;
    let above = path(conn, project, parent).await?;
    let before = path(conn, project, group.parent_id).await?;
    let thing = GrantObject::CameraGroup { id: group.id };
    require_move(conn, caller, thing, &before, &above).await?;
    if above.contains(&group.id) {
        return Err(Error::invalid(
            "/parent_id",
            "is the group itself, or below it",
        ));
    }
    let height = camera_group_height(conn, project, group.id).await?;
    if above.len() + height > MAX_DEPTH {
        return Err(too_deep());
    }
    db::camera_group::camera_group_move(conn, project, group.id, &above).await?;
    // The group itself stays above what is in it.
    let [before, after] = [&group.path, &above].map(|path| {
        let others = path.iter().filter(|id| **id != group.id);
        others.map(|id| id.uuid()).collect::<Vec<_>>()
    });
    revocation::narrow_move(conn, &before, &after).await?;
    Ok(view_policy_tell(conn, group.id).await?)
}

/// The groups from the top down to this one.
pub(crate) async fn path(
    conn: &mut PgConnection,
    project: ProjectId,
    id: Option<CameraGroupId>,
) -> Result<Vec<CameraGroupId>> {
    let Some(id) = id else {
        return Ok(Vec::new());
    };
    let found = camera_group_get(conn, project, id).await?;
    let group = found.ok_or_else(|| Error::not_found(id))?;
    Ok(group.thing.path)
}

/// The group, whose project's tree is locked, if the caller may manage it.
async fn get_locked(
    conn: &mut PgConnection,
    caller: &Caller,
    id: CameraGroupId,
    expected: &Expected,
) -> Result<CameraGroup> {
    let project = require_seen(conn, caller, id).await?.project_id;
    tree_lock(conn, project).await?;
    require_place(conn, caller, project, Some(id)).await?;
    let found = camera_group_get(conn, project, id).await?;
    let found = found.ok_or_else(|| Error::not_found(id))?;
    expected.check(found.version)?;
    Ok(found.thing)
}

fn place(group: Option<CameraGroupId>) -> String {
    group.map_or_else(|| "to the top".to_owned(), |id| format!("into {id}"))
}

fn too_deep() -> Error {
    let detail = format!("groups nest {MAX_DEPTH} deep at most");
    Error::invalid("/parent_id", detail)
}

fn external_id_taken(external_id: Option<&str>) -> Error {
    let external_id = external_id.unwrap_or_default();
    Error::Conflict(format!(
        "there is a camera group with external_id `{external_id}` in the project already"
    ))
}

async fn announce(
    conn: &mut PgConnection,
    caller: &Caller,
    group: &CameraGroup,
    kind: EventKind,
    what: &str,
) -> Result<()> {
    let event = NewEvent {
        project_id: Some(group.project_id),
        kind,
        subject: group.id.to_string(),
        actor: &caller.identity.to_string(),
        message: format!("camera group `{}` {what}", group.name),
    };
    Ok(event_insert(conn, event).await?)
}
