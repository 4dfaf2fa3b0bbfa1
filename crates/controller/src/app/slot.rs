//! Slots as people see them, and why they are where they are.

use std::collections::HashMap;

use headworks_planner::{Fleet, Policy, Wanted, plan};
use headworks_types::{Action, CameraId, CameraPlacement, NodeFit, NodeId, edge::Role};

use super::{Caller, Result, Sight, caller::Scope, camera::require_managed};
use crate::{
    db::{
        node::node_fleet,
        slot::{SlotFilter, move_list, slot_fleet, slot_list},
    },
    state::State,
};

/// How many moves an explanation shows.
const MOVES: i64 = 20;
/// More slots than a camera has.
const SLOTS: i64 = 1000;

/// The slots that the caller may see: all of them (`None`) with `node.manage` on the cluster, else those of
/// the cameras on which it has `camera.manage`.
pub(crate) fn slot_sight(caller: &Caller) -> Result<Option<Sight>> {
    if caller.may(Action::NodeManage, Scope::Cluster) {
        return Ok(None);
    }
    caller.sight_of_managed().map(Some)
}

/// Why the camera is where it is, and what each node has to say to it. Needs `camera.manage` on it.
pub(crate) async fn camera_explain(
    state: &State,
    caller: &Caller,
    camera: CameraId,
) -> Result<CameraPlacement> {
    let sight = caller.sight()?;
    let mut conn = state.pool.acquire().await?;
    let conn = &mut *conn;
    require_managed(conn, &sight, camera).await?;
    let suspect = state.config.lease_suspect;
    let filter = SlotFilter {
        camera: Some(camera),
        ..SlotFilter::default()
    };
    let slots = slot_list(conn, None, suspect, &filter, None, SLOTS).await?;
    let moves = move_list(conn, camera, None, MOVES).await?;
    let nodes = node_fleet(conn, suspect).await?;
    let fleet = slot_fleet(conn, None)
        .await?
        .into_iter()
        .map(|one| one.slot);
    Ok(CameraPlacement {
        camera_id: camera,
        slots,
        moves: moves.into_iter().map(|(_, moved)| moved).collect(),
        nodes: fits(nodes, fleet, camera),
    })
}

/// Asks the planner about each node as if there were no other one.
fn fits(
    nodes: Vec<headworks_planner::Node>,
    slots: impl Iterator<Item = headworks_planner::Slot>,
    camera: CameraId,
) -> Vec<NodeFit> {
    let mut held: HashMap<NodeId, Vec<_>> = HashMap::new();
    let mut own = None;
    for slot in slots {
        if slot.key.camera_id == camera {
            if slot.key.role == Role::Ingest {
                own = Some(slot);
            }
        } else if let Some(node) = slot.node {
            held.entry(node).or_default().push(slot);
        }
    }
    let Some(own) = own else {
        return Vec::new();
    };
    let fits = nodes.into_iter().map(|node| {
        let others = held.remove(&node.id).unwrap_or_default();
        fit(node, others, &own)
    });
    fits.collect()
}

fn fit(
    node: headworks_planner::Node,
    mut slots: Vec<headworks_planner::Slot>,
    own: &headworks_planner::Slot,
) -> NodeFit {
    let used: u32 = slots.iter().map(|slot| slot.cost.get()).sum();
    let has = own.node == Some(node.id);
    slots.push(headworks_planner::Slot {
        node: None,
        wanted: Wanted::Yes,
        ..own.clone()
    });
    let (node_id, name, site) = (node.id, node.name.clone(), node.site.clone());
    let room = format!("others use {used} of its {} units", node.alloc);
    let alone = Fleet {
        nodes: vec![node],
        slots,
    };
    let policy = Policy {
        make_room: false,
        ..Policy::default()
    };
    let plan = plan(&alone, &policy);
    let refusal = plan.refusals.into_iter().find(|one| one.slot == own.key);
    NodeFit {
        node_id,
        name,
        site,
        has,
        fits: refusal.is_none(),
        reason: refusal.map_or(room, |refusal| refusal.reason),
    }
}
