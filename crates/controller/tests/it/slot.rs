//! What work there is, where it was, and why, over real HTTP.

use chrono::DateTime;
use headworks_types::{
    CameraState, NodeDrainRequest, NodeId, ProblemCode,
    edge::{Role, SlotKey, SlotReport, SlotState},
};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    edge_cluster::{Cluster, eventually, gate},
    harness::{Controller, camera, on_camera, on_cluster, text},
};

#[sqlx::test(migrations = "../../migrations")]
async fn slots_are_listed_by_what_is_asked_for(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let mut cameras = Vec::new();
    for name in ["a", "b", "c"] {
        let made = admin.post("/v1/cameras", camera(name)).await.expect(201);
        cameras.push(text(&made["id"]));
    }
    let push = json!({"name": "cloud", "url": "rtmp://push.example.com/live/a"});
    let restreams = format!("/v1/cameras/{}/restreams", cameras[0]);
    let push = text(&admin.post(&restreams, push).await.expect(201)["id"]);
    let all = admin.all("/v1/slots", 1).await;
    let keys = |slots: &[serde_json::Value]| {
        let keys = slots
            .iter()
            .map(|slot| (text(&slot["camera_id"]), text(&slot["role"])));
        keys.collect::<Vec<_>>()
    };
    let [a, b, c] = [0, 1, 2].map(|at: usize| cameras[at].clone());
    let (ingest, restream) = ("ingest".to_owned(), "restream".to_owned());
    let wanted = [
        (a.clone(), ingest.clone()),
        (a.clone(), restream.clone()),
        (b.clone(), ingest.clone()),
        (c.clone(), ingest),
    ];
    assert_eq!(keys(&all), wanted);
    assert_eq!(all[0]["state"], "unplaced");
    assert_eq!(all[0]["message"], all[0]["reason"]);

    let change = json!({"enabled": false});
    admin
        .patch(&format!("/v1/cameras/{b}"), change)
        .await
        .expect(200);
    for (query, count) in [
        (format!("camera_id={a}"), 2),
        ("role=restream".to_owned(), 1),
        ("state=unplaced".to_owned(), 3),
        ("state=disabled".to_owned(), 1),
        ("state=live".to_owned(), 0),
        (format!("camera_id={a}&role=ingest&state=unplaced"), 1),
        (format!("node_id={}", NodeId::from(Uuid::now_v7())), 0),
    ] {
        let found = admin.all(&format!("/v1/slots?{query}"), 50).await;
        assert_eq!(found.len(), count, "{query}: {found:?}");
    }
    // The slot of a restream outlives it, but it is no work.
    admin
        .delete(&format!("/v1/restreams/{push}"))
        .await
        .expect(204);
    assert_eq!(admin.all("/v1/slots", 50).await.len(), 3);
    for query in [
        "state=well",
        "page_token=x",
        "limit=0",
        "role=cook",
        "colour=red",
    ] {
        let refused = admin.get(&format!("/v1/slots?{query}")).await;
        assert_eq!(refused.status, 400, "{query}: {}", refused.text);
    }

    let one = controller.key(&[(on_camera(&c), &["camera.manage"])]).await;
    assert_eq!(keys(&one.all("/v1/slots", 50).await), wanted[3..]);
    let operator = controller.key(&[(on_cluster(), &["node.manage"])]).await;
    assert_eq!(operator.all("/v1/slots", 50).await.len(), 3);
    let viewer = controller
        .key(&[(on_camera(&c), &["camera.view_live"])])
        .await;
    viewer
        .get("/v1/slots")
        .await
        .problem(ProblemCode::Forbidden);
    viewer
        .get(&format!("/v1/cameras/{c}/moves"))
        .await
        .problem(ProblemCode::Forbidden);
    viewer
        .get(&format!("/v1/cameras/{c}/placement"))
        .await
        .problem(ProblemCode::Forbidden);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_camera_explains_where_it_is_and_where_it_was(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let admin = &cluster.admin;
    let (one, _alive) = cluster.living_edge("edge-1").await;
    let camera = cluster.camera(gate()).await;
    let on = |node| move |camera: &headworks_types::Camera| camera.status.node_id == Some(node);
    cluster
        .camera_when(&camera, "it is on edge-1", on(one.id))
        .await;
    let (two, _alive) = cluster.living_edge("edge-2").await;
    admin.node_cordon(two.id).await.expect("cordons");
    let key = SlotKey {
        camera_id: camera.id,
        role: Role::Ingest,
        ordinal: 0,
    };
    let report = |state, message: &str| SlotReport {
        key,
        epoch: 1,
        state,
        message: message.to_owned(),
        since: DateTime::UNIX_EPOCH,
        tracks: Vec::new(),
        viewers: 0,
        publisher: None,
        refused: None,
        published: Vec::new(),
        usage: None,
        restream: None,
    };
    for (state, message) in [(SlotState::Failed, "no route"), (SlotState::Live, "live")] {
        *one.reports.lock().expect("not poisoned") = vec![report(state, message)];
        one.renew(false).await;
    }
    let explained = eventually("it is live", async || {
        let explained = admin.camera_explain(camera.id).await.expect("explains");
        (explained.slots[0].state == CameraState::Live).then_some(explained)
    })
    .await;
    let slot = &explained.slots[0];
    assert_eq!((slot.key, slot.epoch, slot.cost), (key, 1, 1));
    assert_eq!(slot.node_name.as_deref(), Some("edge-1"));
    assert!(
        slot.reason.starts_with("edge-1 in site lyon"),
        "{}",
        slot.reason
    );
    assert_eq!(slot.last_error.as_deref(), Some("no route"));
    assert!(slot.last_error_at.is_some());
    let nodes = explained
        .nodes
        .iter()
        .map(|node| (node.name.as_str(), node.has));
    assert_eq!(
        nodes.collect::<Vec<_>>(),
        [("edge-1", true), ("edge-2", false)]
    );
    let live = admin
        .slot_list()
        .in_state(CameraState::Live)
        .on_node(one.id)
        .of_camera(camera.id);
    assert_eq!(
        live.of_role(Role::Ingest).await.expect("lists").items.len(),
        1
    );

    admin.node_uncordon(two.id).await.expect("uncordons");
    let drain = NodeDrainRequest {
        deadline_seconds: 1,
    };
    admin.node_drain(one.id, &drain).await.expect("drains");
    cluster
        .camera_when(&camera, "it is on edge-2", on(two.id))
        .await;
    let moves = admin
        .move_list(camera.id)
        .limit(1)
        .all()
        .await
        .expect("lists");
    let (newest, oldest) = (&moves[0], &moves[moves.len() - 1]);
    assert_eq!(newest.to_node_id, Some(two.id));
    assert_eq!((newest.key, newest.epoch), (key, 2));
    assert_eq!(oldest.words(), "nowhere → edge-1");
    assert!(oldest.at <= newest.at);
    let explained = admin.camera_explain(camera.id).await.expect("explains");
    assert_eq!(explained.moves, moves);
    cluster.stop().await;
}
