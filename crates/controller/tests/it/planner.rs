//! Placement, death and return over real HTTP, with controllers that run all their loops.

use headworks_types::{CameraState, NodeState};
use sqlx::PgPool;

use crate::edge_cluster::{Cluster, eventually, gate};

/// Short, but long enough for a machine that is busy: a batch of renewals comes every 500 ms.
const LEASES: [u64; 3] = [500, 2000, 7000];

#[sqlx::test(migrations = "../../migrations")]
async fn the_cameras_of_a_silent_node_move_and_the_node_may_return(pool: PgPool) {
    let cluster = Cluster::with_leases(&pool, LEASES).await;
    let (one, alive) = cluster.living_edge("edge-1").await;
    let camera = cluster.camera(gate()).await;
    let placed = |node| move |camera: &headworks_types::Camera| camera.status.node_id == Some(node);
    cluster
        .camera_when(&camera, "it is on edge-1", placed(one.id))
        .await;
    let (two, _alive) = cluster.living_edge("edge-2").await;
    let mut watch = two.watch(0).await;
    watch.after_bundle().await;

    alive.cancel();
    let unknown = cluster
        .camera_when(&camera, "its node is suspect", |camera| {
            camera.status.state == CameraState::Unknown
        })
        .await;
    assert!(
        unknown
            .status
            .message
            .starts_with("node edge-1 has not reported for")
    );
    let moved = cluster
        .camera_when(&camera, "it is on edge-2", placed(two.id))
        .await;
    assert_eq!(moved.status.epoch, 2);
    assert_eq!(
        moved.status.reason,
        "edge-2 in site lyon: the only node that fits; edge-1 is gone"
    );
    let told = watch.delta().await;
    assert!(
        format!("{told:?}").contains(&camera.id.to_string()),
        "{told:?}"
    );
    let dead = cluster.admin.node_view(one.id).await.expect("views");
    assert_eq!((dead.state, dead.used), (NodeState::Dead, 0));

    eventually("edge-1 is back", async || {
        one.renew(false).await;
        let node = cluster.admin.node_view(one.id).await.expect("views");
        (node.state == NodeState::Ready).then_some(())
    })
    .await;
    let stays = cluster.admin.camera_view(camera.id).await.expect("views");
    assert_eq!(
        (stays.status.node_id, stays.status.epoch),
        (Some(two.id), 2)
    );
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_cameras_of_a_node_that_says_goodbye_move_at_once(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let (one, alive) = cluster.living_edge("edge-1").await;
    let camera = cluster.camera(gate()).await;
    let on = |node| move |camera: &headworks_types::Camera| camera.status.node_id == Some(node);
    cluster
        .camera_when(&camera, "it is on edge-1", on(one.id))
        .await;
    let (two, _alive) = cluster.living_edge("edge-2").await;
    alive.cancel();
    // The last ordinary renewal may still be on its way.
    eventually("it is on edge-2", async || {
        one.renew(true).await;
        let camera = cluster.admin.camera_view(camera.id).await.expect("views");
        on(two.id)(&camera).then_some(())
    })
    .await;
    let node = cluster.admin.node_view(one.id).await.expect("views");
    assert_eq!(node.state, NodeState::Dead);
    assert!(node.message.starts_with("was stopped"), "{}", node.message);
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn another_controller_takes_over_planning_and_serves_every_edge(pool: PgPool) {
    let first = Cluster::start(&pool).await;
    let second = first.replica(&pool).await;
    let (edge, _alive) = first.living_edge("edge-1").await;
    let mut here = edge.watch(0).await;
    here.after_bundle().await;
    first.camera(gate()).await;
    here.delta().await;

    let mut there = edge.through(&second).watch(0).await;
    there.after_bundle().await;
    first.stop().await;
    let planner = eventually("the second plans", async || {
        sqlx::query_scalar!("SELECT term FROM planner_lease WHERE expires_at > clock_timestamp()")
            .fetch_optional(&pool)
            .await
            .expect("asks")
    });
    assert_eq!(
        planner.await,
        2,
        "the first has resigned, so nobody waited for its lease"
    );
    second.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_refused_camera_says_why_and_gets_the_first_place_that_comes(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let mut body = gate();
    body["placement"] = serde_json::json!({"site": "lyon"});
    let camera = cluster.camera(body).await;
    let refused = cluster
        .camera_when(&camera, "the planner has looked", |camera| {
            camera.status.reason == "no node has joined the cluster"
        })
        .await;
    assert_eq!(refused.status.state, CameraState::Unplaced);
    assert_eq!(refused.status.message, refused.status.reason);
    let (edge, _alive) = cluster.living_edge("edge-1").await;
    cluster
        .camera_when(&camera, "it is placed", |camera| {
            camera.status.node_id == Some(edge.id)
        })
        .await;
    cluster.stop().await;
}
