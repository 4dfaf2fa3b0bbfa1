//! From whom an edge takes a camera that another edge brings in. Pure: each edge finds it by itself
//! from the directory, and all that have the same directory agree.
//!
//! In the origin's zone everybody asks the origin. In any other zone the edges stand in an order that
//! is another one for each camera (rendezvous hashing). The first of them asks the origin, the others
//! ask it, and so one copy crosses between the zones, however many edges and viewers there are. When
//! an edge goes, only those have to change who had the camera from it. Nobody asks one behind itself
//! in the order, so there are no loops; while directories differ there may be, and
//! [`Source::path`](super::wire::Source::path) finds them.

#[cfg(test)]
mod tests;

use headworks_types::{
    CameraId, NodeId, NodeState,
    edge::{Peer, rendezvous},
};

/// How many of its own zone an edge asks before it asks the origin: who has none of those does not
/// look long for others.
const NEAR: usize = 3;

/// Whom `own` asks for the camera, the best first, the origin last. Empty if it is the origin.
pub(crate) fn candidates<'a>(
    own: NodeId,
    camera: CameraId,
    origin: NodeId,
    peers: impl Iterator<Item = &'a Peer> + Clone,
) -> Vec<NodeId> {
    if own == origin {
        return Vec::new();
    }
    let find = |id| peers.clone().find(|peer| peer.id == id);
    let (Some(me), Some(source)) = (find(own), find(origin)) else {
        return vec![origin];
    };
    if me.zone == source.zone {
        return vec![origin];
    }
    let place = place(camera, own);
    let near = peers.filter(|peer| peer.zone == me.zone && peer.id != own && relays(peer));
    // Whom nobody asks may ask anybody.
    let is_leaf = !relays(me);
    let mut before: Vec<_> = near
        .map(|peer| (self::place(camera, peer.id), peer.id))
        .filter(|(other, _)| is_leaf || *other < place)
        .collect();
    before.sort_unstable();
    let near = before.into_iter().map(|(_, id)| id).take(NEAR);
    near.chain([origin]).collect()
}

/// True if others may have cameras from it, as far as the cluster knows. One that has only missed
/// renewals may be well: whoever asks it will see.
fn relays(peer: &Peer) -> bool {
    peer.relay.is_some() && peer.state != NodeState::Dead && !peer.draining
}

/// Where a node stands in the order of a camera. Viewers are sent to nodes in the same order, so that
/// most of them come to the one that has the copy.
fn place(camera: CameraId, node: NodeId) -> (u64, NodeId) {
    (rendezvous(camera, node), node)
}
