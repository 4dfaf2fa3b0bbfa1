//! Golden texts: what people read in the API.

use headworks_planner::{Fleet, Node, Policy, Slot, plan};
use headworks_types::{
    CameraId, NodeId, NodeState, Placement,
    edge::{Role, SlotKey},
};
use uuid::Uuid;

fn node(number: u32, site: &str, alloc: u32, state: NodeState) -> Node {
    Node {
        site: site.to_owned(),
        alloc,
        state,
        ..Node::new(
            NodeId::from(Uuid::from_u128(number.into())),
            format!("edge-{number}"),
        )
    }
}

fn slot(number: u32, node: Option<u32>, site: Option<&str>) -> Slot {
    let key = SlotKey {
        camera_id: CameraId::from(Uuid::from_u128(number.into())),
        role: Role::Ingest,
        ordinal: 0,
    };
    Slot {
        node: node.map(|number| NodeId::from(Uuid::from_u128(number.into()))),
        placement: Placement {
            site: site.map(str::to_owned),
            ..Placement::default()
        },
        ..Slot::new(key)
    }
}

/// What the plan says about each slot that it mentions.
fn said(nodes: Vec<Node>, slots: Vec<Slot>) -> Vec<String> {
    let plan = plan(&Fleet { nodes, slots }, &Policy::default());
    let moves = plan.moves.into_iter().map(|step| step.reason);
    let releases = plan.releases.into_iter().map(|release| release.reason);
    let refusals = plan.refusals.into_iter().map(|refusal| refusal.reason);
    moves.chain(releases).chain(refusals).collect()
}

#[test]
fn a_placement_says_why_there() {
    use NodeState::Ready;
    let nodes = vec![
        node(1, "lyon", 2, Ready),
        node(2, "lyon", 9, Ready),
        node(3, "lyon", 3, Ready),
        node(4, "paris", 9, Ready),
    ];
    let slots = vec![
        slot(1, None, Some("lyon")),
        slot(2, None, Some("paris")),
        slot(3, Some(4), None),
    ];
    assert_eq!(
        said(nodes, slots),
        [
            "edge-2 in site lyon: least loaded of 3 nodes that fit",
            "edge-4 in site paris: the only node that fits",
        ]
    );
}

#[test]
fn a_move_says_what_it_left() {
    use NodeState::{Dead, Ready};
    let nodes = vec![
        node(1, "lyon", 9, Dead),
        node(2, "lyon", 9, Ready),
        node(3, "paris", 1, Ready),
    ];
    let slots = vec![
        slot(1, Some(1), None),
        slot(2, Some(3), Some("lyon")),
        slot(3, Some(3), Some("paris")),
        slot(4, Some(3), Some("paris")),
    ];
    assert_eq!(
        said(nodes, slots),
        [
            "edge-2 in site lyon: the only node that fits; edge-1 is gone",
            "edge-2 in site lyon: the only node that fits; edge-3 does not fit its placement any more",
            "no node in site paris has capacity: edge-3 full",
        ]
    );
}

#[test]
fn a_refusal_names_each_node_and_why() {
    use NodeState::{Dead, Ready, Suspect};
    let nodes = || {
        vec![
            node(1, "lyon", 0, Ready),
            node(2, "lyon", 1, Ready),
            node(3, "lyon", 9, Suspect),
            node(4, "paris", 9, Dead),
        ]
    };
    let mut ssd = slot(2, None, Some("lyon"));
    ssd.placement
        .labels
        .0
        .insert("disk".to_owned(), "ssd".to_owned());
    let slots = vec![
        slot(1, Some(2), Some("lyon")),
        ssd,
        slot(3, None, Some("lyon")),
        slot(4, Some(4), Some("paris")),
        slot(5, None, Some("oslo")),
    ];
    assert_eq!(
        said(nodes(), slots),
        [
            "there is no node in site lyon with disk=ssd, only edge-1 in site lyon, edge-2 in site lyon, \
             edge-3 in site lyon, edge-4 in site paris",
            "no node in site lyon has capacity: edge-1 too small, edge-2 full, edge-3 suspect",
            "no node in site paris is ready: edge-4 dead",
            "there is no node in site oslo, only edge-1 in site lyon, edge-2 in site lyon, \
             edge-3 in site lyon, edge-4 in site paris",
        ]
    );
    assert_eq!(
        said(Vec::new(), vec![slot(1, None, None)]),
        ["no node has joined the cluster"]
    );
}

#[test]
fn many_nodes_are_not_all_named() {
    let nodes = (1..=11).map(|n| node(n, "lyon", 0, NodeState::Ready));
    assert_eq!(
        said(nodes.collect(), vec![slot(1, None, None)]),
        [
            "no node has capacity: edge-1 too small, edge-2 too small, edge-3 too small, edge-4 too small, \
             edge-5 too small, edge-6 too small, edge-7 too small, edge-8 too small and 3 more"
        ]
    );
}

#[test]
fn making_room_is_said_to_both() {
    use NodeState::Ready;
    let nodes = vec![node(1, "lyon", 1, Ready), node(2, "paris", 1, Ready)];
    let slots = vec![slot(1, Some(1), None), slot(2, None, Some("lyon"))];
    assert_eq!(
        said(nodes, slots),
        [
            "edge-2 in site paris: moved from edge-1 to make room for cam_00000000000000000000000000000002",
            "edge-1 in site lyon: found room by moving others",
        ]
    );
}

#[test]
fn a_follower_says_where_its_camera_is() {
    use NodeState::{Dead, Ready, Suspect};
    let id = |number: u32| NodeId::from(Uuid::from_u128(number.into()));
    let follower = |number, at: Option<u32>, bound: Option<u32>| {
        let leader = slot(number, None, None);
        Slot {
            key: SlotKey {
                role: Role::Restream,
                ..leader.key
            },
            node: at.map(id),
            follows: Some(leader.key),
            bound: bound.map(id),
            ..leader
        }
    };
    let nodes = vec![
        node(1, "lyon", 2, Ready),
        node(2, "lyon", 9, Ready),
        node(3, "lyon", 9, Suspect),
        node(4, "lyon", 9, Dead),
    ];
    let slots = vec![
        slot(1, Some(1), None),
        slot(2, Some(1), None),
        follower(1, None, None),
        slot(3, Some(2), None),
        follower(3, None, None),
        slot(4, Some(2), None),
        follower(4, Some(3), Some(3)),
        slot(5, Some(2), None),
        follower(5, None, Some(4)),
        slot(6, Some(3), None),
        follower(6, None, None),
        slot(7, None, Some("paris")),
        follower(7, None, None),
        slot(8, Some(4), Some("paris")),
        follower(8, Some(4), Some(4)),
    ];
    let said: Vec<_> = said(nodes, slots)
        .into_iter()
        .filter(|reason| reason.contains("camera"))
        .collect();
    assert_eq!(
        said,
        [
            "edge-2 in site lyon: the node that has the camera",
            "its camera is on edge-2, which goes on when edge-3 has stopped for certain",
            "edge-1, the node that has the camera, is full",
            "its camera is on edge-2, which goes on when edge-4 has stopped for certain",
            "edge-3, the node that has the camera, is suspect",
            "its camera is on no node",
            "its camera is on a node that is dead",
        ]
    );
}
