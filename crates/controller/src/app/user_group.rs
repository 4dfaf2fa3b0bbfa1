//! User groups: people who may do the same.
//!
//! Who joins a group is allowed what it is allowed and denied what it is denied, and who leaves it
//! loses both. So whoever decides on that must be able to do the same with grants.

use headworks_types::{
    Action, EventKind, Principal, UserGroup, UserGroupCreate, UserGroupId, UserGroupMember,
    UserGroupUpdate, UserId,
};
use sqlx::PgConnection;

use super::{
    Begun, Caller, Error, Expected, Once, Reach, Result, Scope, Versioned,
    access::{Rule, everything_of, require_gifts, require_own},
    revocation,
};
use crate::{
    db::{
        self, OnConstraint,
        event::{NewEvent, event_insert},
        user_group::{user_group_member_delete, user_group_member_put},
    },
    state::State,
};

const EXTERNAL_ID: &str = "user_group_external_id_key";

/// Creates a group in the caller's project.
pub(crate) async fn user_group_create(
    state: &State,
    caller: &Caller,
    once: Once,
    new: UserGroupCreate,
) -> Result<UserGroup> {
    let project = caller.project_id;
    caller.require(Action::UserManage, Scope::Project(project))?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(group) => return Ok(group),
    };
    let (id, external_id) = (state.ids.next(), new.external_id.as_deref());
    let conn = write.conn();
    let group =
        db::user_group::user_group_insert(conn, project, id, &new.name, external_id, &new.labels)
            .await
            .on_constraint(EXTERNAL_ID, external_id_taken)?;
    announce(
        conn,
        caller,
        &group,
        EventKind::UserGroupCreated,
        "was created",
    )
    .await?;
    write.commit(&group).await?;
    Ok(group)
}

/// Changes a group.
pub(crate) async fn user_group_update(
    state: &State,
    caller: &Caller,
    id: UserGroupId,
    expected: Expected,
    change: UserGroupUpdate,
) -> Result<Versioned<UserGroup>> {
    let reach = caller.reach(Action::UserManage)?;
    let mut tx = state.pool.begin().await?;
    let found = get_locked(&mut tx, &reach, id).await?;
    expected.check(found.version)?;
    let mut group = found.thing;
    if let Some(external_id) = change.external_id {
        // By this name OpenID providers let users join and leave.
        let rules = rules_of(&mut tx, &group).await?;
        require_gifts(&mut tx, caller, &rules).await?;
        group.external_id = external_id;
    }
    if let Some(name) = change.name {
        group.name = name;
    }
    if let Some(labels) = change.labels {
        group.labels = labels;
    }
    let changed = db::user_group::user_group_update(&mut tx, &group)
        .await
        .on_constraint(EXTERNAL_ID, external_id_taken)?;
    announce(
        &mut tx,
        caller,
        &group,
        EventKind::UserGroupUpdated,
        "was changed",
    )
    .await?;
    tx.commit().await?;
    Ok(changed)
}

/// Deletes a group with its grants.
pub(crate) async fn user_group_delete(
    state: &State,
    caller: &Caller,
    id: UserGroupId,
    expected: Expected,
) -> Result<()> {
    let reach = caller.reach(Action::UserManage)?;
    let mut tx = state.pool.begin().await?;
    let found = get_locked(&mut tx, &reach, id).await?;
    expected.check(found.version)?;
    let group = found.thing;
    require_to_let_out(&mut tx, caller, &group).await?;
    revocation::narrow_principal(&mut tx, Principal::UserGroup { id }).await?;
    db::user_group::user_group_delete(&mut tx, group.project_id, id).await?;
    announce(
        &mut tx,
        caller,
        &group,
        EventKind::UserGroupDeleted,
        "was deleted",
    )
    .await?;
    tx.commit().await?;
    state.wake.sessions();
    Ok(())
}

/// Puts a user into a group. Who is in it already stays.
pub(crate) async fn user_group_member_add(
    state: &State,
    caller: &Caller,
    once: Once,
    id: UserGroupId,
    user: UserId,
) -> Result<UserGroupMember> {
    let reach = caller.reach(Action::UserManage)?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(member) => return Ok(member),
    };
    let conn = write.conn();
    let group = get_locked(conn, &reach, id).await?.thing;
    require_to_let_in(conn, caller, &group, user).await?;
    let put = user_group_member_put(conn, group.project_id, id, user).await?;
    let (member, is_new) = put.ok_or_else(|| Error::not_found(user))?;
    if is_new {
        let what = format!("has a new member, {user}");
        announce(conn, caller, &group, EventKind::UserGroupMemberAdded, &what).await?;
        narrow_by_denies(conn, &group, user).await?;
    }
    write.commit(&member).await?;
    state.wake.sessions();
    Ok(member)
}

/// Takes a user out of a group.
pub(crate) async fn user_group_member_remove(
    state: &State,
    caller: &Caller,
    id: UserGroupId,
    user: UserId,
) -> Result<()> {
    let reach = caller.reach(Action::UserManage)?;
    let mut tx = state.pool.begin().await?;
    let group = get_locked(&mut tx, &reach, id).await?.thing;
    require_to_let_out(&mut tx, caller, &group).await?;
    match user_group_member_delete(&mut tx, group.project_id, id, user).await {
        Err(sqlx::Error::RowNotFound) => {
            return Err(Error::NotFound(format!("{user} is not in {id}")));
        }
        other => other?,
    }
    let what = format!("has lost a member, {user}");
    announce(
        &mut tx,
        caller,
        &group,
        EventKind::UserGroupMemberRemoved,
        &what,
    )
    .await?;
    revocation::narrow_subject(&mut tx, user.into()).await?;
    tx.commit().await?;
    state.wake.sessions();
    Ok(())
}

/// Who joins a group that is denied something may no more do that.
async fn narrow_by_denies(conn: &mut PgConnection, group: &UserGroup, user: UserId) -> Result<()> {
    if rules_of(conn, group).await?.iter().any(|rule| !rule.allows) {
        revocation::narrow_subject(conn, user.into()).await?;
    }
    Ok(())
}

/// Who joins is allowed what the group is allowed, and denied what it is denied.
async fn require_to_let_in(
    conn: &mut PgConnection,
    caller: &Caller,
    group: &UserGroup,
    user: UserId,
) -> Result<()> {
    let rules = rules_of(conn, group).await?;
    require_gifts(conn, caller, rules.iter().filter(|rule| rule.allows)).await?;
    if rules.iter().any(|rule| !rule.allows) {
        let of_user = everything_of(conn, group.project_id, &[user.uuid()]).await?;
        require_own(caller, &of_user)?;
    }
    Ok(())
}

/// Who leaves loses what the group is allowed, and what it is denied is lifted.
async fn require_to_let_out(
    conn: &mut PgConnection,
    caller: &Caller,
    group: &UserGroup,
) -> Result<()> {
    let rules = rules_of(conn, group).await?;
    require_own(caller, &rules)?;
    require_gifts(conn, caller, rules.iter().filter(|rule| !rule.allows)).await
}

async fn rules_of(conn: &mut PgConnection, group: &UserGroup) -> Result<Vec<Rule>> {
    everything_of(conn, group.project_id, &[group.id.uuid()]).await
}

async fn get_locked(
    conn: &mut PgConnection,
    reach: &Reach,
    id: UserGroupId,
) -> Result<Versioned<UserGroup>> {
    db::user_group::user_group_lock(conn, reach, id).await?;
    db::user_group::user_group_get(conn, reach, id)
        .await?
        .ok_or_else(|| Error::not_found(id))
}

fn external_id_taken() -> Error {
    Error::Conflict("there is a group with this external_id in the project already".to_owned())
}

async fn announce(
    conn: &mut PgConnection,
    caller: &Caller,
    group: &UserGroup,
    kind: EventKind,
    what: &str,
) -> Result<()> {
    let event = NewEvent {
        project_id: Some(group.project_id),
        kind,
        subject: group.id.to_string(),
        actor: &caller.identity.to_string(),
        message: format!("user group `{}` {what}", group.name),
    };
    Ok(event_insert(conn, event).await?)
}
