use headworks_bootstrap::Clock;
use headworks_types::edge::DirectoryUpdate;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    audit::Audit,
    session::testing::{about, client},
    testing::{node, peer, route_to},
};

const OWN: u128 = 1;

fn url(text: &str) -> Url {
    text.parse().expect("parses")
}

fn camera(number: u128) -> CameraId {
    Uuid::from_u128(number).into()
}

fn cluster(peers: Vec<Peer>, limit: usize) -> Elsewhere {
    let directory = Directory::default();
    directory.set_own(node(OWN));
    directory.update(DirectoryUpdate {
        complete: true,
        peers,
        routes: vec![route_to(camera(1), node(2)), route_to(camera(2), node(OWN))],
        ..DirectoryUpdate::default()
    });
    let sessions = Sessions::new(limit, Audit::new(Clock::system()).0, Clock::system());
    Elsewhere::new(directory, sessions)
}

fn http(advertise: &Advertise) -> Option<&Url> {
    Some(&advertise.http)
}

fn draining() -> Peer {
    Peer {
        draining: true,
        ..peer(OWN)
    }
}

fn full() -> Peer {
    Peer {
        full: true,
        ..peer(OWN)
    }
}

fn go(number: u128) -> Advice {
    Advice::Go(peer(number).advertise.http)
}

#[test]
fn viewers_stay_as_long_as_there_is_room() {
    let cluster = cluster(vec![peer(OWN), peer(2)], 1);
    assert_eq!(cluster.viewer(camera(1), http, false), Advice::Stay);
    let viewer = client(headworks_types::ViewProtocol::Flv);
    let entered = cluster
        .sessions
        .enter(about(1, camera(1)), &viewer, None, None);
    assert_eq!(
        cluster.viewer(camera(1), http, false),
        go(2),
        "its own limit"
    );
    drop(entered);
    assert_eq!(cluster.viewer(camera(1), http, false), Advice::Stay);
}

#[test]
fn the_nearest_edge_with_room_is_best_and_of_those_the_one_that_has_the_camera() {
    let elsewhere = |zone: &str, number| Peer {
        zone: zone.to_owned(),
        ..peer(number)
    };
    let dead = Peer {
        state: NodeState::Dead,
        ..peer(3)
    };
    let leaving = Peer {
        draining: true,
        ..peer(4)
    };
    let busy = Peer {
        full: true,
        ..peer(5)
    };
    let far = elsewhere("b", 2);
    let peers = vec![draining(), dead, leaving, busy, far];
    let asked = |peers: &[Peer]| cluster(peers.to_vec(), 9).viewer(camera(1), http, false);
    assert_eq!(asked(&peers), go(2), "far is better than not");
    let near = [peers.clone(), vec![peer(6), peer(7)]].concat();
    assert!(matches!(asked(&near), Advice::Go(_)) && asked(&near) != go(2));
    let origin = [vec![draining(), peer(2)], (6..20).map(peer).collect()].concat();
    assert_eq!(asked(&origin), go(2), "it has the camera");
}

#[test]
fn two_full_edges_do_not_play_ball() {
    let cluster_of = |own| cluster(vec![own, peer(2)], 9);
    assert_eq!(cluster_of(full()).viewer(camera(1), http, false), go(2));
    let marked = cluster_of(full()).viewer(camera(1), http, true);
    assert!(matches!(marked, Advice::Full(words) if words.contains("the one before")));
    // One that is to be left is still better than none.
    let marked = cluster_of(draining()).viewer(camera(1), http, true);
    assert_eq!(marked, Advice::Stay);
    let alone = cluster(vec![full()], 9).viewer(camera(1), http, false);
    assert!(matches!(alone, Advice::Full(words) if words.contains("no other one")));
    let alone = cluster(vec![draining()], 9).viewer(camera(1), http, false);
    assert_eq!(alone, Advice::Stay);
}

#[test]
fn nobody_is_sent_into_the_open_or_where_his_protocol_is_not() {
    let mut own = draining();
    own.advertise.http = url("https://edge-1/");
    let elsewhere = cluster(vec![own.clone(), peer(2)], 9);
    assert_eq!(elsewhere.viewer(camera(1), http, false), Advice::Stay);
    let mut other = peer(3);
    other.advertise.http = url("https://edge-3/");
    let elsewhere = cluster(vec![own, peer(2), other], 9);
    let secure = Advice::Go(url("https://edge-3/"));
    assert_eq!(elsewhere.viewer(camera(1), http, false), secure);
    let rtsps: Base = |advertise| advertise.rtsps.as_ref();
    assert_eq!(elsewhere.viewer(camera(1), rtsps, false), Advice::Stay);
}

#[test]
fn publishers_go_to_where_their_camera_is() {
    let elsewhere = cluster(vec![peer(OWN), peer(2)], 9);
    let rtmp: Base = |advertise| advertise.rtmp.as_ref();
    let there = Some(url("rtmp://edge-2:1935/"));
    assert_eq!(elsewhere.publisher(camera(1), rtmp), there);
    assert_eq!(elsewhere.publisher(camera(2), rtmp), None, "it is here");
    assert_eq!(
        elsewhere.publisher(camera(3), rtmp),
        None,
        "nobody knows it"
    );
    let rtmps: Base = |advertise| advertise.rtmps.as_ref();
    assert_eq!(elsewhere.publisher(camera(1), rtmps), None);
}

#[test]
fn an_address_keeps_path_and_query_and_gets_the_secret_and_the_mark() {
    let base = url("http://edge-2:8081/base/");
    let all = address(
        &base,
        "/live/c/index.m3u8",
        Some("token=a%2Bb&ll=0"),
        Some(("token", "x")),
    );
    let expected = "http://edge-2:8081/base/live/c/index.m3u8?token=a%2Bb&ll=0&redirected=1";
    assert_eq!(all.as_str(), expected);
    let bearer = address(&base, "/live/c/stream.flv", None, Some(("token", "a&b")));
    let expected = "http://edge-2:8081/base/live/c/stream.flv?token=a%26b&redirected=1";
    assert_eq!(bearer.as_str(), expected);
    let rtmp = address(&url("rtmp://edge-2:1935"), "live/c", Some("token=a"), None);
    assert_eq!(
        rtmp.as_str(),
        "rtmp://edge-2:1935/live/c?token=a&redirected=1"
    );
}

proptest! {
    /// Whatever the edges believe of each other, nobody is sent more than once.
    #[test]
    fn whoever_was_sent_is_served_or_told_why_not(
        draining in any::<bool>(), full in any::<bool>(), others in 0_u128..4,
    ) {
        let own = Peer { draining, full, ..peer(OWN) };
        let peers = std::iter::once(own).chain((2..2 + others).map(peer)).collect();
        let advice = cluster(peers, 9).viewer(camera(1), http, true);
        prop_assert!(!matches!(advice, Advice::Go(_)));
        prop_assert_eq!(matches!(advice, Advice::Full(_)), full);
    }
}
