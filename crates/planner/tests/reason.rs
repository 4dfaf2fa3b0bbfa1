//! Golden texts: what people read in the API.

use headworks_planner::{Fleet, Intake, Node, Policy, Slot, plan};
use headworks_types::{
    CameraGroupId, CameraId, Capabilities, NodeId, NodeState, Placement,
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

#[test]
fn a_closed_node_says_how_it_is_closed() {
    use NodeState::Ready;
    let closed = |number, intake| Node {
        intake,
        ..node(number, "lyon", 9, Ready)
    };
    let nodes = [
        node(3, "lyon", 1, Ready),
        closed(4, Intake::Cordoned),
        closed(5, Intake::Draining),
        closed(6, Intake::Unsteady),
    ];
    let slots = || vec![slot(1, Some(3), None), slot(2, None, Some("lyon"))];
    assert_eq!(
        said(nodes[..2].to_vec(), slots()),
        ["no node in site lyon has capacity: edge-3 full, edge-4 cordoned"]
    );
    assert_eq!(
        said(nodes[1..].to_vec(), slots()[1..].to_vec()),
        ["no node in site lyon takes new work: edge-4 cordoned, edge-5 draining, edge-6 unsteady"]
    );
}

#[test]
fn zones_and_capabilities_are_named() {
    use NodeState::Ready;
    let mut nodes = vec![
        node(1, "lyon", 9, Ready),
        node(2, "lyon", 1, Ready),
        node(3, "lyon", 9, Ready),
    ];
    nodes[0].capabilities = Capabilities::NONE;
    nodes[2].zone = "north".to_owned();
    let mut slots = vec![
        slot(1, Some(2), None),
        slot(2, None, Some("lyon")),
        slot(3, None, None),
    ];
    slots[1].placement.zone = Some("default".to_owned());
    slots[1].needs = Capabilities::ALL;
    slots[0].placement = slots[1].placement.clone();
    slots[0].needs = Capabilities::ALL;
    slots[2].placement.zone = Some("south".to_owned());
    assert_eq!(
        said(nodes.clone(), slots.clone()),
        [
            "no node in site lyon and zone default has capacity: edge-2 full, edge-1 has no media files",
            "there is no node in zone south, only edge-1 in site lyon, edge-2 in site lyon, \
             edge-3 in site lyon",
        ]
    );
    slots[1].needs.files = false;
    assert_eq!(
        said(vec![nodes[0].clone()], vec![slots[1].clone()]),
        ["no node in site lyon and zone default can do it: edge-1 has no FFmpeg"]
    );
}

#[test]
fn a_drain_says_what_moves_what_waits_and_what_stays() {
    use NodeState::Ready;
    let mut nodes = vec![
        node(1, "lyon", 9, Ready),
        node(2, "lyon", 3, Ready),
        node(3, "paris", 9, Ready),
    ];
    nodes[0].intake = Intake::Draining;
    let mut slots = vec![
        slot(1, Some(1), Some("lyon")),
        slot(2, Some(1), Some("berlin")),
        slot(3, Some(1), Some("lyon")),
    ];
    nodes[0].labels.0.insert("gpu".to_owned(), "1".to_owned());
    slots[1].placement = Placement {
        labels: nodes[0].labels.clone(),
        ..Placement::default()
    };
    (slots[2].exclusive, slots[2].bound) = (true, slots[2].node);
    let mut fleet = Fleet { nodes, slots };
    let first = plan(&fleet, &Policy::default());
    fleet.apply(&first);
    for slot in &mut fleet.slots {
        slot.coming_from = None;
    }
    let second = plan(&fleet, &Policy::default());
    fleet.apply(&second);
    fleet.slots[2].bound = None;
    let third = plan(&fleet, &Policy::default());
    assert_eq!(
        [
            &first.moves[0].reason,
            &first.refusals[0].reason,
            &second.releases[0].reason,
            &third.moves[0].reason,
        ],
        [
            "edge-2 in site lyon: the only node that fits; edge-1 is being drained",
            "stays on edge-1, which is being drained: no node with gpu=1 takes new work: \
             edge-1 draining",
            "edge-1 is being drained; the camera refuses a second session, and goes on elsewhere \
             when edge-1 has let go of it",
            "edge-2 in site lyon: the only node that fits",
        ]
    );
}

#[test]
fn what_decided_is_said() {
    use NodeState::Ready;
    let id = |number: u32| NodeId::from(Uuid::from_u128(number.into()));
    let mut nodes = vec![
        node(1, "lyon", 10, Ready),
        node(2, "lyon", 100, Ready),
        node(3, "lyon", 100, Ready),
    ];
    nodes[0].hot = true;
    let mut slots: Vec<_> = (1..=9).map(|number| slot(number, Some(1), None)).collect();
    slots[8].settled = true;
    let mut watched = slot(11, None, None);
    watched.near = vec![id(3)];
    let group = Some(CameraGroupId::from(Uuid::nil()));
    let mut there = slot(12, Some(2), None);
    let mut here = slot(13, None, None);
    (there.group, here.group) = (group, group);
    for node in &mut nodes[1..] {
        node.zone = "north".to_owned();
    }
    here.placement.zone = Some("north".to_owned());
    let fresh = slot(14, None, None);
    slots.extend([watched, there, here, fresh]);
    assert_eq!(
        said(nodes, slots),
        [
            "edge-3 in site lyon: as little loaded as any of 2 nodes that fit; edge-1 was too busy",
            "edge-3 in site lyon: its viewers are there, of 3 nodes that fit",
            "edge-3 in site lyon: others have half of its group, of 2 nodes that fit",
            "edge-3 in site lyon: as little loaded as any of 3 nodes that fit",
        ]
    );
}
