//! The directory over the watch: whoever watches, through whichever controller and from whatever
//! cursor, comes to know the same.

use std::collections::BTreeMap;

use headworks_types::{
    CameraId, CameraUpdate, NodeId, NodeState,
    edge::{DirectoryUpdate, Peer, Route, WatchMessage},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::edge_cluster::{Cluster, Edge, Watch, spec};

/// An edge's copy, and the watch that brings what is new.
struct Copy {
    watch: Watch,
    cursor: i64,
    peers: BTreeMap<NodeId, Peer>,
    routes: BTreeMap<CameraId, Route>,
    /// How often it was told everything.
    complete: usize,
}

impl Copy {
    async fn new(edge: &Edge) -> Self {
        Self {
            watch: edge.watch_with(0, Some(0)).await,
            cursor: 0,
            peers: BTreeMap::new(),
            routes: BTreeMap::new(),
            complete: 0,
        }
    }

    /// Watches on, through another connection.
    async fn again(&mut self, edge: &Edge) {
        self.watch = edge.watch_with(0, Some(self.cursor)).await;
        self.complete = 0;
    }

    /// Takes the next update, whole.
    async fn update(&mut self) {
        let mut update = self.line().await;
        while update.more {
            let next = self.line().await;
            update.append(next);
        }
        if update.complete {
            self.complete += 1;
            self.peers.clear();
            self.routes.clear();
        }
        self.cursor = update.cursor;
        self.peers
            .retain(|id, _| !update.removed_peers.contains(id));
        self.routes
            .retain(|id, _| !update.removed_routes.contains(id));
        self.peers
            .extend(update.peers.into_iter().map(|peer| (peer.id, peer)));
        let routes = update.routes.into_iter();
        self.routes
            .extend(routes.map(|route| (route.camera_id, route)));
    }

    async fn line(&mut self) -> DirectoryUpdate {
        loop {
            match self.watch.next().await.expect("the watch goes on") {
                WatchMessage::Directory(update) => return update,
                WatchMessage::Delta { .. }
                | WatchMessage::Snapshot { .. }
                | WatchMessage::Bundle(_)
                | WatchMessage::Bookmark { .. } => {}
            }
        }
    }

    /// Takes updates until it is so.
    async fn until(&mut self, wanted: impl Fn(&Self) -> bool) {
        while !wanted(self) {
            self.update().await;
        }
    }

    fn knows(&self, name: &str) -> bool {
        self.routes.values().any(|route| route.camera_name == name)
    }
}

fn pulled(name: &str) -> Value {
    json!({"name": name, "source": {"type": "pull", "url": "rtsp://10.0.0.1/1"}})
}

fn camera_change(change: Value) -> CameraUpdate {
    serde_json::from_value(change).expect("is a change")
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_edge_learns_of_all_nodes_and_cameras_and_of_each_change(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let (one, _alive) = cluster.living_edge("edge-1").await;
    let mut copy = Copy::new(&one).await;
    let gate = cluster.camera(pulled("gate")).await;
    copy.until(|copy| {
        copy.routes
            .get(&gate.id)
            .is_some_and(|gate| gate.origin == Some(one.id))
    })
    .await;
    assert_eq!(copy.complete, 1);
    let route = &copy.routes[&gate.id];
    assert_eq!((route.camera_name.as_str(), route.epoch), ("gate", 1));
    assert_eq!(copy.peers[&one.id].state, NodeState::Ready);

    let other = cluster.join("edge-2").await;
    copy.until(|copy| copy.peers.contains_key(&other.id)).await;
    assert_eq!(
        copy.peers[&other.id].state,
        NodeState::Suspect,
        "it has not come yet"
    );
    let mut described = spec("edge-2");
    described.relay = Some("https://10.0.0.2:8445/".parse().expect("is a URL"));
    other
        .client
        .node_announce(&described)
        .await
        .expect("announces");
    other.renew(false).await;
    copy.until(|copy| {
        let other = &copy.peers[&other.id];
        other.relay == described.relay && other.state == NodeState::Ready
    })
    .await;
    other.renew(true).await;
    copy.until(|copy| copy.peers[&other.id].state == NodeState::Dead)
        .await;
    cluster.admin.node_revoke(other.id).await.expect("revokes");
    copy.until(|copy| !copy.peers.contains_key(&other.id)).await;

    for (change, gone) in [
        (
            json!({"viewing": {"max_viewers": 3, "sensitive": true}}),
            false,
        ),
        (json!({"enabled": false}), true),
        (json!({"enabled": true, "viewing": {}}), false),
    ] {
        let changed = cluster
            .admin
            .camera_update(gate.id, &camera_change(change))
            .await;
        let viewing = changed.expect("changes").viewing;
        copy.until(|copy| match copy.routes.get(&gate.id) {
            Some(route) => !gone && route.view.max_viewers == viewing.max_viewers,
            None => gone,
        })
        .await;
    }
    cluster.admin.camera_delete(gate.id).await.expect("deletes");
    copy.until(|copy| !copy.routes.contains_key(&gate.id)).await;
    assert_eq!(
        copy.complete, 1,
        "everything but the first was a difference"
    );
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_cursor_is_good_with_every_controller_and_not_beyond_the_present(pool: PgPool) {
    let first = Cluster::start(&pool).await;
    let second = first.replica(&pool).await;
    let edge = first.join("edge-1").await;
    let there = edge.through(&second);
    first.camera(pulled("gate")).await;
    let mut copy = Copy::new(&edge).await;
    copy.until(|copy| copy.knows("gate")).await;
    first.camera(pulled("door")).await;
    copy.until(|copy| copy.knows("door")).await;

    // Whatever the other controller has read by now.
    first.camera(pulled("yard")).await;
    copy.again(&there).await;
    copy.until(|copy| copy.knows("yard")).await;
    assert_eq!(copy.complete, 0);
    first.camera(pulled("roof")).await;
    copy.again(&edge).await;
    copy.until(|copy| copy.knows("roof")).await;
    assert_eq!((copy.complete, copy.routes.len()), (0, 4));

    for (other, why) in [
        (copy.cursor + (1 << 30), "the database was set back"),
        (copy.cursor ^ (1 << 50), "another one has taken over"),
        (i64::MAX, "nobody ever said that"),
    ] {
        copy.cursor = other;
        copy.routes.clear();
        copy.again(&there).await;
        copy.until(|copy| copy.knows("roof")).await;
        assert_eq!((copy.complete, copy.routes.len()), (1, 4), "{why}");
    }

    // An edge of before there were directories.
    let mut watch = edge.watch(0).await;
    first.camera(pulled("shed")).await;
    copy.until(|copy| copy.knows("shed")).await;
    let told = first.admin.node_view(edge.id).await.expect("views");
    assert_eq!(told.id, edge.id);
    first.stop().await;
    second.stop().await;
    while let Some(message) = watch.next().await {
        assert!(
            !matches!(message, WatchMessage::Directory(_)),
            "{message:?}"
        );
    }
}

/// Changes something, through the API.
async fn change(cluster: &Cluster, cameras: &mut Vec<CameraId>, random: &mut StdRng) {
    let admin = &cluster.admin;
    let groups = admin.camera_group_list().await.expect("lists").items;
    let group = groups.choose(random).map(|group| group.id);
    let camera = cameras.choose(random).copied();
    match (random.random_range(0..8), camera) {
        (0 | 1, _) | (_, None) => {
            let mut body = pulled(&format!("camera {}", cameras.len()));
            body["group_id"] = json!(group);
            body["enabled"] = json!(random.random_bool(0.8));
            cameras.push(cluster.camera(body).await.id);
        }
        (2, _) => {
            let body = serde_json::from_value(json!({"name": "group", "parent_id": group}));
            let created = admin.camera_group_create(&body.expect("is a group")).await;
            created.expect("creates a group");
        }
        (3, _) => {
            let moved = groups.choose(random).map(|group| group.id);
            let change = serde_json::from_value(json!({"parent_id": group}));
            if let Some(moved) = moved {
                // Not into itself; who tries is refused.
                let change = change.expect("is a change");
                admin.camera_group_update(moved, &change).await.ok();
            }
        }
        (4, Some(camera)) => {
            cameras.retain(|other| *other != camera);
            admin.camera_delete(camera).await.expect("deletes");
        }
        (kind, Some(camera)) => {
            let change = match kind {
                5 => json!({"group_id": group}),
                6 => json!({"enabled": random.random_bool(0.7)}),
                _ => json!({"viewing": {"max_viewers": random.random_range(1..9)}}),
            };
            let changed = admin.camera_update(camera, &camera_change(change)).await;
            changed.expect("changes the camera");
        }
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn whatever_changes_the_difference_makes_an_old_copy_a_fresh_one(pool: PgPool) {
    let first = Cluster::start(&pool).await;
    let second = first.replica(&pool).await;
    let (edge, _alive) = first.living_edge("edge-1").await;
    let mut large = spec("edge-1");
    large.capacity = 1000;
    edge.client.node_announce(&large).await.expect("announces");
    let (other, alive) = first.living_edge("edge-2").await;
    let there = edge.through(&second);
    let mut random = StdRng::seed_from_u64(7);
    let (mut cameras, mut copies) = (Vec::new(), Vec::new());
    for round in 0..5 {
        copies.push(Copy::new(if round % 2 == 0 { &edge } else { &there }).await);
        for _ in 0..12 {
            change(&first, &mut cameras, &mut random).await;
        }
        for copy in &mut copies {
            copy.update().await;
            if random.random_bool(0.5) {
                copy.again(if random.random_bool(0.5) {
                    &edge
                } else {
                    &there
                })
                .await;
            }
        }
    }
    // Its work goes to the first.
    alive.cancel();
    other.renew(true).await;
    let mut fresh = Copy::new(&there).await;
    let settled = |copy: &Copy| {
        let mut routes = copy.routes.values();
        routes.all(|route| route.origin == Some(edge.id)) && !copy.routes.is_empty()
    };
    let last = first.camera(pulled("the last")).await;
    let done = |copy: &Copy| copy.routes.contains_key(&last.id) && settled(copy);
    fresh.until(done).await;
    for copy in &mut copies {
        copy.until(done).await;
        assert_eq!((&copy.peers, &copy.routes), (&fresh.peers, &fresh.routes));
    }
    first.stop().await;
    second.stop().await;
}
