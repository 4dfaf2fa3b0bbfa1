//! Published cameras: placed like others, with keys that their edge checks by itself.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use headworks_types::{
    Camera, CameraState, OnConflict, ProblemCode, PublishProtocol, Publisher, RefusedPublisher,
    Secret, StreamKey, StreamKeyBounds, StreamKeyCreate, StreamKeyCreated, StreamKeyRotate,
    StreamKeyUpdate, StreamKeyUse,
    edge::{DesiredSlot, SlotReport, SlotState, StreamKeyDigest, WatchMessage, Work},
};
use serde_json::json;
use sqlx::PgPool;

use crate::edge_cluster::{Cluster, Edge, Watch, gate};

/// A camera on an edge, and what the edge is told of it.
struct World {
    cluster: Cluster,
    edge: Edge,
    watch: Watch,
    camera: Camera,
    slot: DesiredSlot,
}

impl World {
    async fn start(pool: &PgPool) -> Self {
        let cluster = Cluster::start(pool).await;
        let (edge, _) = cluster.living_edge("edge-1").await;
        let mut watch = edge.watch(0).await;
        watch.after_bundle().await;
        let camera = json!({"name": "stage", "source": {"type": "publish"}});
        let camera = cluster.camera(camera).await;
        let slot = upsert(&mut watch).await;
        Self {
            cluster,
            edge,
            watch,
            camera,
            slot,
        }
    }

    async fn create(&self, name: &str, on_conflict: OnConflict) -> StreamKeyCreated {
        let key = StreamKeyCreate {
            on_conflict,
            ..StreamKeyCreate::named(name)
        };
        let created = self.cluster.admin.stream_key_create(self.camera.id, &key);
        created.await.expect("creates a key")
    }

    /// The keys of the next change that the edge is told of.
    async fn keys(&mut self) -> Vec<StreamKeyDigest> {
        let slot = upsert(&mut self.watch).await;
        assert_eq!((slot.key, slot.epoch), (self.slot.key, self.slot.epoch));
        keys(slot)
    }
}

async fn upsert(watch: &mut Watch) -> DesiredSlot {
    match watch.delta().await {
        WatchMessage::Delta {
            mut upsert, remove, ..
        } => {
            assert_eq!((upsert.len(), remove.len()), (1, 0));
            upsert.remove(0)
        }
        other => panic!("not a delta: {other:?}"),
    }
}

fn keys(slot: DesiredSlot) -> Vec<StreamKeyDigest> {
    let Work::Ingest(work) = slot.work else {
        panic!("not an ingest")
    };
    work.stream_keys
}

fn digest_of(key: &Secret) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, key.expose().as_bytes()))
}

#[sqlx::test(migrations = "../../migrations")]
async fn every_change_of_a_key_reaches_the_edge(pool: PgPool) {
    let mut world = World::start(&pool).await;
    assert_eq!(keys(world.slot.clone()), [], "nobody may publish yet");

    let first = world.create("obs", OnConflict::Takeover).await;
    let told = world.keys().await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].id, first.stream_key.id);
    assert_eq!(told[0].lookup, first.stream_key.lookup);
    assert_eq!(told[0].digest, digest_of(&first.secret));
    assert_eq!(told[0].on_conflict, OnConflict::Takeover);
    assert_eq!(told[0].expires_at, None);

    let grace = StreamKeyRotate { grace_seconds: 60 };
    let admin = world.cluster.admin.clone();
    let rotated = admin.stream_key_rotate(first.stream_key.id, &grace);
    let second = rotated.await.expect("rotates");
    assert_eq!(second.stream_key.on_conflict, OnConflict::Takeover);
    let told = world.keys().await;
    let digests: Vec<_> = told.iter().map(|key| key.digest.clone()).collect();
    assert_eq!(digests, [&first.secret, &second.secret].map(digest_of));
    assert!(told[0].expires_at.is_some(), "the edge ends the old one");

    let third = world.create("drone", OnConflict::Reject).await;
    assert_eq!(world.keys().await.len(), 3);
    for gone in [first.stream_key.id, second.stream_key.id] {
        admin.stream_key_revoke(gone).await.expect("revokes");
        let told = world.keys().await;
        assert!(told.iter().all(|key| key.id != gone));
    }
    admin
        .stream_key_rotate(third.stream_key.id, &StreamKeyRotate::default())
        .await
        .expect("rotates");
    let told = world.keys().await;
    assert_eq!(told.len(), 1);
    assert_ne!(
        told[0].id, third.stream_key.id,
        "without grace it has ended"
    );

    let anew = world.edge.watch(0).await.after_bundle().await;
    let WatchMessage::Snapshot { mut slots, .. } = anew else {
        panic!("not a snapshot: {anew:?}");
    };
    assert_eq!(keys(slots.remove(0)), told);
    let camera = admin.camera_view(world.camera.id).await.expect("views");
    assert_eq!(camera.updated_at, world.camera.updated_at, "it is the same");
    world.cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_pulled_camera_has_no_keys(pool: PgPool) {
    let mut world = World::start(&pool).await;
    let mut pulled = gate();
    pulled["name"] = json!("pulled");
    let pulled = world.cluster.camera(pulled).await;
    upsert(&mut world.watch).await;
    let key = StreamKeyCreate::named("obs");
    let admin = world.cluster.admin.clone();
    let refused = admin.stream_key_create(pulled.id, &key).await;
    let refused = refused.expect_err("is refused");
    assert_eq!(refused.code(), Some(ProblemCode::Conflict));
    // Nothing is said of it before the next change.
    world.create("next", OnConflict::Reject).await;
    assert_eq!(world.keys().await.len(), 1);
    let camera = admin.camera_view(pulled.id).await.expect("views");
    assert_eq!(camera.publish_urls, None);
    world.cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_api_says_where_to_publish(pool: PgPool) {
    let world = World::start(&pool).await;
    let (id, admin) = (world.camera.id, &world.cluster.admin);
    assert_eq!(world.camera.publish_urls, None, "it was on no node yet");
    let camera = admin.camera_view(id).await.expect("views");
    let urls = camera.publish_urls.expect("it is placed");
    let rtmp = urls.rtmp.expect("the edge has RTMP");
    assert_eq!(rtmp.url.as_str(), format!("rtmp://edge-1:1935/live/{id}"));
    assert_eq!(rtmp.stream_key.expose(), format!("{id}?key=hwsk_…"));
    assert_eq!(urls.rtmps, None, "the edge has no TLS");

    let created = world.create("obs", OnConflict::Reject).await;
    let urls = created.publish_urls.expect("it is placed");
    let key = format!("{id}?key={}", created.secret.expose());
    let rtmp = urls.rtmp.expect("the edge has RTMP");
    assert_eq!(rtmp.url.as_str(), format!("rtmp://edge-1:1935/live/{key}"));
    assert_eq!(rtmp.server.as_str(), "rtmp://edge-1:1935/live");
    assert_eq!(rtmp.stream_key.expose(), key);
    let rtsp = urls.rtsp.expect("the edge has RTSP");
    assert_eq!(rtsp.as_str(), format!("rtsp://edge-1:8554/live/{key}"));

    let listed = admin.camera_list().await.expect("lists").items;
    let shown = serde_json::to_string(&listed).expect("serializes");
    assert!(shown.contains("rtmp://edge-1:1935/live"), "{shown}");
    assert!(!shown.contains(created.secret.expose()), "{shown}");
    world.cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn without_a_node_there_is_a_reason_instead_of_an_address(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let camera = json!({"name": "stage", "source": {"type": "publish"}});
    let camera = cluster.camera(camera).await;
    let refused = cluster
        .camera_when(&camera, "the planner has looked", |camera| {
            camera.status.reason == "no node has joined the cluster"
        })
        .await;
    assert_eq!(refused.status.state, CameraState::Unplaced);
    assert_eq!(refused.publish_urls, None);
    let key = StreamKeyCreate::named("obs");
    let created = cluster.admin.stream_key_create(camera.id, &key).await;
    assert_eq!(created.expect("creates").publish_urls, None);
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn who_publishes_and_who_was_refused_is_seen(pool: PgPool) {
    let world = World::start(&pool).await;
    let created = world.create("obs", OnConflict::Reject).await;
    let publisher = Publisher {
        protocol: PublishProtocol::Rtmps,
        address: "192.0.2.7:50312".parse().expect("parses"),
        stream_key_id: created.stream_key.id,
        since: world.camera.created_at,
    };
    let refused = RefusedPublisher {
        at: world.camera.created_at,
        address: "[2001:db8::1]:50313".parse().expect("parses"),
        reason: "the stream key is\u{0} revoked".to_owned(),
    };
    let report = |state, message: &str, publisher: Option<&Publisher>| SlotReport {
        key: world.slot.key,
        epoch: world.slot.epoch,
        state,
        message: message.to_owned(),
        since: world.camera.created_at,
        tracks: Vec::new(),
        viewers: 0,
        publisher: publisher.cloned(),
        refused: Some(refused.clone()),
        published: Vec::new(),
        restream: None,
        usage: None,
    };
    let reports = |report| *world.edge.reports.lock().expect("not poisoned") = vec![report];
    let seen = async |what, state| {
        let good = |camera: &Camera| camera.status.state == state;
        world.cluster.camera_when(&world.camera, what, good).await
    };

    reports(report(SlotState::Live, "live", Some(&publisher)));
    let live = seen("it is live", CameraState::Live).await.status;
    assert_eq!(live.publisher, Some(publisher));
    let shown = live.refused.expect("is shown");
    assert_eq!(shown.reason, "the stream key is  revoked");
    assert_eq!((shown.at, shown.address), (refused.at, refused.address));

    let waits = "waits for its publisher";
    reports(report(SlotState::Idle, waits, None));
    let idle = seen("it waits", CameraState::Idle).await.status;
    assert_eq!((idle.message.as_str(), idle.publisher), (waits, None));
    assert!(idle.refused.is_some());
    world.cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_change_of_bounds_reaches_the_edge(pool: PgPool) {
    let mut world = World::start(&pool).await;
    let created = world.create("obs", OnConflict::Reject).await;
    assert_eq!(world.keys().await[0].bounds, StreamKeyBounds::default());
    let bounds = json!({
        "networks": ["10.20.0.0/16"], "protocols": ["rtsps"], "max_bitrate_kbit": 4000,
    });
    let change: StreamKeyUpdate = serde_json::from_value(bounds.clone()).expect("parses");
    let admin = world.cluster.admin.clone();
    let id = created.stream_key.id;
    let changed = admin.stream_key_update(id, &change).await.expect("changes");
    let wanted: StreamKeyBounds = serde_json::from_value(bounds).expect("parses");
    assert_eq!(changed.bounds, wanted);
    let told = world.keys().await;
    assert_eq!((told.len(), &told[0].bounds), (1, &wanted));

    let rotated = admin.stream_key_rotate(id, &StreamKeyRotate::default());
    let rotated = rotated.await.expect("rotates");
    assert_eq!(world.keys().await[0].bounds, wanted);
    assert_eq!(rotated.publish_urls, None, "the edge has no RTSPS");
    let change = StreamKeyUpdate {
        protocols: Some(Some([PublishProtocol::Rtsp].into())),
        ..StreamKeyUpdate::default()
    };
    let id = rotated.stream_key.id;
    admin.stream_key_update(id, &change).await.expect("changes");
    let rotated = admin.stream_key_rotate(id, &StreamKeyRotate::default());
    let urls = rotated.await.expect("rotates").publish_urls;
    let urls = urls.expect("the edge has RTSP");
    assert!(urls.rtsp.is_some() && urls.rtmp.is_none());
    world.cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn who_used_a_key_last_and_from_where_is_seen(pool: PgPool) {
    let world = World::start(&pool).await;
    let first = world.create("obs", OnConflict::Reject).await.stream_key;
    let second = world.create("drone", OnConflict::Reject).await.stream_key;
    assert_eq!(first.last_used, None);
    let (stranger, _) = world.cluster.living_edge("edge-2").await;
    let publisher = |key: &StreamKey, address: &str, seconds| Publisher {
        protocol: PublishProtocol::Rtmps,
        address: address.parse().expect("parses"),
        stream_key_id: key.id,
        since: world.camera.created_at + TimeDelta::seconds(seconds),
    };
    let report = async |edge: &Edge, published: Vec<Publisher>| {
        let report = SlotReport {
            key: world.slot.key,
            epoch: world.slot.epoch,
            state: SlotState::Idle,
            message: "waits".to_owned(),
            since: world.camera.created_at,
            tracks: Vec::new(),
            viewers: 0,
            publisher: None,
            refused: None,
            published,
            restream: None,
            usage: None,
        };
        *edge.reports.lock().expect("not poisoned") = vec![report];
        edge.renew(false).await;
    };
    let used = async |key: &StreamKey| {
        let key = world.cluster.admin.stream_key_view(key.id).await;
        key.expect("views").last_used
    };
    let seen = |by: &Publisher| StreamKeyUse {
        at: by.since,
        address: by.address.ip(),
        protocol: by.protocol,
        node_id: world.edge.id,
    };
    let (old, new) = (
        publisher(&first, "192.0.2.7:50312", 0),
        publisher(&first, "[2001:db8::1]:50313", 5),
    );
    let other = publisher(&second, "192.0.2.8:50314", 1);
    // Whoever changes a key keeps no renewal waiting.
    let mut tx = pool.begin().await.expect("begins");
    #[expect(clippy::disallowed_methods, reason = "it only locks")]
    let locked = sqlx::query("SELECT id FROM stream_key FOR UPDATE").execute(&mut *tx);
    assert_eq!(locked.await.expect("locks").rows_affected(), 2);
    report(&world.edge, vec![new.clone()]).await;
    assert_eq!(used(&first).await, None);
    tx.rollback().await.expect("ends");
    report(&world.edge, vec![new.clone(), other.clone()]).await;
    assert_eq!(used(&first).await, Some(seen(&new)));
    assert_eq!(used(&second).await, Some(seen(&other)));
    let listed = world.cluster.admin.stream_key_list(world.camera.id).await;
    assert_eq!(listed.expect("lists").items[0].last_used, Some(seen(&new)));

    // What is old, what is far ahead, and what others say changes nothing.
    report(&world.edge, vec![old]).await;
    let ahead = publisher(&first, "192.0.2.9:1", 3600);
    report(&world.edge, vec![ahead]).await;
    report(&stranger, vec![publisher(&first, "192.0.2.9:1", 6)]).await;
    assert_eq!(used(&first).await, Some(seen(&new)));
    world.cluster.stop().await;
}
