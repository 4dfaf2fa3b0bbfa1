//! What the edge knows of the others: as it was told, and from disk.

use headworks_types::{
    Advertise, NodeId, NodeState,
    edge::{DirectoryUpdate, Peer, Route},
};

use super::*;

fn peer(number: u128) -> Peer {
    Peer {
        id: NodeId::from(Uuid::from_u128(number)),
        name: format!("edge-{number}"),
        site: "lyon".to_owned(),
        zone: "eu".to_owned(),
        relay: Some("https://10.0.0.1:8445/".parse().expect("is a URL")),
        advertise: Advertise::new("http://10.0.0.1:8081/".parse().expect("is a URL")),
        state: NodeState::Ready,
        draining: false,
        full: false,
    }
}

fn route(camera: u128, origin: u128) -> Route {
    Route {
        camera_id: CameraId::from(Uuid::from_u128(camera)),
        project_id: ProjectId::from(Uuid::nil()),
        camera_name: format!("camera {camera}"),
        origin: Some(NodeId::from(Uuid::from_u128(origin))),
        epoch: 1,
        view: edge::ViewPolicy::default(),
    }
}

/// Everything, in two parts.
fn everything() -> [WatchMessage; 2] {
    let first = DirectoryUpdate {
        cursor: 40,
        complete: true,
        more: true,
        peers: vec![peer(1), peer(2)],
        ..DirectoryUpdate::default()
    };
    let last = DirectoryUpdate {
        cursor: 40,
        complete: true,
        routes: vec![route(1, 1), route(2, 2)],
        ..DirectoryUpdate::default()
    };
    [first, last].map(WatchMessage::Directory)
}

fn change(cursor: i64, routes: Vec<Route>) -> WatchMessage {
    WatchMessage::Directory(DirectoryUpdate {
        cursor,
        routes,
        ..DirectoryUpdate::default()
    })
}

/// Waits until the edge was told up to `cursor`.
async fn told(known: &Directory, cursor: i64) {
    let mut changes = known.changes();
    let here = changes.wait_for(|_| known.entries().cursor == cursor);
    soon(here).await.expect("the directory lives");
}

async fn watched(controller: &Controller, times: usize) -> Vec<i64> {
    let mut cursors = controller.0.cursors.subscribe();
    let all = soon(cursors.wait_for(|all| all.len() >= times)).await;
    all.expect("the controller lives").clone()
}

#[tokio::test]
async fn an_edge_that_starts_without_a_controller_knows_all_others_and_all_cameras() {
    let tasks = Tasks::new();
    let controller = Controller::start(&tasks).await;
    let [first, last] = everything();
    controller.first(vec![snapshot(4, vec![]), first, last]);
    let mut edge = Edge::new(&controller.0.url);
    let running = tasks.child();
    edge.start(&running).await;
    told(&edge.known, 40).await;
    controller.say(change(41, vec![route(2, 1)])).await;
    told(&edge.known, 41).await;
    stop(&running).await;
    let before = edge.known.entries().clone();
    assert_eq!((before.peers.len(), before.routes.len()), (2, 2));

    edge.known = Directory::default();
    edge.config.controller_url = Some("https://127.0.0.1:1/".parse().expect("is a URL"));
    let running = tasks.child();
    let (agent, ..) = edge.load(&running);
    assert_eq!(*edge.known.entries(), before);
    drop(agent);

    edge.known = Directory::default();
    edge.config.controller_url = Some(controller.0.url.clone());
    let nothing_new = change(42, vec![]);
    controller.first(vec![snapshot(4, vec![]), nothing_new]);
    let running = tasks.child();
    edge.start(&running).await;
    assert_eq!(
        watched(&controller, 2).await,
        [0, 41],
        "it asks for the difference"
    );
    told(&edge.known, 42).await;
    assert_eq!(edge.known.entries().routes, before.routes);
    stop(&tasks).await;
}

#[tokio::test]
async fn half_an_update_counts_for_nothing() {
    let tasks = Tasks::new();
    let controller = Controller::start(&tasks).await;
    controller.first(vec![snapshot(4, vec![]), change(39, vec![route(7, 1)])]);
    let edge = Edge::new(&controller.0.url);
    edge.start(&tasks).await;
    told(&edge.known, 39).await;
    let [first, last] = everything();
    controller.say(first.clone()).await;
    controller.first(vec![snapshot(5, vec![]), last]);
    controller.hang_up();
    assert_eq!(watched(&controller, 2).await, [0, 39]);
    // The second watch began in the middle of nothing: its only part is everything that it says.
    told(&edge.known, 40).await;
    let entries = edge.known.entries().clone();
    assert_eq!((entries.peers.len(), entries.routes.len()), (0, 2));
    stop(&tasks).await;
}

#[tokio::test]
async fn a_damaged_file_is_asked_for_anew() {
    let tasks = Tasks::new();
    let controller = Controller::start(&tasks).await;
    let [first, last] = everything();
    controller.first(vec![snapshot(4, vec![]), first, last]);
    let edge = Edge::new(&controller.0.url);
    let file = edge.path().join("directory.json");
    std::fs::write(&file, "{\"cursor\": 40, \"complete\": tr").expect("writes");
    edge.start(&tasks).await;
    assert_eq!(watched(&controller, 1).await, [0]);
    told(&edge.known, 40).await;
    stop(&tasks).await;
    let saved = std::fs::read_to_string(&file).expect("is there");
    assert!(
        saved.starts_with("{\"cursor\":40,\"complete\":true,"),
        "{saved}"
    );
}
