//! The wanted properties of `README.md`, over generated fleets.

use std::{collections::BTreeMap, num::NonZeroU32};

use headworks_planner::{Fleet, Intake, Node, Plan, Policy, Slot, Wanted, plan, settle};
use headworks_types::{
    CameraGroupId, CameraId, Capabilities, Labels, NodeId, NodeState, Placement,
    edge::{Role, SlotKey},
};
use proptest::{collection::vec, prelude::*, sample::select};
use uuid::Uuid;

const SITES: [&str; 3] = ["lyon", "paris", "berlin"];

fn node_id(number: usize) -> NodeId {
    NodeId::from(Uuid::from_u128(number as u128 + 1))
}

fn key(number: usize) -> SlotKey {
    SlotKey {
        camera_id: CameraId::from(Uuid::from_u128((number as u128 + 1) << 8)),
        role: Role::Ingest,
        ordinal: 0,
    }
}

fn labels(ssd: bool) -> Labels {
    let disk = ssd.then(|| ("disk".to_owned(), "ssd".to_owned()));
    Labels(disk.into_iter().collect())
}

prop_compose! {
    fn node()(
        site in select(&SITES[..]),
        ssd: bool,
        alloc in 0..8_u32,
        state in prop_oneof![
            4 => Just(NodeState::Ready),
            1 => Just(NodeState::Suspect),
            1 => Just(NodeState::Dead),
        ],
    ) -> Node {
        Node {
            site: site.to_owned(),
            labels: labels(ssd),
            alloc,
            state,
            ..Node::new(node_id(0), "")
        }
    }
}

prop_compose! {
    /// The node is chosen from the first nine, of which some may not exist.
    fn slot(max_cost: u32)(
        node in prop_oneof![1 => Just(None), 2 => (0..9_usize).prop_map(Some)],
        wanted in prop_oneof![6 => Just(Wanted::Yes), 1 => Just(Wanted::No("it is disabled"))],
        site in proptest::option::of(select(&SITES[..])),
        ssd in prop_oneof![4 => Just(false), 1 => Just(true)],
        cost in 1..=max_cost,
    ) -> Slot {
        Slot {
            node: node.map(node_id),
            wanted,
            placement: Placement { site: site.map(str::to_owned), zone: None, labels: labels(ssd) },
            cost: NonZeroU32::new(cost).expect("at least 1"),
            ..Slot::new(key(0))
        }
    }
}

prop_compose! {
    fn fleet(max_cost: u32)(
        mut nodes in vec(node(), 0..8),
        mut slots in vec(slot(max_cost), 0..40),
    ) -> Fleet {
        for (number, node) in nodes.iter_mut().enumerate() {
            node.id = node_id(number);
            node.name = format!("edge-{number}");
        }
        for (number, slot) in slots.iter_mut().enumerate() {
            slot.key = key(number);
        }
        Fleet { nodes, slots }
    }
}

prop_compose! {
    /// A fleet in which some slots are followed by up to two others.
    fn fleet_with_followers(max_cost: u32)(
        mut fleet in fleet(max_cost),
        followers in vec(
            (
                slot(max_cost),
                0..45_usize,
                proptest::option::of((0..9_usize).prop_map(node_id)),
            ),
            0..20,
        ),
    ) -> Fleet {
        let mut ordinals: BTreeMap<usize, u16> = BTreeMap::new();
        for (mut slot, leader, bound) in followers {
            let ordinal = ordinals.entry(leader).or_default();
            slot.key = SlotKey { role: Role::Restream, ordinal: *ordinal, ..key(leader) };
            *ordinal += 1;
            slot.placement = Placement::default();
            slot.follows = Some(key(leader));
            // Only the holder can be the last one, unless it has stopped for certain.
            slot.bound = if slot.node.is_some() { bound.and(slot.node) } else { bound };
            fleet.slots.push(slot);
        }
        fleet
    }
}

/// What a node is beyond its place and size.
fn intake() -> impl Strategy<Value = (Intake, bool, Capabilities, bool)> {
    let intake = prop_oneof![
        4 => Just(Intake::Open),
        1 => Just(Intake::Cordoned),
        2 => Just(Intake::Draining),
        1 => Just(Intake::Unsteady),
    ];
    let capabilities = prop_oneof![
        3 => Just(Capabilities::ALL),
        1 => Just(Capabilities { ffmpeg: true, files: false }),
        1 => Just(Capabilities::NONE),
    ];
    (intake, any::<bool>(), capabilities, any::<bool>())
}

/// What a slot is beyond its place and cost.
type Nature = (bool, bool, Option<u32>, Option<usize>, u8, Vec<usize>, bool);

fn nature() -> impl Strategy<Value = Nature> {
    (
        prop::bool::weighted(0.2),
        any::<bool>(),
        proptest::option::weighted(0.4, 1..=4_u32),
        proptest::option::weighted(0.3, 0..9_usize),
        0..4_u8,
        vec(0..9_usize, 0..2),
        prop::bool::weighted(0.2),
    )
}

prop_compose! {
    /// A fleet with everything there is: nodes that are emptied, cordoned or too busy, cameras that
    /// refuse a second session, measured costs, slots on their way.
    fn busy_fleet()(
        mut fleet in fleet_with_followers(3),
        intakes in vec(intake(), 8),
        natures in vec(nature(), 60),
    ) -> Fleet {
        for (node, (intake, hot, capabilities, north)) in fleet.nodes.iter_mut().zip(intakes) {
            node.zone = if north { "north" } else { "south" }.to_owned();
            (node.intake, node.hot, node.capabilities) = (intake, hot, capabilities);
        }
        for (slot, nature) in fleet.slots.iter_mut().zip(natures) {
            let (exclusive, settled, booked, coming_from, group, near, needy) = nature;
            slot.settled = settled;
            slot.booked = booked.and_then(NonZeroU32::new);
            slot.coming_from = coming_from.map(node_id);
            slot.needs = Capabilities { ffmpeg: needy, files: false };
            if slot.follows.is_none() {
                slot.group = (group > 0).then(|| CameraGroupId::from(Uuid::from_u128(group.into())));
                slot.near = near.into_iter().map(node_id).collect();
                slot.exclusive = exclusive;
                slot.bound = if exclusive { slot.node } else { None };
                slot.placement.zone = needy.then(|| "north".to_owned());
            }
        }
        fleet
    }
}

/// Ready nodes and slots that have no place yet.
fn empty_fleet() -> impl Strategy<Value = Fleet> {
    fleet(1).prop_map(|mut fleet| {
        for node in &mut fleet.nodes {
            node.state = NodeState::Ready;
        }
        for slot in &mut fleet.slots {
            slot.node = None;
            slot.wanted = Wanted::Yes;
        }
        fleet
    })
}

fn apply(fleet: &Fleet, plan: &Plan) -> Fleet {
    for step in &plan.moves {
        let slot = fleet.slots.iter().find(|slot| slot.key == step.slot);
        let slot = slot.expect("a slot of the fleet");
        assert_eq!((slot.node, slot.cost), (step.from, step.cost));
    }
    for release in &plan.releases {
        let slot = fleet.slots.iter().find(|slot| slot.key == release.slot);
        assert_eq!(slot.expect("a slot of the fleet").node, Some(release.from));
    }
    let mut fleet = fleet.clone();
    fleet.apply(plan);
    fleet
}

/// Everything arrives, and whoever has to stop has stopped.
fn arrive(fleet: &mut Fleet) {
    for slot in &mut fleet.slots {
        slot.coming_from = None;
        let is_strict = slot.exclusive || slot.follows.is_some();
        slot.bound = slot.node.filter(|_| is_strict);
    }
}

fn used(fleet: &Fleet, node: &Node) -> u32 {
    let there = fleet.slots.iter().filter(|slot| slot.node == Some(node.id));
    there.map(|slot| slot.held().get()).sum()
}

fn fits(slot: &Slot, node: &Node) -> bool {
    let Placement { site, zone, labels } = &slot.placement;
    site.as_ref().is_none_or(|site| *site == node.site)
        && zone.as_ref().is_none_or(|zone| *zone == node.zone)
        && node.labels.include(labels)
        && node.capabilities.include(slot.needs)
}

fn node_of<'a>(fleet: &'a Fleet, slot: &Slot) -> Option<&'a Node> {
    fleet.nodes.iter().find(|node| slot.node == Some(node.id))
}

/// How many unit slots can be placed on ready nodes beside what suspect nodes keep: a maximum flow
/// by the textbook, with one search for each slot.
fn most_placeable(fleet: &Fleet) -> usize {
    let ready = |node: &Node| node.state == NodeState::Ready;
    let free: Vec<&Slot> = fleet
        .slots
        .iter()
        .filter(|slot| slot.wanted == Wanted::Yes)
        .filter(|slot| {
            node_of(fleet, slot)
                .is_none_or(|node| node.state != NodeState::Suspect || !fits(slot, node))
        })
        .collect();
    let mut held: Vec<Vec<usize>> = vec![Vec::new(); fleet.nodes.len()];
    fn seat(
        slot: usize,
        free: &[&Slot],
        fleet: &Fleet,
        ready: &dyn Fn(&Node) -> bool,
        held: &mut [Vec<usize>],
        seen: &mut [bool],
    ) -> bool {
        for (index, node) in fleet.nodes.iter().enumerate() {
            if seen[index] || !ready(node) || !fits(free[slot], node) {
                continue;
            }
            seen[index] = true;
            if held[index].len() < node.alloc as usize {
                held[index].push(slot);
                return true;
            }
            for place in 0..held[index].len() {
                if seat(held[index][place], free, fleet, ready, held, seen) {
                    held[index][place] = slot;
                    return true;
                }
            }
        }
        false
    }
    let seated = (0..free.len()).filter(|slot| {
        let mut seen = vec![false; fleet.nodes.len()];
        seat(*slot, &free, fleet, &ready, &mut held, &mut seen)
    });
    seated.count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn capacity_is_never_exceeded(fleet in busy_fleet()) {
        let after = apply(&fleet, &plan(&fleet, &Policy::default()));
        for node in after.nodes.iter().filter(|node| node.state != NodeState::Dead) {
            prop_assert!(used(&after, node) <= node.alloc);
        }
    }

    #[test]
    fn selectors_are_respected(fleet in busy_fleet()) {
        let plan = plan(&fleet, &Policy::default());
        let after = apply(&fleet, &plan);
        for slot in &after.slots {
            if let Some(node) = node_of(&after, slot) {
                prop_assert!(fits(slot, node) || node.state == NodeState::Dead);
            }
        }
        for step in &plan.moves {
            let to = after.nodes.iter().find(|node| node.id == step.to).expect("a node");
            prop_assert_eq!(to.state, NodeState::Ready);
            let follows = after.slots.iter().any(|slot| slot.key == step.slot && slot.follows.is_some());
            prop_assert!(follows || to.intake == Intake::Open);
        }
    }

    #[test]
    fn planning_what_was_planned_changes_nothing(
        fleet in busy_fleet(),
        make_room: bool,
    ) {
        let policy = Policy { make_room, ..Policy::default() };
        let first = plan(&fleet, &policy);
        let after = apply(&fleet, &first);
        let second = plan(&after, &policy);
        prop_assert_eq!(&second.moves, &[]);
        prop_assert_eq!(&second.releases, &[]);
        prop_assert_eq!(&second.reprices, &[]);
        prop_assert_eq!(apply(&after, &second), after);
        for refusal in &first.refusals {
            prop_assert!(second.refusals.contains(refusal));
        }
    }

    #[test]
    fn the_order_of_the_input_does_not_matter(
        (fleet, shuffled) in fleet_with_followers(3).prop_flat_map(|fleet| {
            let shuffled = (Just(fleet.nodes.clone()).prop_shuffle(), Just(fleet.slots.clone()).prop_shuffle())
                .prop_map(|(nodes, slots)| Fleet { nodes, slots });
            (Just(fleet), shuffled)
        })
    ) {
        let policy = Policy::default();
        prop_assert_eq!(plan(&fleet, &policy), plan(&shuffled, &policy));
    }

    #[test]
    fn nothing_moves_needlessly(fleet in fleet(3)) {
        let calm = plan(&fleet, &Policy { make_room: false, ..Policy::default() });
        let busy = plan(&fleet, &Policy { make_room: true, ..Policy::default() });
        let may_stay = |key: SlotKey| {
            let slot = fleet.slots.iter().find(|slot| slot.key == key).expect("a slot");
            node_of(&fleet, slot).is_some_and(|node| {
                node.state != NodeState::Dead
                    && fits(slot, node)
                    && used(&fleet, node) <= node.alloc
            })
        };
        for step in &calm.moves {
            prop_assert!(!may_stay(step.slot), "{step:?}");
        }
        for step in &busy.moves {
            prop_assert!(!may_stay(step.slot) || step.reason.contains("to make room for"), "{step:?}");
        }
        let refused = |plan: &Plan| {
            plan.refusals.len()
                + plan.releases.iter().filter(|release| release.reason != "it is disabled").count()
        };
        if refused(&calm) == 0 {
            prop_assert_eq!(calm, busy);
        } else {
            prop_assert!(refused(&busy) <= refused(&calm));
        }
    }

    #[test]
    fn as_much_is_placed_as_can_be(fleet in fleet(1)) {
        let after = apply(&fleet, &plan(&fleet, &Policy::default()));
        let placed = after.slots.iter().filter(|slot| {
            node_of(&after, slot).is_some_and(|node| node.state == NodeState::Ready)
        });
        // What a suspect node has to give up because it became too small may go elsewhere.
        let suspects = fleet.nodes.iter().filter(|node| node.state == NodeState::Suspect);
        prop_assume!(suspects.clone().all(|node| used(&fleet, node) <= node.alloc));
        prop_assert_eq!(placed.count(), most_placeable(&fleet));
    }

    #[test]
    fn load_is_balanced(fleet in empty_fleet()) {
        let mut fleet = fleet;
        for slot in &mut fleet.slots {
            slot.placement = Placement::default();
        }
        let after = apply(&fleet, &plan(&fleet, &Policy::default()));
        for fuller in &after.nodes {
            for other in &after.nodes {
                let (used_there, used_here) = (used(&after, fuller), used(&after, other));
                if used_there > 0 && used_here < other.alloc {
                    let step = |used: u32, node: &Node| used * 20 / node.alloc;
                    prop_assert!(step(used_there, fuller) <= step(used_here + 1, other));
                }
            }
        }
    }

    #[test]
    fn every_slot_is_accounted_for(fleet in busy_fleet()) {
        let plan = plan(&fleet, &Policy::default());
        for slot in &fleet.slots {
            let moves = plan.moves.iter().filter(|step| step.slot == slot.key).count();
            let releases = plan.releases.iter().filter(|release| release.slot == slot.key).count();
            let refusals = plan.refusals.iter().filter(|refusal| refusal.slot == slot.key).count();
            let mentioned = moves + releases + refusals;
            match (slot.wanted, slot.node) {
                (Wanted::Yes, None) => prop_assert_eq!((moves + refusals, releases), (1, 0)),
                (Wanted::Yes, Some(_)) => prop_assert!(mentioned <= 1),
                (Wanted::No(_), Some(_)) => prop_assert_eq!((mentioned, releases), (1, 1)),
                (Wanted::No(_), None) => prop_assert_eq!(mentioned, 0),
            }
        }
    }

    /// After the plan a follower is where its leader is, or nowhere.
    #[test]
    fn followers_are_where_their_leader_is(fleet in busy_fleet()) {
        let after = apply(&fleet, &plan(&fleet, &Policy::default()));
        for slot in after.slots.iter().filter(|slot| slot.node.is_some()) {
            if let Some(leader) = slot.follows {
                let leader = after.slots.iter().find(|slot| slot.key == leader);
                prop_assert_eq!(slot.node, leader.and_then(|leader| leader.node), "{:?}", slot.key);
            }
        }
    }

    /// I3: who may still be doing the work keeps everybody else from it.
    #[test]
    fn what_is_bound_goes_to_nobody_else(fleet in busy_fleet()) {
        let plan = plan(&fleet, &Policy::default());
        for step in &plan.moves {
            let slot = fleet.slots.iter().find(|slot| slot.key == step.slot).expect("a slot");
            prop_assert!(slot.bound.is_none_or(|bound| bound == step.to), "{step:?}");
        }
    }

    /// Where nothing binds it and there is room, a follower gets its place at once.
    #[test]
    fn followers_are_placed_if_they_can_be(fleet in fleet_with_followers(1)) {
        let after = apply(&fleet, &plan(&fleet, &Policy::default()));
        for slot in after.slots.iter().filter(|slot| slot.wanted == Wanted::Yes) {
            let Some(leader) = slot.follows else { continue };
            let Some(leader) = after.slots.iter().find(|slot| slot.key == leader) else { continue };
            let Some(node) = node_of(&after, leader) else { continue };
            if slot.node.is_none() && node.state == NodeState::Ready {
                let bound_elsewhere = slot.bound.is_some_and(|bound| bound != node.id);
                prop_assert!(bound_elsewhere || used(&after, node) >= node.alloc);
            }
        }
    }

    /// A push is not interrupted so that another camera finds a place.
    #[test]
    fn a_slot_with_a_running_follower_does_not_make_room(fleet in busy_fleet()) {
        let plan = plan(&fleet, &Policy::default());
        for step in plan.moves.iter().filter(|step| step.reason.contains("to make room for")) {
            let led = fleet.slots.iter().any(|slot| {
                slot.follows == Some(step.slot)
                    && slot.wanted == Wanted::Yes
                    && slot.node == step.from
                    && !plan.releases.iter().any(|release| release.slot == slot.key)
                    && !plan.moves.iter().any(|other| other.slot == slot.key)
            });
            prop_assert!(!led, "{step:?}");
        }
    }

    /// What runs is not stopped because it costs more than was thought, but takes what room there is.
    #[test]
    fn costs_are_booked_as_far_as_there_is_room(fleet in busy_fleet()) {
        let plan = plan(&fleet, &Policy::default());
        let after = apply(&fleet, &plan);
        for slot in &after.slots {
            if let Some(node) = node_of(&after, slot).filter(|node| node.state != NodeState::Dead) {
                let is_full = used(&after, node) == node.alloc;
                prop_assert!(slot.held() == slot.cost || (slot.held() < slot.cost && is_full));
            }
        }
        for reprice in &plan.reprices {
            let slot = fleet.slots.iter().find(|slot| slot.key == reprice.slot).expect("a slot");
            prop_assert_eq!(slot.node, Some(reprice.node));
            prop_assert_ne!(slot.held(), reprice.cost);
        }
    }

    /// Break before make: its node lets go of it first, if that node lives.
    #[test]
    fn what_two_may_not_do_at_once_is_released_before_it_moves(fleet in busy_fleet()) {
        let plan = plan(&fleet, &Policy::default());
        for step in &plan.moves {
            let slot = fleet.slots.iter().find(|slot| slot.key == step.slot).expect("a slot");
            let from = node_of(&fleet, slot).filter(|node| node.state != NodeState::Dead);
            prop_assert!(!slot.exclusive || from.is_none(), "{step:?}");
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// A node that is being emptied gives its work away a little at a time, until nothing is left
    /// that another node could take.
    #[test]
    fn a_node_is_emptied(mut fleet in busy_fleet(), at_once in 1..4_usize) {
        let policy = Policy { drain_at_once: at_once, ..Policy::default() };
        for node in &mut fleet.nodes {
            node.hot = false;
        }
        // First everything finds its place.
        arrive(&mut fleet);
        let drains: Vec<_> = fleet.nodes.iter().map(|node| node.intake).collect();
        for node in fleet.nodes.iter_mut().filter(|node| node.intake == Intake::Draining) {
            node.intake = Intake::Cordoned;
        }
        (fleet, _) = settle(fleet, &policy);
        for (node, intake) in fleet.nodes.iter_mut().zip(drains) {
            node.intake = intake;
        }
        arrive(&mut fleet);
        let mut rounds = 0;
        loop {
            let plan = plan(&fleet, &policy);
            if plan.moves.is_empty() && plan.releases.is_empty() {
                break;
            }
            for node in &fleet.nodes {
                let leads = |key: SlotKey| key.role == Role::Ingest;
                let moves = plan.moves.iter().filter(|step| leads(step.slot) && step.from == Some(node.id));
                let releases = plan.releases.iter().filter(|release| leads(release.slot) && release.from == node.id);
                let mentioned = moves.count() + releases.count();
                prop_assert!(node.state == NodeState::Dead || mentioned <= at_once);
            }
            fleet.apply(&plan);
            arrive(&mut fleet);
            rounds += 1;
            prop_assert!(rounds < 300, "it does not end");
        }
        for slot in fleet.slots.iter().filter(|slot| slot.follows.is_none()) {
            let Some(node) = node_of(&fleet, slot) else { continue };
            if node.intake != Intake::Draining || node.state == NodeState::Dead {
                continue;
            }
            let followers = fleet.slots.iter().filter(|other| other.follows == Some(slot.key));
            let all: u32 = slot.cost.get() + followers.filter(|other| other.wanted == Wanted::Yes)
                .map(|other| other.cost.get()).sum::<u32>();
            let kept: u32 = fleet.slots.iter().filter(|other| other.node.is_none()).map(|other| other.cost.get()).sum();
            for other in &fleet.nodes {
                let takes = other.state == NodeState::Ready && other.intake == Intake::Open;
                let room = other.alloc.saturating_sub(used(&fleet, other));
                prop_assert!(!takes || !fits(slot, other) || room < all + kept, "{:?} could go to {}", slot.key, other.name);
            }
        }
    }

    /// Rebalancing ends, and moves nothing to and fro, even without any dwell.
    #[test]
    fn rebalancing_ends(mut fleet in busy_fleet()) {
        let policy = Policy::default();
        for node in &mut fleet.nodes {
            node.intake = Intake::Open;
        }
        (fleet, _) = settle(fleet, &policy);
        arrive(&mut fleet);
        let mut moved: BTreeMap<SlotKey, u32> = BTreeMap::new();
        for round in 0.. {
            for index in 0..fleet.nodes.len() {
                let node = &fleet.nodes[index];
                let percent = (used(&fleet, node) * 100).checked_div(node.alloc).unwrap_or(0);
                let hot = percent > 80 || (node.hot && percent > 65);
                fleet.nodes[index].hot = hot;
            }
            for slot in &mut fleet.slots {
                slot.settled = true;
            }
            let plan = plan(&fleet, &policy);
            if plan.is_empty() && round > 0 {
                break;
            }
            for step in plan.moves.iter().filter(|step| step.reason.contains("too busy")) {
                *moved.entry(step.slot).or_default() += 1;
                let slot = fleet.slots.iter().find(|slot| slot.key == step.slot).expect("a slot");
                prop_assert!(!slot.exclusive);
                let led = fleet.slots.iter().any(|other| other.follows == Some(slot.key) && other.node == slot.node && other.node.is_some());
                prop_assert!(!led, "{step:?}");
            }
            let after = apply(&fleet, &plan);
            for step in plan.moves.iter().filter(|step| step.reason.contains("too busy")) {
                let to = after.nodes.iter().find(|node| node.id == step.to).expect("a node");
                let leaders: u32 = after.slots.iter().filter(|slot| slot.node == Some(to.id) && slot.follows.is_none())
                    .map(|slot| slot.held().get()).sum();
                prop_assert!(leaders * 100 <= to.alloc * 65, "{step:?}");
            }
            fleet = after;
            arrive(&mut fleet);
            prop_assert!(round < 100, "it does not end");
        }
        prop_assert!(moved.values().all(|times| *times == 1), "{moved:?}");
    }

    /// If it can be, no node has more than half of a group.
    #[test]
    fn groups_are_spread(mut fleet in empty_fleet(), nodes in 2..6_usize) {
        fleet.nodes = (0..nodes).map(|number| Node::new(node_id(number), "")).collect();
        for (number, slot) in fleet.slots.iter_mut().enumerate() {
            slot.placement = Placement::default();
            slot.group = Some(CameraGroupId::from(Uuid::from_u128(number as u128 % 3)));
        }
        let after = apply(&fleet, &plan(&fleet, &Policy::default()));
        for group in 0..3 {
            let group = Some(CameraGroupId::from(Uuid::from_u128(group)));
            let all = after.slots.iter().filter(|slot| slot.group == group);
            let most = all.clone().count().div_ceil(2);
            for node in &after.nodes {
                prop_assert!(all.clone().filter(|slot| slot.node == Some(node.id)).count() <= most);
            }
        }
    }

    /// A camera goes to where its viewers are, if it may and there is room.
    #[test]
    fn cameras_go_to_their_viewers(mut fleet in empty_fleet(), near in vec(0..8_usize, 40)) {
        for node in &mut fleet.nodes {
            node.alloc = 100;
        }
        for (slot, near) in fleet.slots.iter_mut().zip(near) {
            slot.near = vec![node_id(near)];
        }
        let after = apply(&fleet, &plan(&fleet, &Policy::default()));
        for slot in &after.slots {
            let near = after.nodes.iter().find(|node| node.id == slot.near[0]);
            if near.is_some_and(|near| fits(slot, near)) {
                prop_assert_eq!(slot.node, Some(slot.near[0]));
            }
        }
    }
}
