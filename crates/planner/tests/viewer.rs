//! Where viewers are sent: wanted properties over generated nodes, and what people read.

use std::collections::BTreeMap;

use headworks_planner::{Candidate, Intake, Ranked, Viewer, rank};
use headworks_types::{CameraId, NodeId, NodeLimits, NodeLoad, NodeState};
use proptest::{collection::vec, option, prelude::*, sample::select};
use uuid::Uuid;

const ZONES: [&str; 3] = ["lyon", "paris", "berlin"];

fn node_id(number: u128) -> NodeId {
    NodeId::from(Uuid::from_u128(number + 1))
}

fn viewer(camera: u128, zone: Option<&str>) -> Viewer {
    Viewer {
        camera: CameraId::from(Uuid::from_u128((camera + 1) << 8)),
        zone: zone.map(str::to_owned),
    }
}

/// A node of lyon that is well and has nothing to do.
fn idle(number: u128) -> Candidate {
    Candidate {
        id: node_id(number),
        name: format!("edge-{number}"),
        zone: "lyon".to_owned(),
        state: NodeState::Ready,
        intake: Intake::Open,
        is_origin: false,
        is_watched: false,
        relays: true,
        limits: NodeLimits {
            max_viewers: Some(100),
            max_egress_mbit: None,
        },
        load: NodeLoad::default(),
        is_full: false,
    }
}

fn with_viewers(candidate: Candidate, viewers: u32) -> Candidate {
    let load = NodeLoad {
        viewers,
        ..candidate.load
    };
    Candidate { load, ..candidate }
}

prop_compose! {
    fn candidate()(
        zone in select(&ZONES[..]),
        state in prop_oneof![
            4 => Just(NodeState::Ready),
            1 => Just(NodeState::Suspect),
            1 => Just(NodeState::Dead),
        ],
        intake in prop_oneof![
            5 => Just(Intake::Open),
            1 => Just(Intake::Cordoned),
            1 => Just(Intake::Draining),
            1 => Just(Intake::Unsteady),
        ],
        is_watched: bool,
        relays in prop_oneof![5 => Just(true), 1 => Just(false)],
        is_full in prop_oneof![5 => Just(false), 1 => Just(true)],
        max_viewers in option::of(0..100_u32),
        max_egress_mbit in option::of(0..100_u32),
        viewers in 0..120_u32,
        sent_kbit in 0..120_000_u64,
    ) -> Candidate {
        Candidate {
            zone: zone.to_owned(),
            state,
            intake,
            is_watched,
            relays,
            limits: NodeLimits { max_viewers, max_egress_mbit },
            load: NodeLoad { viewers, sent_kbit, ..NodeLoad::default() },
            is_full,
            ..idle(0)
        }
    }
}

prop_compose! {
    fn candidates()(
        mut all in vec(candidate(), 1..12),
        origin in option::of(0..12_usize),
    ) -> Vec<Candidate> {
        for (number, candidate) in all.iter_mut().enumerate() {
            candidate.id = node_id(number as u128);
            candidate.name = format!("edge-{number}");
            candidate.is_origin = Some(number) == origin;
        }
        all
    }
}

fn viewers() -> impl Strategy<Value = Viewer> {
    (0..1000_u128, option::of(select(&ZONES[..]))).prop_map(|(camera, zone)| viewer(camera, zone))
}

/// Hundredths of what it takes, by the limit that it is closest to.
fn share(candidate: &Candidate) -> f64 {
    let Candidate { limits, load, .. } = candidate;
    let of = |part: f64, whole: u32| match whole {
        0 => 100.0,
        whole => part / f64::from(whole) * 100.0,
    };
    let viewers = limits
        .max_viewers
        .map(|most| of(f64::from(load.viewers), most));
    let egress = limits
        .max_egress_mbit
        .map(|most| of(load.sent_kbit as f64 / 1000.0, most));
    viewers.into_iter().chain(egress).fold(0.0, f64::max)
}

fn has_room(candidate: &Candidate) -> bool {
    !candidate.is_full && share(candidate) < 100.0
}

/// Each node that is ranked, in order.
fn in_order<'a>(all: &'a [Candidate], ranked: &[Ranked]) -> Vec<(&'a Candidate, bool)> {
    let by_id: BTreeMap<_, _> = all
        .iter()
        .map(|candidate| (candidate.id, candidate))
        .collect();
    ranked
        .iter()
        .map(|ranked| (by_id[&ranked.node], ranked.serves))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_node_is_ranked_once_whatever_the_order(
        (all, shuffled) in candidates().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        viewer in viewers(),
    ) {
        let ranked = rank(&all, &viewer);
        prop_assert_eq!(&ranked, &rank(&shuffled, &viewer));
        let mut ids: Vec<_> = ranked.iter().map(|ranked| ranked.node).collect();
        ids.sort_unstable();
        prop_assert_eq!(ids, (0..all.len() as u128).map(node_id).collect::<Vec<_>>());
    }

    #[test]
    fn who_cannot_serve_comes_last_and_only_they_do_not(all in candidates(), viewer in viewers()) {
        let origin = all.iter().find(|candidate| candidate.is_origin);
        let ranked = in_order(&all, &rank(&all, &viewer));
        prop_assert!(ranked.is_sorted_by_key(|(_, serves)| !serves));
        for (candidate, serves) in ranked {
            let reaches = candidate.is_origin
                || candidate.relays && origin.is_none_or(|origin| origin.relays);
            let well = candidate.state != NodeState::Dead
                && candidate.intake != Intake::Draining
                && has_room(candidate)
                && reaches;
            prop_assert_eq!(serves, well, "{:?}", candidate);
        }
    }

    #[test]
    fn the_viewers_zone_comes_first_while_it_has_room(all in candidates(), camera in 0..1000_u128) {
        let ranked = rank(&all, &viewer(camera, Some("lyon")));
        let ranked = in_order(&all, &ranked).into_iter();
        let ready = ranked.filter(|(node, serves)| *serves && node.state == NodeState::Ready);
        let zones: Vec<_> = ready.map(|(node, _)| node.zone != "lyon").collect();
        prop_assert!(zones.is_sorted());
    }

    #[test]
    fn who_has_the_camera_comes_before_who_would_relay_it_at_the_same_load(
        all in candidates(), viewer in viewers(),
    ) {
        let step = |share: f64| (share >= 50.0, share >= 80.0);
        let ranked = in_order(&all, &rank(&all, &viewer));
        for (place, (before, serves)) in ranked.iter().enumerate() {
            for (behind, _) in ranked[place + 1..].iter().filter(|(_, serves)| *serves) {
                let alike = before.zone == behind.zone
                    && before.state == behind.state
                    && before.intake == behind.intake
                    && step(share(before)) == step(share(behind));
                let has = |candidate: &Candidate| candidate.is_origin || candidate.is_watched;
                prop_assert!(!(*serves && alike && has(behind)) || has(before));
            }
        }
    }

    #[test]
    fn one_viewer_more_changes_nothing_within_a_step(
        camera in 0..1000_u128, loads in vec(0..49_u32, 2..8), who in any::<prop::sample::Index>(),
    ) {
        let all: Vec<_> = (0..).zip(&loads).map(|(number, load)| with_viewers(idle(number), *load)).collect();
        let mut more = all.clone();
        who.get_mut(&mut more).load.viewers += 1;
        let viewer = viewer(camera, None);
        prop_assert_eq!(rank(&all, &viewer), rank(&more, &viewer));
    }
}

#[test]
fn viewers_of_a_camera_fill_few_nodes_and_cameras_are_spread() {
    let mut firsts = BTreeMap::<NodeId, u32>::new();
    for camera in 0..60 {
        let viewer = viewer(camera, Some("lyon"));
        let mut all: Vec<_> = (0..6).map(idle).collect();
        for come in 0..120_usize {
            let best = rank(&all, &viewer)[0].node;
            if come == 0 {
                *firsts.entry(best).or_default() += 1;
            }
            let best = all.iter_mut().find(|candidate| candidate.id == best);
            let best = best.expect("is one of them");
            best.load.viewers += 1;
            best.is_watched = true;
        }
        let copies = all.iter().filter(|candidate| candidate.is_watched).count();
        // Half of each: 120 viewers need three of a hundred.
        assert_eq!(copies, 3, "camera {camera}");
    }
    assert_eq!(firsts.len(), 6, "{firsts:?}");
}

fn reasons(all: &[Candidate], zone: Option<&str>) -> Vec<String> {
    let ranked = rank(all, &viewer(1, zone)).into_iter();
    let names: BTreeMap<_, _> = all.iter().map(|one| (one.id, one.name.clone())).collect();
    ranked
        .map(|ranked| format!("{}: {}", names[&ranked.node], ranked.reason))
        .collect()
}

#[test]
fn the_choice_is_told_in_words() {
    let far = |candidate| Candidate {
        zone: "paris".to_owned(),
        ..candidate
    };
    let origin = far(Candidate {
        is_origin: true,
        ..idle(1)
    });
    let watched = Candidate {
        is_watched: true,
        ..idle(2)
    };
    let silent = Candidate {
        state: NodeState::Suspect,
        ..far(with_viewers(idle(5), 85))
    };
    let closed = Candidate {
        intake: Intake::Cordoned,
        ..idle(4)
    };
    let unsteady = Candidate {
        intake: Intake::Unsteady,
        ..far(idle(6))
    };
    let all = [
        origin,
        watched,
        with_viewers(idle(3), 60),
        closed,
        silent,
        unsteady,
    ];
    let lyon = [
        "edge-2: in your zone; has the camera already",
        "edge-3: in your zone; gets the camera by a relay; more than half full",
        "edge-4: in your zone; gets the camera by a relay; is closed for new cameras",
        "edge-1: in zone paris; brings the camera in",
        "edge-6: in zone paris; gets the camera by a relay; has died too often lately",
        "edge-5: in zone paris; gets the camera by a relay; nearly full; has not reported lately",
    ];
    assert_eq!(reasons(&all, Some("lyon")), lyon);
    let nowhere = reasons(&all, None);
    assert!(
        nowhere[0].ends_with("; has the camera already")
            || nowhere[0].ends_with("brings the camera in")
    );
}

#[test]
fn what_is_wrong_with_nodes_is_told_in_words() {
    let limits = NodeLimits {
        max_viewers: Some(20_000),
        max_egress_mbit: Some(1000),
    };
    let of = |viewers, mbit: u64| NodeLoad {
        viewers,
        sent_kbit: mbit * 1000 + 999,
        ..NodeLoad::default()
    };
    let full = |number, load| Candidate {
        limits,
        load,
        is_full: true,
        ..idle(number)
    };
    let draining = Candidate {
        intake: Intake::Draining,
        ..idle(3)
    };
    let old = Candidate {
        relays: false,
        ..idle(4)
    };
    let dead = Candidate {
        state: NodeState::Dead,
        ..idle(5)
    };
    let all = [
        full(1, of(20_000, 10)),
        full(2, of(5, 950)),
        draining,
        old,
        dead,
    ];
    let mut words = reasons(&all, None);
    words.sort_unstable();
    let expected = [
        "edge-1: full (20000 of 20000 viewers)",
        "edge-2: full (950 of 1000 Mbit/s)",
        "edge-3: draining",
        "edge-4: cannot get it from where it comes in",
        "edge-5: dead",
    ];
    assert_eq!(words, expected);
}
