use std::collections::{BTreeMap, BTreeSet};

use headworks_types::Advertise;
use proptest::{collection::vec, prelude::*};
use uuid::Uuid;

use super::*;

fn id(number: u128) -> NodeId {
    Uuid::from_u128(number).into()
}

fn camera(number: u128) -> CameraId {
    Uuid::from_u128(number).into()
}

fn peer(number: u128, zone: u8) -> Peer {
    let url = "https://127.0.0.1:1/".parse().expect("parses");
    Peer {
        id: id(number),
        name: format!("edge-{number}"),
        site: "default".to_owned(),
        zone: format!("zone-{zone}"),
        relay: Some("https://127.0.0.1:2/".parse().expect("parses")),
        advertise: Advertise::new(url),
        state: NodeState::Ready,
        draining: false,
        full: false,
    }
}

/// Edges in up to four zones; some relay to nobody.
fn fleet() -> impl Strategy<Value = Vec<Peer>> {
    vec((0..4_u8, 0..10_u8), 1..24).prop_map(|all| {
        let numbers = 1_u128..;
        let edges = numbers.zip(all).map(|(number, (zone, health))| {
            let mut edge = peer(number, zone);
            match health {
                0 => edge.state = NodeState::Dead,
                1 => edge.draining = true,
                2 => edge.relay = None,
                3 => edge.state = NodeState::Suspect,
                _ => {}
            }
            edge
        });
        edges.collect()
    })
}

/// Whom each asks first.
fn first(camera: CameraId, origin: NodeId, peers: &[Peer]) -> BTreeMap<NodeId, NodeId> {
    let ask = |peer: &Peer| {
        let all = candidates(peer.id, camera, origin, peers.iter());
        Some((peer.id, *all.first()?))
    };
    peers.iter().filter_map(ask).collect()
}

proptest! {
    #[test]
    fn one_of_each_zone_asks_the_origin(peers in fleet(), number: u128, chosen: prop::sample::Index) {
        let source = chosen.get(&peers);
        let first = first(camera(number), source.id, &peers);
        let zones: BTreeSet<_> = peers.iter().map(|peer| &peer.zone).collect();
        for zone in zones.into_iter().filter(|zone| **zone != source.zone) {
            let all = || peers.iter().filter(|peer| peer.zone == *zone);
            let asks = |peer: &&Peer| first[&peer.id] == source.id;
            let askers: Vec<_> = all().filter(asks).collect();
            if all().any(relays) {
                let [asker] = askers[..] else {
                    panic!("{askers:?}");
                };
                let others = all().filter(|peer| peer.id != asker.id);
                for peer in others {
                    prop_assert_eq!(first[&peer.id], asker.id);
                }
            } else {
                // Nobody can have it from another.
                prop_assert_eq!(askers.len(), all().count());
            }
        }
        for peer in peers.iter().filter(|peer| peer.zone == source.zone && peer.id != source.id) {
            prop_assert_eq!(first[&peer.id], source.id);
        }
    }

    #[test]
    fn who_goes_takes_only_its_children_along(
        peers in fleet(),
        number: u128,
        chosen: prop::sample::Index,
        gone: prop::sample::Index,
    ) {
        let (origin, gone) = (chosen.get(&peers).id, gone.get(&peers).id);
        prop_assume!(origin != gone);
        let before = first(camera(number), origin, &peers);
        let rest: Vec<_> = peers.iter().filter(|peer| peer.id != gone).cloned().collect();
        for (child, parent) in first(camera(number), origin, &rest) {
            if before[&child] != gone {
                prop_assert_eq!(parent, before[&child]);
            }
        }
    }

    #[test]
    fn nobody_asks_in_a_circle(peers in fleet(), number: u128, chosen: prop::sample::Index) {
        let origin = chosen.get(&peers).id;
        let ask = |id| candidates(id, camera(number), origin, peers.iter());
        // However they choose among their candidates: each edge is reached from the origin only.
        let mut done = BTreeSet::from([origin]);
        loop {
            let ready = |peer: &&Peer| ask(peer.id).iter().all(|parent| done.contains(parent));
            let new: Vec<_> = peers.iter().filter(ready).map(|peer| peer.id).collect();
            let before = done.len();
            done.extend(new);
            if done.len() == before {
                break;
            }
        }
        prop_assert_eq!(done.len(), peers.len());
    }

    #[test]
    fn the_order_of_the_directory_does_not_matter(peers in fleet(), number: u128, own in 1..24_u128) {
        let origin = peers[0].id;
        let ask = |peers: &[Peer]| candidates(id(own), camera(number), origin, peers.iter());
        let turned: Vec<_> = peers.iter().rev().cloned().collect();
        let all = ask(&peers);
        prop_assert_eq!(&all, &ask(&turned));
        prop_assert!(all.len() <= NEAR + 1);
        prop_assert!(!all.contains(&id(own)));
        prop_assert_eq!(all.last(), (id(own) != origin).then_some(&origin));
    }
}

#[test]
fn cameras_are_spread_over_the_edges_of_a_zone() {
    let mut peers: Vec<_> = (1..=4).map(|number| peer(number, 0)).collect();
    peers.push(peer(9, 1));
    let mut askers = BTreeMap::<NodeId, u32>::new();
    for number in 0..1000 {
        let first = first(camera(number), id(9), &peers);
        let asker = first.iter().find(|(_, parent)| **parent == id(9));
        *askers.entry(*asker.expect("one asks").0).or_default() += 1;
    }
    assert!(
        askers.values().all(|count| (150..350).contains(count)),
        "{askers:?}"
    );
}

#[test]
fn whom_the_directory_does_not_know_asks_the_origin() {
    let peers = [peer(1, 0), peer(2, 0)];
    assert_eq!(candidates(id(7), camera(1), id(1), peers.iter()), [id(1)]);
    assert_eq!(candidates(id(1), camera(1), id(7), peers.iter()), [id(7)]);
}
