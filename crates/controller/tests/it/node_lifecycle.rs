//! Cordon, drain and removal over real HTTP, with controllers that run all their loops.

use headworks_types::{
    DrainState, EventKind, Node, NodeDrainRequest, NodeId, NodeState, ProblemCode,
};
use sqlx::PgPool;
use uuid::Uuid;

use crate::edge_cluster::{Cluster, eventually, gate};

/// What was told of the node, in order, without what it does by itself.
async fn events(cluster: &Cluster, node: NodeId, wanted: &[EventKind]) {
    const BY_ITSELF: [EventKind; 4] = [
        EventKind::NodeJoined,
        EventKind::NodeReady,
        EventKind::NodeSuspect,
        EventKind::NodeStopped,
    ];
    let words = format!("the events are {wanted:?}");
    eventually(&words, async || {
        let events = cluster
            .admin
            .event_list()
            .limit(1000)
            .all()
            .await
            .expect("lists");
        let subject = node.to_string();
        let told = events.into_iter().filter(|event| event.subject == subject);
        let told = told
            .map(|event| event.kind)
            .filter(|kind| !BY_ITSELF.contains(kind));
        (told.collect::<Vec<_>>() == wanted).then_some(())
    })
    .await;
}

fn within(deadline_seconds: u32) -> NodeDrainRequest {
    NodeDrainRequest { deadline_seconds }
}

async fn node_when(
    cluster: &Cluster,
    id: NodeId,
    what: &str,
    good: impl Fn(&Node) -> bool,
) -> Node {
    eventually(what, async || {
        let node = cluster.admin.node_view(id).await.expect("views");
        good(&node).then_some(node)
    })
    .await
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_cordoned_node_takes_nothing_new(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let (edge, _alive) = cluster.living_edge("edge-1").await;
    let cordoned = cluster.admin.node_cordon(edge.id).await.expect("cordons");
    assert!(cordoned.cordoned_at.is_some());
    assert!(
        cordoned
            .message
            .ends_with("; cordoned: it takes no new work"),
        "{cordoned:?}"
    );
    let again = cluster
        .admin
        .node_cordon(edge.id)
        .await
        .expect("is cordoned");
    assert_eq!(again.cordoned_at, cordoned.cordoned_at);
    let camera = cluster.camera(gate()).await;
    let refused = cluster
        .camera_when(&camera, "the planner has refused it", |camera| {
            camera.status.reason.starts_with("no node ")
        })
        .await;
    assert_eq!(refused.status.node_id, None);

    for _ in 0..2 {
        let node = cluster
            .admin
            .node_uncordon(edge.id)
            .await
            .expect("uncordons");
        assert_eq!(node.cordoned_at, None);
    }
    let on_it = |camera: &headworks_types::Camera| camera.status.node_id == Some(edge.id);
    cluster.camera_when(&camera, "it is placed", on_it).await;
    let told = [EventKind::NodeCordoned, EventKind::NodeUncordoned];
    events(&cluster, edge.id, &told).await;
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_drain_goes_on_without_the_controller_that_began_it(pool: PgPool) {
    let first = Cluster::start(&pool).await;
    let second = first.replica(&pool).await;
    let (one, _alive) = first.living_edge("edge-1").await;
    let camera = first.camera(gate()).await;
    let on = |node| move |camera: &headworks_types::Camera| camera.status.node_id == Some(node);
    first
        .camera_when(&camera, "it is on edge-1", on(one.id))
        .await;
    let (two, _alive) = first.living_edge("edge-2").await;
    let before = first
        .admin
        .node_drain(one.id, &within(2))
        .await
        .expect("drains");
    let drain = before.drain.expect("is drained");
    assert_eq!((drain.slots_total, drain.state), (1, DrainState::Draining));
    assert_eq!(
        drain.deadline_at - drain.started_at,
        chrono::TimeDelta::seconds(2)
    );
    assert!(before.cordoned_at.is_some());
    // The drain is the cluster's, not a controller's. Edges of the first one go with it.
    let (one, two) = (one.through(&second), two.through(&second));
    first.stop().await;
    let message = eventually("it is drained", async || {
        for edge in [&one, &two] {
            edge.renew(false).await;
        }
        let drained = sqlx::query_scalar!(
            "SELECT drain_message FROM node WHERE drain_result = 'drained'
             AND drain_ended_at IS NOT NULL AND cordoned_at IS NOT NULL"
        );
        drained
            .fetch_optional(&pool)
            .await
            .expect("looks")
            .flatten()
    })
    .await;
    assert_eq!(message, "drained: all 1 slots have left");
    let holder = sqlx::query_scalar!("SELECT node_id FROM slot WHERE role = 'ingest'");
    let holder = holder.fetch_one(&pool).await.expect("looks");
    assert_eq!(holder, Some(two.id.uuid()));
    second.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_drained_node_is_empty_and_stays_closed(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let (one, _alive) = cluster.living_edge("edge-1").await;
    let camera = cluster.camera(gate()).await;
    let on = |node| move |camera: &headworks_types::Camera| camera.status.node_id == Some(node);
    cluster
        .camera_when(&camera, "it is on edge-1", on(one.id))
        .await;
    let (two, _alive) = cluster.living_edge("edge-2").await;
    cluster
        .admin
        .node_drain(one.id, &within(1))
        .await
        .expect("drains");
    let node = node_when(&cluster, one.id, "it is drained", |node| {
        let drain = node.drain.as_ref();
        drain.is_some_and(|drain| drain.state == DrainState::Drained)
    })
    .await;
    let drain = node.drain.expect("was drained");
    assert_eq!((drain.slots_total, drain.slots_left, node.used), (1, 0, 0));
    assert!(drain.ended_at.is_some() && node.cordoned_at.is_some());
    assert!(
        node.message.ends_with("drained: all 1 slots have left"),
        "{}",
        node.message
    );
    cluster
        .camera_when(&camera, "it is on edge-2", on(two.id))
        .await;
    // Whoever cancels late wants it open, too.
    for _ in 0..2 {
        let node = cluster.admin.node_cancel_drain(one.id).await;
        let node = node.expect("opens");
        assert_eq!((node.drain, node.cordoned_at), (None, None));
    }
    let told = [
        EventKind::NodeDrainStarted,
        EventKind::NodeDrained,
        EventKind::NodeDrainCancelled,
    ];
    events(&cluster, one.id, &told).await;
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_cancelled_drain_leaves_the_node_as_it_was(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let (edge, _alive) = cluster.living_edge("edge-1").await;
    let camera = cluster.camera(gate()).await;
    let on_it = |camera: &headworks_types::Camera| camera.status.node_id == Some(edge.id);
    cluster.camera_when(&camera, "it is placed", on_it).await;
    let admin = &cluster.admin;
    let drain = admin
        .node_drain(edge.id, &within(600))
        .await
        .expect("drains")
        .drain;
    let later = admin
        .node_drain(edge.id, &within(86_400))
        .await
        .expect("has more time")
        .drain;
    let (drain, later) = (drain.expect("is drained"), later.expect("is drained"));
    assert_eq!(later.started_at, drain.started_at);
    assert!(later.deadline_at > drain.deadline_at);
    for _ in 0..2 {
        let node = admin.node_cancel_drain(edge.id).await.expect("cancels");
        assert_eq!((node.drain, node.cordoned_at), (None, None));
    }
    admin.node_cordon(edge.id).await.expect("cordons");
    admin
        .node_drain(edge.id, &within(600))
        .await
        .expect("drains");
    let node = admin.node_cancel_drain(edge.id).await.expect("cancels");
    assert!(node.drain.is_none() && node.cordoned_at.is_some());
    admin
        .node_drain(edge.id, &within(600))
        .await
        .expect("drains");
    let node = admin.node_uncordon(edge.id).await.expect("uncordons");
    assert_eq!((node.drain, node.cordoned_at), (None, None));
    let (started, cancelled) = (EventKind::NodeDrainStarted, EventKind::NodeDrainCancelled);
    let (cordoned, opened) = (EventKind::NodeCordoned, EventKind::NodeUncordoned);
    let told = [
        started, started, cancelled, cordoned, started, cancelled, started, cancelled, opened,
    ];
    events(&cluster, edge.id, &told).await;
    let stays = admin.camera_view(camera.id).await.expect("views");
    assert_eq!(
        (stays.status.node_id, stays.status.epoch),
        (Some(edge.id), 1)
    );

    for seconds in [0, 86_401] {
        let refused = admin.node_drain(edge.id, &within(seconds)).await;
        let refused = refused.expect_err("is refused");
        assert_eq!(refused.code(), Some(ProblemCode::Invalid));
    }
    let nobody = NodeId::from(Uuid::now_v7());
    for refused in [
        admin.node_cordon(nobody).await.err(),
        admin.node_uncordon(nobody).await.err(),
        admin.node_drain(nobody, &within(600)).await.err(),
        admin.node_cancel_drain(nobody).await.err(),
        admin.node_delete(nobody, true).await.err(),
    ] {
        let code = refused.and_then(|error| error.code());
        assert_eq!(code, Some(ProblemCode::NotFound));
    }
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_node_that_lives_is_removed_by_force_only_and_hears_of_it(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let (edge, alive) = cluster.living_edge("edge-1").await;
    let camera = cluster.camera(gate()).await;
    let on = |node| move |camera: &headworks_types::Camera| camera.status.node_id == Some(node);
    cluster
        .camera_when(&camera, "it is placed", on(edge.id))
        .await;
    let refused = cluster
        .admin
        .node_delete(edge.id, false)
        .await
        .expect_err("lives");
    assert_eq!(refused.code(), Some(ProblemCode::Conflict));
    assert!(
        refused.to_string().contains("edge-1 renews its lease"),
        "{refused}"
    );

    cluster
        .admin
        .node_delete(edge.id, true)
        .await
        .expect("removes");
    let refused = edge.client.lease_renew(&edge.renewal(false)).await;
    let refused = refused.expect_err("is told");
    assert_eq!(refused.code(), Some(ProblemCode::Unauthenticated));
    alive.cancel();
    for refused in [
        cluster.admin.node_view(edge.id).await.err(),
        cluster.admin.node_delete(edge.id, true).await.err(),
    ] {
        let code = refused.and_then(|error| error.code());
        assert_eq!(code, Some(ProblemCode::NotFound));
    }
    assert!(
        cluster
            .admin
            .node_list()
            .await
            .expect("lists")
            .items
            .is_empty()
    );
    // Its name is free at once, and another node takes its work.
    let (other, _alive) = cluster.living_edge("edge-1").await;
    let moved = cluster
        .camera_when(&camera, "it is on the other", on(other.id))
        .await;
    assert!(moved.status.epoch > 1);
    events(&cluster, edge.id, &[EventKind::NodeRemoved]).await;
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_stopped_node_is_removed_with_all_that_is_left_of_it(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let edge = cluster.join("edge-1").await;
    edge.renew(true).await;
    node_when(&cluster, edge.id, "it is stopped", |node| {
        node.state == NodeState::Dead
    })
    .await;
    cluster
        .admin
        .node_delete(edge.id, false)
        .await
        .expect("removes");
    eventually("its row is gone", async || {
        let rows = sqlx::query_scalar!(r#"SELECT count(*) AS "rows!" FROM node"#);
        let rows = rows.fetch_one(&pool).await.expect("counts");
        (rows == 0).then_some(())
    })
    .await;
    events(&cluster, edge.id, &[EventKind::NodeRemoved]).await;
    cluster.stop().await;
}
