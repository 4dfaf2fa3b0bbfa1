//! Restreams as edges meet them: what the holder is told, what it reports, and how it lets go.

use std::sync::atomic::Ordering;

use headworks_types::{
    Camera, NodeState, Restream, RestreamSigning, RestreamState,
    edge::{
        DesiredSlot, RestreamReport, RestreamWork, Role, SlotReport, SlotState, WatchMessage, Work,
    },
};
use sqlx::PgPool;

use crate::edge_cluster::{Cluster, Edge, Watch, eventually, gate};

async fn push(cluster: &Cluster, camera: &Camera) -> Restream {
    let body = serde_json::json!({
        "name": "cloud",
        "url": "rtmp://push.example.com/live/gate",
        "stream_key": "hush-1",
        "signing": {"type": "tencent", "primary_key": "hush-2"},
    });
    let body = serde_json::from_value(body).expect("is a restream");
    let created = cluster.admin.restream_create(camera.id, &body).await;
    created.expect("creates a restream")
}

async fn restream_when(
    cluster: &Cluster,
    restream: &Restream,
    what: &str,
    good: impl Fn(&Restream) -> bool,
) -> Restream {
    eventually(what, async || {
        let now = cluster.admin.restream_view(restream.id).await;
        let now = now.expect("views the restream");
        good(&now).then_some(now)
    })
    .await
}

/// Waits until the edge is told to push; the revision then, and the work.
async fn told(watch: &mut Watch) -> (i64, DesiredSlot, RestreamWork) {
    loop {
        let WatchMessage::Delta {
            revision, upsert, ..
        } = watch.delta().await
        else {
            panic!("not a delta");
        };
        for slot in upsert {
            if let Work::Restream(work) = &slot.work {
                let work = (**work).clone();
                return (revision, slot, work);
            }
        }
    }
}

/// Waits until the edge is told to push no more; the revision then.
async fn told_to_stop(watch: &mut Watch) -> i64 {
    loop {
        let WatchMessage::Delta {
            revision, remove, ..
        } = watch.delta().await
        else {
            panic!("not a delta");
        };
        if remove.iter().any(|key| key.role == Role::Restream) {
            return revision;
        }
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_holder_is_told_the_secrets_and_its_report_is_the_status(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let (edge, _alive) = cluster.living_edge("edge-1").await;
    let mut watch = edge.watch(0).await;
    watch.after_bundle().await;
    let camera = cluster.camera(gate()).await;
    let restream = push(&cluster, &camera).await;
    let (_, slot, work) = told(&mut watch).await;
    assert_eq!(
        (slot.key.role, slot.key.ordinal, slot.epoch),
        (Role::Restream, 0, 1)
    );
    assert_eq!((work.id, work.generation), (restream.id, 1));
    assert_eq!(work.stream_key.expect("has it").expose(), "hush-1");
    let RestreamSigning::Tencent {
        primary_key: Some(key),
        ..
    } = &work.signing
    else {
        panic!("not signed: {:?}", work.signing);
    };
    assert_eq!(key.expose(), "hush-2");

    let report = RestreamReport {
        bytes_sent: 1000,
        attempts: 2,
        connected_at: Some(camera.created_at),
        last_error: Some("connection\nrefused".to_owned()),
        url_expires_at: Some(camera.created_at),
    };
    *edge.reports.lock().expect("not poisoned") = vec![SlotReport {
        key: slot.key,
        epoch: slot.epoch,
        state: SlotState::Live,
        message: "pushes".to_owned(),
        since: camera.created_at,
        tracks: vec![],
        viewers: 0,
        publisher: None,
        refused: None,
        published: Vec::new(),
        restream: Some(report),
        usage: None,
    }];
    let live = restream_when(&cluster, &restream, "it is live", |now| {
        now.status.state == RestreamState::Live
    })
    .await
    .status;
    assert_eq!((live.bytes_sent, live.attempts), (1000, 2));
    assert_eq!(live.last_error.as_deref(), Some("connection refused"));
    assert_eq!(
        (live.node_id, live.message.as_str()),
        (Some(edge.id), "pushes")
    );
    assert_eq!(
        live.reason,
        "edge-1 in site lyon: the node that has the camera"
    );

    cluster
        .admin
        .restream_restart(restream.id)
        .await
        .expect("restarts");
    let (_, slot, work) = told(&mut watch).await;
    assert_eq!((slot.epoch, work.generation), (1, 2));
    cluster
        .admin
        .restream_stop(restream.id)
        .await
        .expect("stops");
    told_to_stop(&mut watch).await;
    cluster
        .admin
        .restream_start(restream.id)
        .await
        .expect("starts");
    let (_, slot, _) = told(&mut watch).await;
    assert_eq!(slot.epoch, 2);
    cluster
        .admin
        .camera_delete(camera.id)
        .await
        .expect("deletes");
    told_to_stop(&mut watch).await;
    let node = cluster.admin.node_view(edge.id).await.expect("views");
    assert_eq!(node.used, 0);
    cluster.stop().await;
}

fn apply(edge: &Edge, revision: i64) {
    edge.applied
        .store(revision.cast_unsigned(), Ordering::Relaxed);
}

/// The camera moves to another node while its first node lives.
#[sqlx::test(migrations = "../../migrations")]
async fn a_restream_follows_its_camera_when_the_old_node_has_let_go(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let (one, _alive) = cluster.living_edge("edge-1").await;
    let mut first = one.watch(0).await;
    first.after_bundle().await;
    let camera = cluster.camera(gate()).await;
    let restream = push(&cluster, &camera).await;
    let (revision, ..) = told(&mut first).await;
    apply(&one, revision);
    let (two, _alive_too) = cluster.living_edge("edge-2").await;
    let mut second = two.watch(0).await;
    second.after_bundle().await;
    // The first node becomes too small for anything.
    sqlx::query!(
        "UPDATE node_capacity SET alloc = 0 WHERE node_id = $1",
        one.id.uuid()
    )
    .execute(&pool)
    .await
    .expect("shrinks");
    let released = told_to_stop(&mut first).await;
    let waits = restream_when(&cluster, &restream, "it waits", |now| {
        now.status.reason.contains("has stopped for certain")
    })
    .await
    .status;
    assert_eq!(
        (waits.state, waits.node_id),
        (RestreamState::Unplaced, None)
    );
    assert_eq!(
        waits.reason,
        "its camera is on edge-2, which goes on when edge-1 has stopped for certain"
    );
    apply(&one, released);
    let (_, slot, _) = told(&mut second).await;
    assert_eq!(slot.epoch, 2);
    let node = cluster.admin.node_view(one.id).await.expect("views");
    assert_eq!((node.state, node.used), (NodeState::Ready, 0));
    cluster.stop().await;
}

/// The node falls silent: its lease must be over, and then three seconds more.
#[sqlx::test(migrations = "../../migrations")]
async fn a_restream_of_a_silent_node_waits_for_longer_than_its_camera(pool: PgPool) {
    let cluster = Cluster::with_leases(&pool, [500, 2000, 7000]).await;
    let (one, alive) = cluster.living_edge("edge-1").await;
    let camera = cluster.camera(gate()).await;
    let restream = push(&cluster, &camera).await;
    let on = |node| move |now: &Restream| now.status.node_id == Some(node);
    restream_when(&cluster, &restream, "it is on edge-1", on(one.id)).await;
    let (two, _alive_too) = cluster.living_edge("edge-2").await;
    alive.cancel();
    let moved = |now: &Camera| now.status.node_id == Some(two.id);
    cluster
        .camera_when(&camera, "the camera is on edge-2", moved)
        .await;
    let waits = cluster
        .admin
        .restream_view(restream.id)
        .await
        .expect("views");
    assert_ne!(waits.status.node_id, Some(two.id));
    let moved = restream_when(&cluster, &restream, "it is on edge-2", on(two.id)).await;
    let lease = sqlx::query_scalar!(
        r#"SELECT s.assigned_at - l.expires_at > interval '3 seconds' AS "over!"
           FROM slot s, node_lease l
           WHERE s.role = 'restream' AND l.node_id = $1"#,
        one.id.uuid()
    );
    assert!(lease.fetch_one(&pool).await.expect("looks"));
    assert_eq!(moved.status.epoch, 2);
    cluster.stop().await;
}
