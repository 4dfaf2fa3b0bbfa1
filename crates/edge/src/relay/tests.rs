//! Edges that have a camera from each other, over real sockets.

mod strangers;
mod world;

use std::time::Duration;

use headworks_types::edge::DirectoryUpdate;

use super::*;
use crate::hub;
use world::{Film, Way, World, camera, config, id, route, slot, soon, until};

/// A picture and its sound.
const PAIR: usize = 2;

/// Pictures and sound are numbered without holes.
fn assert_whole(frames: &[hub::Relayed]) {
    for pair in frames.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence + 1, "a hole");
    }
}

fn started(world: &World) -> Film {
    let mut film = world.edges[0].source();
    film.begin();
    film.roll(6);
    film
}

#[tokio::test]
async fn frames_and_times_are_those_of_the_origin() {
    let world = World::new(&["a", "b"]).await;
    let mut film = started(&world);
    let (mut near, mut far) = (world.watch(0), world.watch(1));
    // From the newest key frame on.
    let expected = near.take(2 * PAIR).await;
    assert!(expected[0].frame.key);
    let relayed = far.take(2 * PAIR).await;
    for (relayed, expected) in relayed.iter().zip(&expected) {
        assert_eq!(relayed.sequence, expected.sequence);
        assert!(relayed.frame == expected.frame, "{}", relayed.sequence);
    }
    film.roll(30);
    let expected = near.take(30 * PAIR).await;
    let relayed = far.take(30 * PAIR).await;
    assert!(relayed == expected);
    assert_whole(&relayed);
    film.roll_of(4, 200_000);
    for _ in 0..4 * PAIR {
        let (near, far) = (near.next().await, far.next().await);
        assert!(near.frame == far.frame);
        assert_eq!(near.description.tracks, far.description.tracks);
    }
    far.says("relay from edge-1 (site lyon)").await;
    world.stop().await;
}

#[tokio::test]
async fn another_edge_is_demand_but_no_viewer_and_goes_when_nobody_watches() {
    let world = World::new(&["a", "b"]).await;
    let origin = world.edges[0].hub.stream(camera()).expect("is there");
    let far = world.watch(1);
    soon(origin.demand().wait_for(|demand| *demand == 1))
        .await
        .expect("lives");
    assert_eq!(origin.viewers(), 0);
    // There is nothing to see yet, and it is said why.
    far.says("relay from edge-1 (site lyon): waits for its publisher")
        .await;
    let relayed = Arc::clone(&far.stream);
    drop(far);
    soon(origin.demand().wait_for(|demand| *demand == 0))
        .await
        .expect("lives");
    until(|| !relayed.is_fed()).await;
    let counters = world.edges[1].relays.counters();
    until(|| counters.incoming.get() == 0).await;
    until(|| world.edges[0].relays.counters().outgoing.get() == 0).await;
    world.stop().await;
}

#[tokio::test]
async fn one_copy_crosses_between_zones() {
    let world = World::new(&["a", "a", "a", "b", "b", "b"]).await;
    let mut film = started(&world);
    let mut viewers: Vec<_> = (0..6).map(|index| world.watch(index)).collect();
    for viewer in &mut viewers {
        viewer.take(2 * PAIR).await;
    }
    let bytes = |index: usize| world.edges[index].received();
    let before: Vec<_> = (0..6).map(bytes).collect();
    const PICTURES: i64 = 40;
    const SIZE: usize = 20_000;
    film.roll_of(PICTURES, SIZE);
    for viewer in &mut viewers {
        viewer.take(PICTURES as usize * PAIR).await;
    }
    let copy = PICTURES as u64 * SIZE as u64;
    let copies = |bytes: u64| bytes as f64 / copy as f64;
    let after: Vec<_> = (0..6).map(bytes).collect();
    let mut crossed = Vec::new();
    for (edge, (before, after)) in before.iter().zip(&after).enumerate() {
        let (near, far) = (copies(after.0 - before.0), copies(after.1 - before.1));
        match edge {
            0 => assert_eq!(after, &(0, 0), "the origin has it from nobody"),
            _ if far > 0.01 => {
                assert!(near < 0.01, "edge {edge} has it twice");
                crossed.push(far);
            }
            _ => assert!((1.0..1.2).contains(&near), "edge {edge}: {near} copies"),
        }
    }
    let [crossed] = crossed[..] else {
        panic!("not one of the other zone has it from the origin: {crossed:?}");
    };
    assert!((1.0..1.2).contains(&crossed), "{crossed} copies");
    world.stop().await;
}

/// The edges of the other zone, in the order in which they ask each other.
fn order(world: &World) -> Vec<usize> {
    let route = route(Some(id(1)), 1);
    let ahead = |index: &usize| world.edges[*index].relays.0.candidates(&route).len();
    let mut order: Vec<_> = (1..world.edges.len()).collect();
    order.sort_by_key(ahead);
    order
}

/// A parent is lost in some way; all that had the camera from it go on without a hole.
async fn is_lost(way: Way) {
    let world = World::new(&["a", "b", "b", "b"]).await;
    let mut film = started(&world);
    let order = order(&world);
    let mut viewers: Vec<_> = order[1..].iter().map(|index| world.watch(*index)).collect();
    for viewer in &mut viewers {
        viewer.take(PAIR).await;
    }
    let parent = world.edges[order[0]].node;
    for child in &order[1..] {
        until(|| world.edges[*child].parent() == Some(parent)).await;
    }
    film.roll(20);
    world.edges[order[0]].proxy.set(way);
    film.roll(20);
    for viewer in &mut viewers {
        assert_whole(&viewer.take(40 * PAIR).await);
        assert_eq!(viewer.jumps(), 0);
    }
    // The next one in the order asks the origin, and the last one asks it.
    until(|| world.edges[order[1]].parent() == Some(id(1))).await;
    let next = world.edges[order[1]].node;
    until(|| world.edges[order[2]].parent() == Some(next)).await;

    // When it is well again, it is taken again, and nobody notices.
    world.edges[order[0]].proxy.set(Way::Open);
    let back = async {
        while order[1..]
            .iter()
            .any(|child| world.edges[*child].parent() != Some(parent))
        {
            film.roll(1);
            for viewer in &mut viewers {
                assert_whole(&viewer.take(PAIR).await);
            }
        }
    };
    soon(back).await;
    film.roll(8);
    for viewer in &mut viewers {
        assert_whole(&viewer.take(8 * PAIR).await);
        assert_eq!(viewer.jumps(), 0);
    }
    let counters = world.edges[order[1]].relays.counters();
    assert!(
        counters.switches.get() >= 2 && counters.resumes.get() >= 2,
        "{counters:?}"
    );
    world.stop().await;
}

#[tokio::test]
async fn who_loses_its_parent_goes_on_with_the_next() {
    is_lost(Way::Cut).await;
}

#[tokio::test]
async fn a_parent_that_is_frozen_is_left_too() {
    is_lost(Way::Frozen).await;
}

#[tokio::test]
async fn an_edge_that_stops_says_so() {
    let mut config = config();
    // Nothing but its word can end the connection.
    config.pace.silence = Duration::from_secs(3600);
    let world = World::with(&["a", "b", "b"], config, hub::Config::default()).await;
    let mut film = started(&world);
    let order = order(&world);
    let mut viewer = world.watch(order[1]);
    viewer.take(PAIR).await;
    world.edges[order[0]]
        .tasks
        .shutdown(Duration::from_secs(5))
        .await;
    film.roll(10);
    assert_whole(&viewer.take(10 * PAIR).await);
    until(|| world.edges[order[1]].parent() == Some(id(1))).await;
    world.stop().await;
}

#[tokio::test]
async fn a_camera_that_moves_is_followed_at_a_key_frame() {
    let mut world = World::new(&["a", "a", "b", "b"]).await;
    let mut film = started(&world);
    let mut viewers: Vec<_> = [2, 3].map(|index| world.watch(index)).into();
    let mut last = Vec::new();
    for viewer in &mut viewers {
        last.push(viewer.take(2 * PAIR).await.pop().expect("frames"));
    }
    world.place(1);
    // The new origin has no picture yet: the one before goes on.
    film.roll(8);
    for (viewer, last) in viewers.iter_mut().zip(&mut last) {
        let frames = viewer.take(8 * PAIR).await;
        assert_whole(&frames);
        *last = frames.last().expect("frames").clone();
    }
    let mut next = world.edges[1].source();
    next.begin();
    next.roll(8);
    for viewer in &mut viewers {
        let first = viewer.next().await;
        assert!(first.is_key(), "{:?}", first.frame);
        assert_eq!(viewer.jumps(), 0);
        let mut before = first.frame.dts;
        for _ in 0..3 * PAIR {
            let entry = viewer.next().await;
            if entry.frame.track == headworks_media::TrackKind::Video {
                assert!(entry.frame.dts > before, "time goes on");
                before = entry.frame.dts;
            }
        }
    }
    until(|| {
        [2, 3]
            .iter()
            .any(|index: &usize| world.edges[*index].parent() == Some(id(2)))
    })
    .await;
    // Who has the old origin's word only learns from who knows better.
    until(|| world.edges[0].ingests.epoch(camera()).is_none()).await;
    drop(film);
    world.stop().await;
}

#[tokio::test]
async fn nobody_goes_back_to_an_assignment_that_is_over() {
    let mut world = World::new(&["a", "a", "b"]).await;
    let mut old = started(&world);
    let mut viewer = world.watch(2);
    viewer.take(PAIR).await;
    world.place(1);
    let mut new = world.edges[1].source();
    new.begin();
    new.roll(4);
    until(|| world.edges[2].parent() == Some(id(2))).await;
    // The directory is set back, and the old origin is still there.
    world.edges[0].ingests.stop(slot());
    world.edges[0].ingest(1);
    world.tell(&DirectoryUpdate {
        routes: vec![route(Some(id(1)), 1)],
        ..DirectoryUpdate::default()
    });
    old.roll(8);
    new.roll(8);
    let incarnation = || world.edges[2].relays.0.source(camera(), None).incarnation;
    let before = incarnation();
    let failed = world.edges[1].relays.counters();
    until(|| failed.outgoing.get() == 1).await;
    viewer.take(8 * PAIR).await;
    assert_eq!(incarnation(), before);
    world.stop().await;
}

#[tokio::test]
async fn two_that_take_each_other_for_closer_find_out() {
    let world = World::new(&["a", "b", "b"]).await;
    let mut film = started(&world);
    // Each of them believes that the other stands before it, since it does not know itself.
    for (index, other) in [(1, 3), (2, 2)] {
        let mut peer = world.edges[index].peer();
        peer.zone = "b".to_owned();
        let edge = &world.edges[index];
        edge.directory.update(DirectoryUpdate {
            routes: vec![Route {
                origin: Some(id(other)),
                ..route(None, 1)
            }],
            ..DirectoryUpdate::default()
        });
    }
    let viewers = [world.watch(1), world.watch(2)];
    // Neither has anything, but nobody waits for ever, or has it from himself.
    for viewer in &viewers {
        viewer.says("it has the camera from here itself").await;
    }
    world.tell(&DirectoryUpdate {
        routes: vec![route(Some(id(1)), 1)],
        ..DirectoryUpdate::default()
    });
    film.roll(4);
    for mut viewer in viewers {
        viewer.take(PAIR).await;
    }
    world.stop().await;
}

#[tokio::test]
async fn a_camera_that_nobody_brings_in_is_waited_for() {
    let mut world = World::new(&["a", "b"]).await;
    world.tell(&DirectoryUpdate {
        routes: vec![route(None, 2)],
        ..DirectoryUpdate::default()
    });
    let mut viewer = world.watch(1);
    viewer.says("no edge brings the camera in now").await;
    world.place(0);
    world.place(0);
    world.place(0);
    let mut film = started(&world);
    film.roll(1);
    viewer.take(PAIR).await;
    world.tell(&DirectoryUpdate {
        removed_routes: vec![camera()],
        ..DirectoryUpdate::default()
    });
    until(|| world.edges[1].relays.counters().incoming.get() == 0).await;
    assert!(world.edges[1].relays.open(camera()).is_none());
    world.stop().await;
}

#[tokio::test]
async fn who_is_too_slow_goes_on_at_a_key_frame() {
    let hub = hub::Config {
        buffer_bytes: 1 << 20,
        ..hub::Config::default()
    };
    let mut config = config();
    config.pace.silence = Duration::from_secs(60);
    let world = World::with(&["a", "b"], config, hub).await;
    let mut film = started(&world);
    let mut viewer = world.watch(1);
    viewer.take(2 * PAIR).await;
    world.edges[0].proxy.set(Way::Frozen);
    // More than the sockets between them take, and than is buffered.
    for _ in 0..200 {
        film.roll_of(1, 200_000);
        tokio::task::yield_now().await;
    }
    world.edges[0].proxy.set(Way::Open);
    let jumps = &world.edges[0].relays.counters().jumps;
    until(|| {
        film.roll(1);
        jumps.get() > 0
    })
    .await;
    let hole = async {
        let mut before = viewer.take(1).await[0].sequence;
        loop {
            let next = viewer.take(1).await.remove(0);
            if next.sequence != before + 1 {
                return next;
            }
            before = next.sequence;
        }
    };
    let behind = soon(hole).await;
    assert!(behind.frame.key && behind.frame.track == headworks_media::TrackKind::Video);
    world.stop().await;
}
