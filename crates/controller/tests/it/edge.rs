//! `/edge/v1` over real HTTP: joining, leases, the watch, and who learns what.

use headworks_types::{
    CameraState, CameraUpdate, Codec, EventKind, NodeState, ProblemCode, Track, TrackKind,
    edge::{NO_REVISION, SlotReport, SlotState, WatchMessage, Work},
};
use sqlx::PgPool;

use crate::edge_cluster::{Cluster, eventually, gate, join_request, new_key, spec};

#[sqlx::test(migrations = "../../migrations")]
async fn an_edge_joins_says_what_it_is_and_lives(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let edge = cluster.join("edge-1").await;
    let node = cluster.admin.node_view(edge.id).await.expect("views");
    assert_eq!(node.state, NodeState::Suspect);
    assert_eq!(node.message, "has joined, but has not reported yet");

    let grant = edge.renew(false).await;
    assert_eq!(
        (grant.renew_in_ms, grant.expires_in_ms, grant.revision),
        (2000, 10_000, 1)
    );
    let node = cluster.admin.node_view(edge.id).await.expect("views");
    assert_eq!((node.state, node.capacity), (NodeState::Ready, 10));
    assert!(node.last_seen_at.is_some());

    let mut changed = spec("edge-one");
    changed.capacity = 7;
    edge.client
        .node_announce(&changed)
        .await
        .expect("announces");
    let node = cluster.admin.node_view(edge.id).await.expect("views");
    assert_eq!((node.name.as_str(), node.capacity), ("edge-one", 7));

    let mut renewal = edge.renewal(false);
    renewal.apply_error = Some("disk full".to_owned());
    edge.client.lease_renew(&renewal).await.expect("renews");
    let node = cluster.admin.node_view(edge.id).await.expect("views");
    assert_eq!(
        node.message,
        "renews its lease; it could not apply its work: disk full"
    );
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_taken_name_is_refused_with_a_hint(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    cluster.join("edge-1").await;
    let other = cluster.join("edge-2").await;
    let token = cluster.join_token().await;
    let refused = cluster
        .joining(&token)
        .node_join(&join_request(&token, "edge-1", &new_key()))
        .await
        .expect_err("is taken");
    assert_eq!(refused.code(), Some(ProblemCode::Conflict));
    assert!(
        refused.to_string().contains("old data directory"),
        "{refused}"
    );
    let refused = other
        .client
        .node_announce(&spec("edge-1"))
        .await
        .expect_err("is taken");
    assert_eq!(refused.code(), Some(ProblemCode::Conflict));
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_edge_without_its_data_takes_the_place_of_the_one_that_is_gone(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let lost = cluster.join("edge-1").await;
    let goodbye = lost.renewal(true);
    lost.client.lease_renew(&goodbye).await.expect("renews");
    let back = cluster.join("edge-1").await;
    assert_eq!(back.id, lost.id);
    let renewal = back.renewal(false);
    back.client.lease_renew(&renewal).await.expect("renews");
    let node = cluster.admin.node_view(back.id).await.expect("views");
    assert_eq!(node.message, "renews its lease");
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn only_a_good_join_token_opens_the_door(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let client = cluster.joining(&cluster.join_token().await);
    let join = async |token: &str| {
        let token = token.to_owned().into();
        let refused = client
            .node_join(&join_request(&token, "edge-1", &new_key()))
            .await
            .expect_err("is refused");
        assert_eq!(
            refused.code(),
            Some(ProblemCode::Unauthenticated),
            "{refused}"
        );
        refused.to_string()
    };
    let good = cluster.join_token().await;
    let (token, _) = good.expose().split_once('.').expect("has a fingerprint");
    let (rest, last) = token.split_at(token.len() - 1);
    let wrong = format!("{rest}{}", if last == "A" { 'B' } else { 'A' });
    for unknown in [
        "",
        "hwjt_x",
        wrong.as_str(),
        &good.expose().replace("hwjt", "hwak"),
    ] {
        assert_eq!(join(unknown).await, "the join token is not known");
    }

    sqlx::query!("UPDATE join_token SET expires_at = clock_timestamp() - interval '1 s'")
        .execute(&pool)
        .await
        .expect("expires");
    let expired = join(good.expose()).await;
    assert_eq!(expired, "the join token has expired; create a new one");

    let good = cluster.join_token().await;
    let tokens = cluster.admin.join_token_list().await.expect("lists");
    let newest = tokens.items.last().expect("there is one");
    let revoked = cluster
        .admin
        .join_token_revoke(newest.id)
        .await
        .expect("revokes");
    assert!(revoked.revoked_at.is_some());
    assert_eq!(join(good.expose()).await, "the join token was revoked");
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_holder_is_told_everything_and_nobody_else_anything(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let (holder, _alive) = cluster.living_edge("edge-1").await;
    let mut watch = holder.watch(0).await;
    let first = watch.after_bundle().await;
    assert_eq!(
        first,
        WatchMessage::Snapshot {
            revision: 1,
            slots: vec![]
        }
    );

    let camera = cluster.camera(gate()).await;
    let WatchMessage::Delta { upsert, remove, .. } = watch.delta().await else {
        panic!("not a delta");
    };
    assert_eq!((upsert.len(), remove.len()), (1, 0));
    assert_eq!((upsert[0].key.camera_id, upsert[0].epoch), (camera.id, 1));
    let Work::Ingest(work) = &upsert[0].work else {
        panic!("not to be brought in");
    };
    let credentials = work.credentials.as_ref().expect("the holder gets them");
    assert_eq!(credentials.username, "root");
    assert_eq!(credentials.password.expose(), "p@ss:w/rd");

    let (other, _alive) = cluster.living_edge("edge-2").await;
    let mut nothing = other.watch(0).await;
    let first = nothing.after_bundle().await;
    assert_eq!(
        first,
        WatchMessage::Snapshot {
            revision: 1,
            slots: vec![]
        }
    );

    let update = CameraUpdate {
        name: Some("door".to_owned()),
        ..CameraUpdate::default()
    };
    cluster
        .admin
        .camera_update(camera.id, &update)
        .await
        .expect("updates");
    let WatchMessage::Delta {
        revision, upsert, ..
    } = watch.delta().await
    else {
        panic!("not a delta");
    };
    assert_eq!(
        (upsert[0].camera_name.as_str(), upsert[0].epoch),
        ("door", 1)
    );

    let again = holder.watch(revision).await.after_bundle().await;
    assert_eq!(
        again,
        WatchMessage::Bookmark {
            revision,
            bundle_age: 0
        }
    );
    let anew = holder.watch(revision - 1).await.after_bundle().await;
    let WatchMessage::Snapshot { slots, .. } = anew else {
        panic!("not a snapshot: {anew:?}");
    };
    assert_eq!(slots, upsert);

    let update = CameraUpdate {
        enabled: Some(false),
        ..CameraUpdate::default()
    };
    cluster
        .admin
        .camera_update(camera.id, &update)
        .await
        .expect("disables");
    let WatchMessage::Delta { upsert, remove, .. } = watch.delta().await else {
        panic!("not a delta");
    };
    assert_eq!((upsert.len(), remove[0].camera_id), (0, camera.id));
    let node = cluster.admin.node_view(holder.id).await.expect("views");
    assert_eq!(node.used, 0);
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_deleted_camera_is_taken_from_its_holder(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let (edge, _alive) = cluster.living_edge("edge-1").await;
    let camera = cluster.camera(gate()).await;
    cluster
        .camera_when(&camera, "it is placed", |camera| {
            camera.status.node_id.is_some()
        })
        .await;
    let mut watch = edge.watch(0).await;
    watch.after_bundle().await;
    cluster
        .admin
        .camera_delete(camera.id)
        .await
        .expect("deletes");
    let WatchMessage::Delta { upsert, remove, .. } = watch.delta().await else {
        panic!("not a delta");
    };
    assert_eq!((upsert.len(), remove[0].camera_id), (0, camera.id));
    let node = cluster.admin.node_view(edge.id).await.expect("views");
    assert_eq!(node.used, 0);
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_an_edge_observes_is_the_camera_s_status(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let (edge, _alive) = cluster.living_edge("edge-1").await;
    let mut watch = edge.watch(0).await;
    watch.after_bundle().await;
    let camera = cluster.camera(gate()).await;
    let WatchMessage::Delta { upsert, .. } = watch.delta().await else {
        panic!("not a delta");
    };
    let status = cluster
        .admin
        .camera_view(camera.id)
        .await
        .expect("views")
        .status;
    assert_eq!(status.state, CameraState::Connecting);
    assert_eq!(
        status.message,
        "placed on edge-1, which has not reported on it yet"
    );
    assert_eq!(
        status.reason,
        "edge-1 in site lyon: the only node that fits"
    );

    let report = |state, message: &str| SlotReport {
        key: upsert[0].key,
        epoch: upsert[0].epoch,
        state,
        message: message.to_owned(),
        since: camera.created_at,
        tracks: vec![Track {
            kind: TrackKind::Video,
            codec: Codec::H264,
            width: Some(1920),
            height: Some(1080),
            sample_rate: None,
            channels: None,
        }],
        viewers: 2,
        publisher: None,
        refused: None,
        published: Vec::new(),
        restream: None,
        usage: None,
    };
    *edge.reports.lock().expect("not poisoned") = vec![report(SlotState::Live, "1920x1080")];
    let live = cluster
        .camera_when(&camera, "it is live", |camera| {
            camera.status.state == CameraState::Live
        })
        .await;
    assert_eq!((live.status.viewers, live.status.tracks.len()), (2, 1));
    assert_eq!(live.status.node_name.as_deref(), Some("edge-1"));

    // What PostgreSQL would not take must not cost anybody the lease.
    let dirty = "401 from\u{0} camera";
    *edge.reports.lock().expect("not poisoned") = vec![report(SlotState::Failed, dirty)];
    let failed = cluster
        .camera_when(&camera, "it has failed", |camera| {
            camera.status.state == CameraState::Failed
        })
        .await;
    assert_eq!(failed.status.message, "401 from  camera");
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_watch_ends_with_the_controller(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let edge = cluster.join("edge-1").await;
    let mut watch = edge.watch(0).await;
    watch.after_bundle().await;
    let (rest, ()) = futures::join!(watch.rest(), cluster.stop());
    assert_eq!(rest, []);
}

#[sqlx::test(migrations = "../../migrations")]
async fn many_renewals_at_once_are_all_answered(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let mut edges = Vec::new();
    for number in 0..10 {
        edges.push(cluster.join(&format!("edge-{number}")).await);
    }
    let renewals = edges.iter().chain(&edges).map(|edge| edge.renew(false));
    let grants = futures::future::join_all(renewals).await;
    assert!(grants.iter().all(|grant| grant.revision == 1));
    let ready = eventually("all are ready", async || {
        let nodes = cluster.admin.node_list().await.expect("lists").items;
        nodes
            .iter()
            .all(|node| node.state == NodeState::Ready)
            .then_some(nodes.len())
    });
    assert_eq!(ready.await, 10);
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn of_two_processes_with_one_identity_the_older_is_refused_and_that_is_an_event(
    pool: PgPool,
) {
    let cluster = Cluster::start(&pool).await;
    let other = cluster.replica(&pool).await;
    let older = cluster.join("edge-1").await;
    assert_eq!(older.renew(false).await.revision, 1);
    let mut newer = older.through(&other);
    newer.instance = uuid::Uuid::now_v7();
    let granted = newer.renew(false).await.revision;
    assert_eq!(granted, NO_REVISION, "the older one may still push");

    let told = async || {
        let events = cluster.admin.event_list().await.expect("lists").items;
        let told = events
            .into_iter()
            .filter(|event| event.kind == EventKind::NodeDuplicated);
        told.map(|event| event.subject).collect::<Vec<_>>()
    };
    let refusal = async |goodbye| {
        let renewal = older.renewal(goodbye);
        let error = older.client.lease_renew(&renewal).await;
        let error = error.expect_err("is refused");
        assert_eq!(error.code(), Some(ProblemCode::Conflict));
        assert!(error.to_string().contains("identity.json"), "{error}");
    };
    refusal(true).await;
    assert_eq!(told().await, [""; 0], "a late goodbye is no news");
    refusal(false).await;
    refusal(false).await;
    assert_eq!(told().await, [older.id.to_string()]);
    let node = cluster.admin.node_view(older.id).await.expect("views");
    assert_eq!(node.state, NodeState::Ready, "nobody has stopped it");

    // Both at once, at one replica.
    newer = newer.through(&cluster);
    let (old, new) = (older.renewal(false), newer.renewal(false));
    let (old, new) = tokio::join!(async { older.client.lease_renew(&old).await }, async {
        newer.client.lease_renew(&new).await
    });
    assert!(old.is_err() && new.is_ok(), "{old:?} {new:?}");
    newer.renew(true).await;
    older.renew(false).await;
    other.stop().await;
    cluster.stop().await;
}
