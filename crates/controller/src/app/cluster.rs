//! The health of the cluster, and the brake.

use headworks_types::{Action, Cluster, EventKind};

use super::{Begun, Caller, Once, Result, caller::Scope};
use crate::{
    db::{
        cluster_state::{self, brake_release},
        event::{NewEvent, event_insert},
    },
    state::State,
};

/// How the cluster is.
pub(crate) async fn cluster_view(state: &State, caller: &Caller) -> Result<Cluster> {
    caller.require(Action::NodeManage, Scope::Cluster)?;
    let mut conn = state.pool.acquire().await?;
    let suspect = state.config.lease_suspect;
    Ok(cluster_state::cluster_get(&mut conn, suspect).await?)
}

/// Lets silent nodes be declared dead for so many seconds, however many they are.
pub(crate) async fn cluster_release_brake(
    state: &State,
    caller: &Caller,
    once: Once,
    seconds: u32,
) -> Result<Cluster> {
    caller.require(Action::NodeManage, Scope::Cluster)?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Again(answer) => return Ok(answer),
        Begun::Fresh(write) => write,
    };
    let actor = caller.identity.to_string();
    let until = brake_release(write.conn(), &actor, seconds).await?;
    let event = NewEvent {
        project_id: None,
        kind: EventKind::ClusterBrakeReleased,
        subject: "cluster".to_owned(),
        actor: &actor,
        message: format!(
            "the brake is released until {} UTC: silent nodes are declared dead, however many",
            until.format("%Y-%m-%d %H:%M:%S")
        ),
    };
    event_insert(write.conn(), event).await?;
    let suspect = state.config.lease_suspect;
    let cluster = cluster_state::cluster_get(write.conn(), suspect).await?;
    write.commit(&cluster).await?;
    Ok(cluster)
}
