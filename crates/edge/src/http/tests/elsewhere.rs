//! Viewers of cameras that other edges bring in, and viewers who are sent to other edges.

use headworks_types::edge::{DirectoryUpdate, Peer, Route, ViewPolicy};

use super::*;
use crate::access::sign::claims;
use crate::testing::{node, peer, route_to};

const OWN: u128 = 1;
const OTHER: u128 = 2;

impl World {
    /// The cluster has these edges, of which the first is this one.
    fn join(&self, peers: Vec<Peer>) {
        let directory = self.viewing.streams.directory();
        directory.set_own(node(OWN));
        directory.update(DirectoryUpdate {
            peers,
            ..DirectoryUpdate::default()
        });
    }

    fn learn(&self, route: Route) {
        self.viewing.streams.directory().update(DirectoryUpdate {
            routes: vec![route],
            ..DirectoryUpdate::default()
        });
    }
}

fn location(answer: &Answer) -> &str {
    let mut lines = answer.head.lines();
    let found = lines.find_map(|line| line.strip_prefix("location: "));
    found.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn new_viewers_of_an_edge_that_is_left_go_elsewhere_and_others_stay() {
    let mut world = World::new().await;
    world.play(101);
    world.join(vec![peer(OWN), peer(OTHER)]);
    let index = world.path("index.m3u8");
    let playlist = world.get(&index).await;
    assert_eq!(playlist.status, 200);
    let child = playlist.text().lines().last().expect("a child").to_owned();
    world.join(vec![Peer {
        draining: true,
        ..peer(OWN)
    }]);
    let child = format!("/live/{}/{child}", world.camera);
    assert_eq!(world.get(&child).await.status, 200, "who watches goes on");
    assert_eq!(world.get(&index).await.status, 200, "also when he reloads");
    assert_eq!(world.get(&world.path("watch")).await.status, 200);
    for file in ["stream.flv", "stream.ts"] {
        let path = format!("/live/{}/{file}", world.camera);
        let sent = world.get(&world.path(file)).await;
        assert_eq!(sent.status, 302);
        let to = format!("http://edge-2{path}?token={}&redirected=1", world.token);
        assert_eq!(location(&sent), to);
        assert!(sent.head.contains("cache-control: no-store"));
        // A token in the head would not go along.
        let mut client = world.connect().await;
        let bearer = format!("authorization: Bearer {}\r\n", world.token);
        client.send("GET", &path, &bearer).await;
        assert_eq!(location(&client.answer().await), to);
        // Who may not watch is told so here.
        let stranger = world.get(&format!("{path}?token=x")).await;
        assert_eq!(stranger.status, 401);
        assert_eq!(location(&stranger), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_and_its_playlists_are_those_of_one_edge() {
    let mut world = World::new().await;
    world.play(101);
    let own = Peer {
        draining: true,
        ..peer(OWN)
    };
    world.join(vec![own, peer(OTHER)]);
    for file in ["watch", "index.m3u8"] {
        let sent = world.get(&world.path(file)).await;
        assert_eq!(sent.status, 302);
        let to = format!("http://edge-2/live/{}/{file}?token=", world.camera);
        assert!(location(&sent).starts_with(&to), "{}", sent.head);
    }
    // Browsers do not say on whose behalf they come when they are sent on: who may watch only from
    // one page stays.
    let mut claims = claims(world.camera, Clock::system().now());
    claims.org = Some("https://page".to_owned());
    let token = world.issuer.sign(&world.issuer.header(), &claims);
    let path = format!("/live/{}/index.m3u8?token={token}", world.camera);
    let mut client = world.connect().await;
    client.send("GET", &path, "origin: https://page\r\n").await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_sent_by_a_full_edge_to_a_full_edge_is_told_so() {
    let mut world = World::new().await;
    world.play(101);
    let own = Peer {
        full: true,
        ..peer(OWN)
    };
    world.join(vec![own, peer(OTHER)]);
    let path = world.path("stream.flv");
    assert_eq!(world.get(&path).await.status, 302);
    let refused = world.get(&format!("{path}&redirected=1")).await;
    assert_eq!(refused.status, 503);
    assert!(refused.head.contains("retry-after: 5"), "{}", refused.head);
    let words = "this edge serves as many viewers as it may, and so does the one before it";
    assert!(refused.text().contains(words), "{}", refused.text());
    assert!(refused.text().contains("\"code\":\"unavailable\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_of_another_edge_is_watched_by_a_relay_that_opens_when_it_is_wanted() {
    let world = World::new().await;
    let camera = CameraId::from(Uuid::from_u128(3));
    let token = world.issuer.token(camera, Clock::system().now());
    let path = |file: &str| format!("/live/{camera}/{file}?token={token}");
    assert_eq!(world.get(&path("stream.flv")).await.status, 421, "unknown");
    world.learn(Route {
        view: ViewPolicy {
            max_viewers: Some(1),
            ..ViewPolicy::default()
        },
        ..route_to(camera, node(OTHER))
    });
    let page = world.get(&path("watch")).await;
    assert!(page.text().contains("<title>gate</title>"));
    let mut client = world.connect().await;
    client.send("HEAD", &path("stream.flv"), "").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    assert_eq!(world.relays.opened(), 0, "nobody wants to see it yet");
    let mut client = world.connect().await;
    client.send("GET", &path("stream.flv"), "").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    let mut start = [0; 4];
    let read = client.0.read_exact(&mut start);
    timeout(LIMIT, read).await.expect("in time").expect("reads");
    assert_eq!(start, *b"FLV\x01");
    assert_eq!(world.relays.opened(), 1);
    // Its view policy is known here, too.
    let other = world.get(&path("index.m3u8")).await;
    assert_eq!(other.status, 429, "{}", other.text());
}
