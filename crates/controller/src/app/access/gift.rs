//! What somebody may let others do: nothing that they may not do themselves, always and everywhere
//! in what it is granted on.

use std::collections::HashMap;

use headworks_types::GrantObject;
use sqlx::PgConnection;

use super::Actions;
use crate::{
    app::{Caller, Result},
    db::{
        access::denied_below_each, camera::camera_list_access,
        camera_group::camera_group_list_access,
    },
};

/// Refuses unless the caller may do all of the actions with everything that is in the object. What
/// it may do under conditions only does not count, and what it is ever denied there does.
pub(crate) async fn require_all(
    conn: &mut PgConnection,
    caller: &Caller,
    object: GrantObject,
    actions: Actions,
) -> Result<()> {
    require_each(conn, caller, &[(object, actions)]).await?;
    Ok(())
}

/// As [`require_all`], of many objects at once; returns what else it may do with all of them.
pub(crate) async fn require_each(
    conn: &mut PgConnection,
    caller: &Caller,
    wanted: &[(GrantObject, Actions)],
) -> Result<Actions> {
    let objects: Vec<_> = wanted.iter().map(|(object, _)| *object).collect();
    let gifts = gifts(conn, caller, &objects).await?;
    let mut common = Actions::ALL;
    for ((object, actions), gift) in wanted.iter().zip(gifts) {
        common = common.and(gift);
        let missing: Vec<_> = actions.without(gift).iter().collect();
        if !missing.is_empty() {
            return Err(caller.lacks(&missing, &format!("all of {}", name(*object))));
        }
    }
    Ok(common)
}

/// What the caller may let others do with everything in each of the objects, in their order. It
/// takes as many statements as there are kinds of objects.
async fn gifts(
    conn: &mut PgConnection,
    caller: &Caller,
    objects: &[GrantObject],
) -> Result<Vec<Actions>> {
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let rights = caller.gifts(conn).await?;
    let sight = rights.sight(Actions::ALL);
    let (mut cameras, mut groups, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    for object in objects {
        match *object {
            GrantObject::Camera { id } => cameras.push(id),
            GrantObject::CameraGroup { id } => {
                groups.push(id);
                whole.push(id.uuid());
            }
            GrantObject::Project { id } => whole.push(id.uuid()),
            GrantObject::Cluster => {}
        }
    }
    let denied = denied_below_each(conn, &sight, &whole).await?;
    let cameras = camera_list_access(conn, &sight, &cameras)
        .await?
        .into_iter();
    let groups = camera_group_list_access(conn, &sight, &groups)
        .await?
        .into_iter();
    let allowed: HashMap<_, _> = cameras
        .map(|camera| (camera.id.uuid(), camera.actions))
        .chain(groups.map(|group| (group.id.uuid(), group.actions)))
        .collect();
    let of = |map: &HashMap<_, Actions>, id| map.get(&id).copied().unwrap_or_default();
    let on = |object: &GrantObject| match *object {
        GrantObject::Cluster => rights.on_cluster().without(rights.denied()),
        GrantObject::Project { id } => rights.on_project(id).without(of(&denied, id.uuid())),
        GrantObject::CameraGroup { id } => of(&allowed, id.uuid()).without(of(&denied, id.uuid())),
        GrantObject::Camera { id } => of(&allowed, id.uuid()),
    };
    Ok(objects.iter().map(on).collect())
}

/// As in words.
pub(crate) fn name(object: GrantObject) -> String {
    match object {
        GrantObject::Camera { id } => id.to_string(),
        GrantObject::CameraGroup { id } => id.to_string(),
        GrantObject::Project { id } => id.to_string(),
        GrantObject::Cluster => "the cluster".to_owned(),
    }
}
