//! Projects: the tenants. The cluster's administrators create them.

use headworks_types::{
    Action, EventKind, Network, Project, ProjectCreate, ProjectId, ProjectUpdate,
};

use super::{Begun, Caller, Error, Expected, Once, Result, Scope, Versioned};
use crate::{
    db::{
        OnConstraint,
        event::{NewEvent, event_insert},
        node::revision_bump,
        project::{self, project_get, project_insert, project_list_nodes, project_lock},
    },
    state::State,
};

/// Creates a project.
pub(crate) async fn project_create(
    state: &State,
    caller: &Caller,
    once: Once,
    new: ProjectCreate,
) -> Result<Project> {
    caller.require(Action::ProjectManage, Scope::Cluster)?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(project) => return Ok(project),
    };
    let project = project_insert(write.conn(), state.ids.next(), &new.name)
        .await
        .on_constraint("project_name_key", || name_taken(&new.name))?;
    let event = NewEvent {
        project_id: Some(project.id),
        kind: EventKind::ProjectCreated,
        subject: project.id.to_string(),
        actor: &caller.identity.to_string(),
        message: format!("project `{}` was created", project.name),
    };
    event_insert(write.conn(), event).await?;
    write.commit(&project).await?;
    Ok(project)
}

/// Renames a project, or opens closed networks to it.
pub(crate) async fn project_update(
    state: &State,
    caller: &Caller,
    id: ProjectId,
    expected: Expected,
    change: ProjectUpdate,
) -> Result<Versioned<Project>> {
    let known = caller.known_projects()?;
    if !known.covers(id) {
        return Err(Error::not_found(id));
    }
    caller.require(Action::ProjectManage, Scope::Project(id))?;
    if change.outbound_allow.is_some() {
        // It lets the project at machines that are not its own.
        caller.require(Action::ProjectManage, Scope::Cluster)?;
    }
    let mut tx = state.pool.begin().await?;
    project_lock(&mut tx, id).await?;
    let found = project_get(&mut tx, &known, id)
        .await?
        .ok_or_else(|| Error::not_found(id))?;
    expected.check(found.version)?;
    let before = &found.thing;
    let name = change.name.unwrap_or_else(|| before.name.clone());
    let allow = change.outbound_allow.as_ref();
    let allow = allow.unwrap_or(&before.outbound_allow);
    let opens = *allow != before.outbound_allow;
    if name == before.name && !opens {
        return Ok(found);
    }
    let changed = project::project_update(&mut tx, id, &name, allow)
        .await
        .on_constraint("project_name_key", || name_taken(&name))?;
    let message = if opens {
        let networks: Vec<_> = allow.iter().map(Network::to_string).collect();
        format!("project `{name}` may connect to [{}]", networks.join(", "))
    } else {
        format!("project `{}` is called `{name}` now", before.name)
    };
    let event = NewEvent {
        project_id: Some(id),
        kind: EventKind::ProjectUpdated,
        subject: id.to_string(),
        actor: &caller.identity.to_string(),
        message,
    };
    event_insert(&mut tx, event).await?;
    if opens {
        let nodes = project_list_nodes(&mut tx, id).await?;
        revision_bump(&mut tx, &nodes).await?;
    }
    tx.commit().await?;
    Ok(changed)
}

fn name_taken(name: &str) -> Error {
    Error::Conflict(format!("there is a project `{name}` already"))
}
