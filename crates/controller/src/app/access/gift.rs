//! What somebody may let others do: nothing that they may not do themselves, always and everywhere
//! in what it is granted on.

use headworks_types::GrantObject;
use sqlx::PgConnection;

use super::{Actions, Rights};
use crate::{
    app::{Caller, Result},
    db::{
        access::denied_below, camera::camera_list_access, camera_group::camera_group_list_access,
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
    let gifts = caller.gifts(conn).await?;
    let missing = actions.without(gifts_on(conn, &gifts, object).await?);
    if missing.is_empty() {
        return Ok(());
    }
    let missing: Vec<_> = missing.iter().collect();
    Err(caller.lacks(&missing, &format!("all of {}", name(object))))
}

/// True if the caller could pass [`require_all`].
pub(crate) async fn may_all(
    conn: &mut PgConnection,
    caller: &Caller,
    object: GrantObject,
    actions: Actions,
) -> Result<bool> {
    let gifts = caller.gifts(conn).await?;
    let missing = actions.without(gifts_on(conn, &gifts, object).await?);
    Ok(missing.is_empty())
}

async fn gifts_on(
    conn: &mut PgConnection,
    gifts: &Rights,
    object: GrantObject,
) -> sqlx::Result<Actions> {
    let sight = gifts.sight(Actions::ALL);
    let on = match object {
        GrantObject::Cluster => return Ok(gifts.on_cluster().without(gifts.denied())),
        GrantObject::Project { id } => gifts.on_project(id),
        GrantObject::CameraGroup { id } => {
            let found = camera_group_list_access(conn, &sight, &[id]).await?;
            found
                .first()
                .map_or_else(Actions::default, |group| group.actions)
        }
        GrantObject::Camera { id } => {
            let found = camera_list_access(conn, &sight, &[id]).await?;
            return Ok(found
                .first()
                .map_or_else(Actions::default, |camera| camera.actions));
        }
    };
    Ok(on.without(denied_below(conn, &sight, object).await?))
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
