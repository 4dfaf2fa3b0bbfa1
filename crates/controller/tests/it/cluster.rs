//! The health of the cluster, and the brake, over real HTTP.

use headworks_types::{BrakeRelease, EventKind, NodeState, ProblemCode};
use sqlx::PgPool;

use crate::edge_cluster::{Cluster, age_leases, eventually};

#[sqlx::test(migrations = "../../migrations")]
async fn the_brake_is_seen_and_released(pool: PgPool) {
    let cluster = Cluster::with_leases(&pool, [500, 2000, 7000]).await;
    let calm = cluster.admin.cluster_view().await.expect("views");
    assert!(!calm.brake.on && calm.brake.silent.is_empty());
    let mut nodes = Vec::new();
    for number in 0..4 {
        let edge = cluster.join(&format!("edge-{number}")).await;
        edge.renew(false).await;
        nodes.push(edge.id);
    }
    age_leases(&pool).await;
    let held = eventually("the brake holds", async || {
        let seen = cluster.admin.cluster_view().await.expect("views");
        (seen.brake.on && seen.planner.is_some()).then_some(seen)
    })
    .await;
    assert_eq!((held.nodes.suspect, held.nodes.dead), (4, 0));
    let silent: Vec<_> = held.brake.silent.iter().map(|node| node.node_id).collect();
    assert_eq!(silent, nodes);
    let message = held.brake.message.expect("says why");
    assert!(
        message.starts_with("not declared dead, because 4 of 4 nodes"),
        "{message}"
    );
    let planner = held.planner.expect("somebody plans");
    assert_eq!((planner.term, planner.holds), (1, true));

    let release = |seconds| BrakeRelease { seconds };
    for seconds in [9, 3601] {
        let refused = cluster.admin.cluster_release_brake(&release(seconds)).await;
        assert_eq!(
            refused.expect_err("is refused").code(),
            Some(ProblemCode::Invalid)
        );
    }
    let body = release(60);
    let released = cluster
        .admin
        .cluster_release_brake(&body)
        .await
        .expect("releases");
    assert!(
        released
            .brake
            .released_until
            .is_some_and(|until| until > released.database.now)
    );
    eventually("they are dead", async || {
        let nodes = cluster.admin.node_list().await.expect("lists").items;
        nodes
            .iter()
            .all(|node| node.state == NodeState::Dead)
            .then_some(())
    })
    .await;
    let wanted = [
        EventKind::ClusterBrakeOn,
        EventKind::ClusterBrakeReleased,
        EventKind::ClusterBrakeOff,
    ];
    eventually("each change is told once", async || {
        let events = cluster
            .admin
            .event_list()
            .limit(1000)
            .all()
            .await
            .expect("lists");
        let told = events
            .into_iter()
            .filter(|event| event.subject == "cluster");
        (told.map(|event| event.kind).collect::<Vec<_>>() == wanted).then_some(())
    })
    .await;
    cluster.stop().await;
}
