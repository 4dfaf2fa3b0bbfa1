//! For how long somebody may go on doing what they may do now, as far as that is known already:
//! grants begin and cease to hold by the clock.

use chrono::{DateTime, Utc};
use headworks_types::{CameraGroupId, CameraId};
use ipnet::IpNet;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Actions, Holding, Rights};
use crate::db::{
    access::{denied_below_each, next_turn, rule_list},
    camera::camera_list_access,
    camera_group::camera_group_list_access,
};

/// So many changes are looked at. Who has more of them in one day is judged anew after the last.
const TURNS: usize = 16;

/// Somebody who has to go on being allowed.
pub(crate) struct Holder {
    /// A user's or an API key's id, without its prefix.
    pub(crate) id: Uuid,
    /// What an API key may do at most.
    pub(crate) scopes: Actions,
    /// From where.
    pub(crate) network: Option<IpNet>,
}

/// What has to go on being allowed, all of it.
pub(crate) struct Wanted<'a> {
    pub(crate) cameras: &'a [CameraId],
    /// With everything below.
    pub(crate) groups: &'a [CameraGroupId],
    pub(crate) actions: Actions,
}

/// The first time, up to `until`, at which one of the holders may no more do all that is wanted.
pub(crate) async fn first_loss(
    conn: &mut PgConnection,
    holders: &[Holder],
    wanted: &Wanted<'_>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    let ids: Vec<_> = holders.iter().map(|holder| holder.id).collect();
    let mut at = from;
    for _ in 0..TURNS {
        at = match next_turn(conn, &ids, at).await? {
            Some(next) if next < until => next,
            _ => return Ok(None),
        };
        for holder in holders {
            if !may(conn, holder, wanted, at).await? {
                return Ok(Some(at));
            }
        }
    }
    Ok(Some(at))
}

async fn may(
    conn: &mut PgConnection,
    holder: &Holder,
    wanted: &Wanted<'_>,
    at: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let rules = rule_list(conn, holder.id, Holding::At(Some(at), holder.network)).await?;
    let sight = Rights::new(&rules, holder.scopes).sight(Actions::ALL);
    let enough = |actions: Actions| wanted.actions.without(actions).is_empty();
    let cameras = camera_list_access(conn, &sight, wanted.cameras).await?;
    if cameras.len() < wanted.cameras.len() || !cameras.iter().all(|one| enough(one.actions)) {
        return Ok(false);
    }
    let groups = camera_group_list_access(conn, &sight, wanted.groups).await?;
    let ids: Vec<_> = groups.iter().map(|group| group.id.uuid()).collect();
    let denied = denied_below_each(conn, &sight, &ids).await?;
    let left = |id: Uuid, actions: Actions| match denied.get(&id) {
        Some(denied) => actions.without(*denied),
        None => actions,
    };
    let mut all = groups.iter();
    Ok(groups.len() == wanted.groups.len()
        && all.all(|group| enough(left(group.id.uuid(), group.actions))))
}
