//! Where viewers are sent: the edges that are named, their order, and who is turned away.

use headworks_client::Error;
use headworks_controller::Config;
use headworks_types::{
    Camera, CameraPlayback, CameraPlaybackRequest, CameraState, CameraUpdate, Event, EventKind,
    NodeLimits, NodeLoad, Problem, ProblemCode, edge::NodeSpec,
};
use serde_json::json;
use sqlx::PgPool;

use crate::{
    edge_cluster::{Cluster, Edge, eventually, gate, spec},
    harness, session,
};

/// Three edges with relays and a camera that the last one brings in: `edge-1` and `edge-2` are in
/// lyon, as this machine is, `edge-3` is in paris.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) edges: Vec<Edge>,
    pub(crate) gate: Camera,
}

/// What a controller is told that knows where lyon and paris are, and believes proxies of this
/// machine. A node that has renewed once lives as long as the test.
fn config(pool: &PgPool) -> Config {
    let zones = json!({"lyon": "127.0.0.0/8,::1", "paris": ["10.2.0.0/16"]});
    let long = std::time::Duration::from_secs(600);
    Config {
        zones: serde_json::from_value(zones).expect("parses"),
        trusted_proxies: serde_json::from_value("127.0.0.0/8".into()).expect("parses"),
        lease_suspect: long,
        lease_dead: 2 * long,
        ..harness::config(pool)
    }
}

/// A node that other edges reach; cameras can ask for it by its name.
fn relaying(name: &str, zone: &str, limits: NodeLimits) -> NodeSpec {
    NodeSpec {
        site: name.to_owned(),
        zone: zone.to_owned(),
        limits,
        relay: Some(format!("https://{name}:8445/").parse().expect("is a URL")),
        ..spec(name)
    }
}

async fn joined(cluster: &Cluster, spec: NodeSpec) -> Edge {
    let edge = cluster.join_as(spec).await;
    edge.renew(false).await;
    edge
}

/// A camera that this node brings in.
async fn camera_at(cluster: &Cluster, node: &str) -> Camera {
    let mut camera = gate();
    camera["placement"] = json!({"site": node});
    let camera = cluster.camera(camera).await;
    let is_placed = |camera: &Camera| camera.status.node_id.is_some();
    cluster.camera_when(&camera, "is placed", is_placed).await
}

impl World {
    pub(crate) async fn new(pool: &PgPool) -> Self {
        let cluster = Cluster::configured(config(pool), None).await;
        let mut edges = Vec::new();
        for (name, zone) in [("edge-1", "lyon"), ("edge-2", "lyon"), ("edge-3", "paris")] {
            let spec = relaying(name, zone, NodeLimits::default());
            edges.push(joined(&cluster, spec).await);
        }
        let gate = camera_at(&cluster, "edge-3").await;
        Self {
            cluster,
            edges,
            gate,
        }
    }

    pub(crate) async fn playback(&self, ask: serde_json::Value) -> CameraPlayback {
        let ask: CameraPlaybackRequest = serde_json::from_value(ask).expect("parses");
        let found = self.cluster.admin.camera_playback(self.gate.id, &ask).await;
        found.expect("is answered")
    }
}

fn names(playback: &CameraPlayback) -> Vec<&str> {
    let edges = playback.edges.iter();
    edges.map(|edge| edge.name.as_str()).collect()
}

/// Why there is nowhere to watch.
async fn refused(cluster: &Cluster, camera: &Camera) -> Problem {
    let ask = CameraPlaybackRequest::default();
    match cluster.admin.camera_playback(camera.id, &ask).await {
        Err(Error::Problem(problem)) => *problem,
        other => panic!("not refused: {other:?}"),
    }
}

async fn issued(cluster: &Cluster) -> usize {
    let events: Vec<Event> = cluster.admin.event_list().all().await.expect("lists");
    let of_tokens = events
        .iter()
        .filter(|event| event.kind == EventKind::PlaybackTokenIssued);
    of_tokens.count()
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_viewers_zone_comes_first_then_who_has_the_camera(pool: PgPool) {
    let world = Box::pin(World::new(&pool)).await;
    let here = world.playback(json!({})).await;
    assert_eq!(here.zone.as_deref(), Some("lyon"), "where the test runs");
    assert_eq!(names(&here)[2], "edge-3");
    assert_eq!(here.edges[2].reason, "in zone paris; brings the camera in");
    for edge in &here.edges[..2] {
        assert_eq!(edge.zone, "lyon");
        assert_eq!(edge.reason, "in your zone; gets the camera by a relay");
    }
    // Somebody watches at the second one: now it has the camera.
    let second = here.edges[1].node_id;
    let edge = world.edges.iter().find(|edge| edge.id == second);
    let edge = edge.expect("is one of them");
    let watching = session::opened(1, world.gate.id, "usr_00000000000000000000000000000001");
    let report = session::complete(edge.instance, 1, vec![watching]);
    assert!(
        edge.client
            .session_report(&report)
            .await
            .expect("is taken")
            .taken
    );
    let here = world.playback(json!({})).await;
    assert_eq!(here.edges[0].node_id, second);
    assert_eq!(here.edges[0].reason, "in your zone; has the camera already");
    for paris in [json!({"zone": "paris"}), json!({"address": "10.2.0.7"})] {
        let there = world.playback(paris).await;
        assert_eq!(there.zone.as_deref(), Some("paris"));
        assert_eq!(names(&there)[0], "edge-3");
        assert_eq!(there.edges[0].reason, "in your zone; brings the camera in");
    }
    let nowhere = world.playback(json!({"address": "192.0.2.7"})).await;
    assert_eq!(nowhere.zone, None);
    assert_eq!(nowhere.edges.len(), 3);
    world.cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_answer_has_a_token_and_every_address(pool: PgPool) {
    let world = Box::pin(World::new(&pool)).await;
    let (admin, id) = (&world.cluster.admin, world.gate.id);
    let ask = json!({"zone": "paris", "viewer_id": "ann", "expires_in_seconds": 60});
    let ask: CameraPlaybackRequest = serde_json::from_value(ask).expect("parses");
    let answer = admin.camera_playback(id, &ask).idempotency_key("one");
    let answer = answer.await.expect("is answered");
    let token = answer.token.expose();
    let watched = answer.watch_until - answer.expires_at;
    assert_eq!(watched.num_seconds(), 14_400 - 60);
    assert_eq!(answer.state, CameraState::Connecting, "{}", answer.message);
    let urls: Vec<_> = answer.edges[0].urls.named().collect();
    for (name, start) in [
        ("hls", "http://edge-3:8081"),
        ("flv_ws", "ws://edge-3:8081"),
        ("rtmp", "rtmp://edge-3:1935"),
        ("rtsp", "rtsp://edge-3:8554"),
    ] {
        let (_, url) = urls
            .iter()
            .find(|(found, _)| *found == name)
            .expect("is there");
        assert!(
            url.as_str().starts_with(&format!("{start}/live/{id}")),
            "{url}"
        );
        assert_eq!(url.query(), Some(&*format!("token={token}")));
    }
    let again = admin.camera_playback(id, &ask).idempotency_key("one");
    assert_eq!(again.await.expect("is answered"), answer);
    assert_eq!(issued(&world.cluster).await, 1);
    for (wrong, pointer) in [
        (json!({"zone": ""}), "/zone"),
        (json!({"address": "here"}), "/address"),
        (json!({"watch_seconds": 1}), "/watch_seconds"),
    ] {
        let ask = serde_json::from_value(wrong).expect("parses");
        let refused = admin.camera_playback(id, &ask).await;
        match refused {
            Err(Error::Problem(problem)) => assert_eq!(problem.errors[0].pointer, pointer),
            other => panic!("not refused: {other:?}"),
        }
    }
    world.cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn who_is_full_takes_nobody_until_it_is_clearly_not(pool: PgPool) {
    let cluster = Cluster::configured(config(&pool), None).await;
    let limits = NodeLimits {
        max_viewers: Some(10),
        max_egress_mbit: Some(100),
    };
    let edge = joined(&cluster, relaying("edge-1", "lyon", limits)).await;
    let gone = joined(&cluster, relaying("edge-2", "lyon", limits)).await;
    gone.renew(true).await;
    let gate = camera_at(&cluster, "edge-1").await;
    let admin = &cluster.admin;
    let load = async |viewers, sent_kbit| {
        *edge.load.lock().expect("not poisoned") = NodeLoad {
            viewers,
            sent_kbit,
            ..NodeLoad::default()
        };
        edge.renew(false).await;
        let node = admin.node_view(edge.id).await.expect("views");
        assert_eq!((node.limits, node.load.viewers), (limits, viewers));
        node.full
    };
    assert!(!load(9, 0).await, "has not been full");
    assert!(load(10, 0).await);
    let expected =
        "no edge has room for another viewer: edge-1 full (10 of 10 viewers), edge-2 dead";
    let code = eventually("nobody is let in", async || {
        let ask = CameraPlaybackRequest::default();
        match admin.camera_playback(gate.id, &ask).await {
            Ok(_) => None,
            Err(error) => Some(error.code()),
        }
    })
    .await;
    assert_eq!(code, Some(ProblemCode::Full));
    let told = refused(&cluster, &gate).await;
    assert_eq!((told.status, told.detail.as_deref()), (503, Some(expected)));
    let before = issued(&cluster).await;
    refused(&cluster, &gate).await;
    assert_eq!(issued(&cluster).await, before, "no token without a place");
    assert!(load(9, 0).await, "has been full");
    assert!(!load(8, 0).await);
    assert!(!load(9, 0).await, "has not been full since");
    eventually("somebody is let in", async || {
        let ask = CameraPlaybackRequest::default();
        admin.camera_playback(gate.id, &ask).await.ok()
    })
    .await;
    // What it sends counts, too.
    assert!(load(1, 100_000).await);
    assert!(load(1, 90_000).await);
    eventually("it is said what is full", async || {
        let ask = CameraPlaybackRequest::default();
        let error = admin.camera_playback(gate.id, &ask).await.err()?;
        let words = error.to_string();
        words
            .contains("edge-1 full (90 of 100 Mbit/s)")
            .then_some(())
    })
    .await;
    assert!(!load(1, 89_000).await);
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn nobody_is_sent_to_a_camera_that_cannot_come(pool: PgPool) {
    let world = Box::pin(World::new(&pool)).await;
    let admin = &world.cluster.admin;
    let mut nowhere = gate();
    nowhere["placement"] = json!({"site": "berlin"});
    let nowhere = world.cluster.camera(nowhere).await;
    let has_reason = |camera: &Camera| camera.status.reason.contains("berlin");
    let nowhere = world
        .cluster
        .camera_when(&nowhere, "the planner says why", has_reason)
        .await;
    let told = refused(&world.cluster, &nowhere).await;
    assert_eq!(told.code, ProblemCode::NoPicture);
    assert_eq!(told.detail, Some(nowhere.status.reason));
    let off = CameraUpdate {
        enabled: Some(false),
        ..CameraUpdate::default()
    };
    admin
        .camera_update(world.gate.id, &off)
        .await
        .expect("is changed");
    let told = refused(&world.cluster, &world.gate).await;
    assert_eq!(told.code, ProblemCode::Conflict);
    assert_eq!(told.detail.as_deref(), Some("the camera is disabled"));
    assert_eq!(issued(&world.cluster).await, 0);
    world.cluster.stop().await;
}
