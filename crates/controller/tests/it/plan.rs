//! What a change would move, before it is made.

use headworks_types::{
    CameraState, NodeId, Placement, PlanCamera, PlanCapacity, PlanNode, PlanQuestion, ProblemCode,
};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::edge_cluster::{Cluster, eventually, gate};

#[sqlx::test(migrations = "../../migrations")]
async fn a_preview_says_what_moves_and_changes_nothing(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let (one, _alive) = cluster.living_edge("edge-1").await;
    let camera = cluster.camera(gate()).await;
    cluster
        .camera_when(&camera, "it is placed", |camera| {
            camera.status.node_id == Some(one.id)
        })
        .await;
    let (two, _alive_too) = cluster.living_edge("edge-2").await;
    let preview = async |question: PlanQuestion| {
        let preview = cluster.admin.plan_preview(&question).await;
        preview.expect("is answered")
    };
    let nothing = preview(PlanQuestion::default()).await;
    assert_eq!((nothing.moves.len(), nothing.unplaced.len()), (0, 0));

    let drained = preview(PlanQuestion {
        drain_nodes: vec![one.id],
        ..PlanQuestion::default()
    })
    .await;
    let [step] = &drained.moves[..] else {
        panic!("{drained:?}")
    };
    assert_eq!(step.slot.camera_id, camera.id);
    assert_eq!(step.camera_name, camera.name);
    assert_eq!(step.from_node.as_deref(), Some("edge-1"));
    assert_eq!(step.to_node.as_deref(), Some("edge-2"));
    assert!(!step.interrupts);
    assert_eq!(
        step.reason,
        "edge-2 in site lyon: the only node that fits; edge-1 is being drained"
    );
    let killed = preview(PlanQuestion {
        kill_nodes: vec![one.id],
        ..PlanQuestion::default()
    })
    .await;
    assert!(killed.moves[0].interrupts);
    assert_eq!(killed.summary.moves, 1);

    let elsewhere = PlanCamera {
        camera_id: camera.id,
        placement: Some(Placement {
            site: Some("oslo".to_owned()),
            ..Placement::default()
        }),
        enabled: None,
    };
    let mut question = PlanQuestion {
        cameras: vec![elsewhere],
        ..PlanQuestion::default()
    };
    let lost = preview(question.clone()).await;
    assert_eq!((lost.summary.unplaced, lost.summary.moves), (1, 0));
    assert!(lost.unplaced[0].interrupts);
    question.add_nodes.push(PlanNode {
        name: "edge-9".to_owned(),
        site: "oslo".to_owned(),
        zone: "oslo".to_owned(),
        labels: Default::default(),
        capacity: 1,
    });
    let found = preview(question).await;
    assert_eq!(found.moves[0].to_node.as_deref(), Some("edge-9"));

    let small = preview(PlanQuestion {
        cordon_nodes: vec![two.id],
        node_capacities: vec![PlanCapacity {
            node_id: one.id,
            capacity: 0,
        }],
        ..PlanQuestion::default()
    })
    .await;
    assert_eq!(
        small.unplaced[0].reason,
        "no node has capacity: edge-1 too small, edge-2 cordoned"
    );
    let now = cluster.admin.camera_view(camera.id).await.expect("views");
    assert_eq!(
        (now.status.node_id, now.status.epoch),
        (Some(one.id), 1),
        "nothing has changed"
    );
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_preview_counts_who_would_notice(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let (one, _alive) = cluster.living_edge("edge-1").await;
    let camera = cluster.camera(gate()).await;
    let target = json!({"name": "x", "url": "rtmp://push.example.com/live/gate"});
    let target = serde_json::from_value(target).expect("is a restream");
    let pushed = cluster.admin.restream_create(camera.id, &target).await;
    let pushed = pushed.expect("creates");
    eventually("the restream is placed", async || {
        let now = cluster.admin.restream_view(pushed.id).await.expect("views");
        now.status.node_id.map(|_| ())
    })
    .await;
    let (two, _alive_too) = cluster.living_edge("edge-2").await;
    for (node, count) in [(one.id, 2), (two.id, 3)] {
        for _ in 0..count {
            watch(&pool, &camera, node).await;
        }
    }
    let question = |drain: &[NodeId], kill: &[NodeId]| PlanQuestion {
        drain_nodes: drain.to_vec(),
        kill_nodes: kill.to_vec(),
        ..PlanQuestion::default()
    };
    let ask = async |question| {
        cluster
            .admin
            .plan_preview(&question)
            .await
            .expect("answers")
    };
    let drained = ask(question(&[one.id], &[])).await.summary;
    assert_eq!(
        (drained.unbroken.viewers, drained.interrupted.viewers),
        (5, 0)
    );
    assert_eq!(drained.interrupted.restreams, 1);
    let killed = ask(question(&[], &[one.id])).await.summary;
    assert_eq!(
        (killed.unbroken.viewers, killed.interrupted.viewers),
        (0, 5)
    );
    // Only those who are connected to it notice when the other one dies.
    let other = ask(question(&[], &[two.id])).await.summary;
    assert_eq!((other.moves, other.interrupted.viewers), (0, 3));
    cluster.stop().await;
}

async fn watch(pool: &PgPool, camera: &headworks_types::Camera, node: NodeId) {
    sqlx::query!(
        "INSERT INTO viewer_session (id, node_id, project_id, camera_id, subject, principal_id,
             key_id, protocol, sound, address, bytes_sent, issued_at, started_at, watch_until)
         VALUES ($1, $2, $3, $4, 'usr_x', $1, 'k', 'hls', true, '127.0.0.1', 0, now(), now(),
                 now() + interval '1 hour')",
        Uuid::now_v7(),
        node.uuid(),
        camera.project_id.uuid(),
        camera.id.uuid()
    )
    .execute(pool)
    .await
    .expect("watches");
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_preview_of_what_is_not_there_is_refused(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let nobody = NodeId::from(Uuid::now_v7());
    let question = PlanQuestion {
        remove_nodes: vec![nobody],
        ..PlanQuestion::default()
    };
    let refused = cluster.admin.plan_preview(&question).await;
    let refused = refused.expect_err("there is no such node");
    assert_eq!(refused.code(), Some(ProblemCode::NotFound));
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_exclusive_camera_reaches_its_edge_as_one(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let (one, _alive) = cluster.living_edge("edge-1").await;
    let mut body = gate();
    body["exclusive_source"] = json!(true);
    body["placement"] = json!({"zone": "lyon"});
    let camera = cluster.camera(body).await;
    assert!(camera.exclusive_source);
    cluster
        .camera_when(&camera, "it is placed", |camera| {
            camera.status.state == CameraState::Connecting
        })
        .await;
    let mut watch = one.watch(0).await;
    let told = format!("{:?}", watch.after_bundle().await);
    assert!(told.contains("exclusive: true"), "{told}");
    let change = serde_json::from_value(json!({"exclusive_source": false})).expect("is a change");
    let changed = cluster.admin.camera_update(camera.id, &change).await;
    assert!(!changed.expect("changes").exclusive_source);
    let told = format!("{:?}", watch.delta().await);
    assert!(told.contains("exclusive: false"), "{told}");
    cluster.stop().await;
}
