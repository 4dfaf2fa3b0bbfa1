//! Restreams over HTTP.

use headworks_types::{ProblemCode, Restream, RestreamSigning, RestreamState};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Api, Controller, camera, on_camera, text};

fn cloud() -> Value {
    json!({
        "name": "cloud",
        "external_id": "cloud-1",
        "labels": {"event": "gala"},
        "url": "rtmp://push.example.com/live/gate",
        "stream_key": "hush-1",
        "signing": {
            "type": "alibaba", "primary_key": "hush-2", "secondary_key": "hush-3",
            "renew": "reconnect_before_expiry",
        },
    })
}

async fn gate(api: &Api) -> String {
    text(&api.post("/v1/cameras", camera("gate")).await.expect(201)["id"])
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_restream_lives(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let gate = gate(api).await;
    let path = format!("/v1/cameras/{gate}/restreams");
    let created: Restream = api.post(&path, cloud()).await.parse(201);
    assert_eq!(created.camera_id.to_string(), gate);
    assert!(created.has_stream_key && !created.has_credentials && created.tls_verify);
    assert_eq!((created.generation, created.enabled), (1, true));
    let one = format!("/v1/restreams/{}", created.id);
    let seen = api.get(&one).await;
    assert!(!seen.text.contains("hush"), "{}", seen.text);
    assert_eq!(seen.etag(), "\"1\"");
    assert_eq!(seen.parse::<Restream>(200).id, created.id);

    let second = json!({"name": "b", "url": "rtsp://b/c", "transport": "udp",
        "credentials": {"username": "u", "password": "hush"},
        "video": {"type": "h264", "bitrate_kbit": 2000}, "audio": "aac", "enabled": false});
    let second: Restream = api.post(&path, second).await.parse(201);
    assert_eq!(second.status.state, RestreamState::Disabled);
    assert_eq!(second.status.message, "the restream is stopped");
    for (path, found) in [
        (path.clone(), 2),
        ("/v1/restreams".to_owned(), 2),
        ("/v1/restreams?labels=event%3Dgala".to_owned(), 1),
        ("/v1/restreams?external_id=cloud-1".to_owned(), 1),
        (format!("{path}?external_id=other"), 0),
    ] {
        assert_eq!(api.all(&path, 1).await.len(), found, "{path}");
    }

    let act = async |verb: &str| {
        let path = format!("{one}:{verb}");
        api.send(Method::POST, &path, None, &[]).await
    };
    let restarted: Restream = act("restart").await.parse(200);
    assert_eq!(restarted.generation, 2);
    let stopped: Restream = act("stop").await.parse(200);
    assert_eq!(stopped.status.state, RestreamState::Disabled);
    act("stop").await.expect(200);
    act("restart").await.problem(ProblemCode::Conflict);
    let started: Restream = act("start").await.parse(200);
    assert_eq!(started.status.state, RestreamState::Unplaced);
    act("start").await.expect(200);

    let renamed = api
        .patch(&one, json!({"name": "cloud-2", "external_id": null}))
        .await;
    let renamed: Restream = renamed.parse(200);
    assert_eq!(
        (renamed.name.as_str(), renamed.external_id),
        ("cloud-2", None)
    );
    let stale = [("if-match", "\"1\"")];
    let refused = api.send(Method::DELETE, &one, None, &stale).await;
    refused.problem(ProblemCode::PreconditionFailed);
    api.delete(&one).await.expect(204);
    api.get(&one).await.problem(ProblemCode::NotFound);

    let id = created.id.to_string();
    let kinds = |events: &[Value]| -> Vec<String> {
        let ours = events.iter().filter(|event| event["subject"] == *id);
        let ours = ours.map(|event| text(&event["kind"]));
        ours.filter(|kind| kind != "restream.placed").collect()
    };
    let events = api.events(|events| kinds(events).len() >= 6).await;
    assert_eq!(
        kinds(&events),
        [
            "restream.created",
            "restream.restarted",
            "restream.stopped",
            "restream.started",
            "restream.updated",
            "restream.deleted"
        ]
    );
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_taken_or_wrong_is_refused(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let (gate, door) = (gate(api).await, gate(api).await);
    let path = |camera: &str| format!("/v1/cameras/{camera}/restreams");
    api.post(&path(&gate), cloud()).await.expect(201);
    let refused = api.post(&path(&gate), cloud()).await;
    let detail = refused
        .problem(ProblemCode::Conflict)
        .detail
        .expect("says why");
    assert_eq!(detail, "the camera has a restream `cloud` already");
    let refused = api.post(&path(&door), cloud()).await;
    let detail = refused
        .problem(ProblemCode::Conflict)
        .detail
        .expect("says why");
    assert!(detail.contains("external_id `cloud-1`"), "{detail}");
    let bad =
        json!({"name": "", "url": "http://a/b", "credentials": {"username": "a", "password": "b"}});
    let refused = api.post(&path(&door), bad).await;
    assert_eq!(
        refused.pointers(ProblemCode::Invalid),
        ["/name", "/url", "/credentials"]
    );
    for number in 1..64 {
        let more = json!({"name": format!("{number}"), "url": "rtmp://a/b"});
        api.post(&path(&gate), more).await.expect(201);
    }
    let more = json!({"name": "one too many", "url": "rtmp://a/b"});
    api.post(&path(&gate), more)
        .await
        .problem(ProblemCode::Conflict);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn secrets_go_to_no_other_place(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let gate = gate(api).await;
    let path = format!("/v1/cameras/{gate}/restreams");
    let created: Restream = api.post(&path, cloud()).await.parse(201);
    let one = format!("/v1/restreams/{}", created.id);
    let refused =
        async |change: Value| api.patch(&one, change).await.pointers(ProblemCode::Invalid);
    assert_eq!(
        refused(json!({"url": "rtmp://evil/live/gate"})).await,
        ["/stream_key"]
    );
    assert_eq!(refused(json!({"tls_verify": false})).await, ["/stream_key"]);
    let half = json!({"url": "rtmp://evil/live/gate", "stream_key": "mine"});
    assert_eq!(refused(half).await, ["/signing"]);
    let keyless = json!({"url": "rtmp://evil/live/gate", "stream_key": "mine",
        "signing": {"type": "alibaba"}});
    assert_eq!(refused(keyless).await, ["/signing/primary_key"]);
    // What was not given again is gone, not guessed.
    let moved = json!({"url": "rtmp://other/live/gate", "stream_key": null,
        "signing": {"type": "tencent", "primary_key": "new"}});
    let moved: Restream = api.patch(&one, moved).await.parse(200);
    assert!(!moved.has_stream_key);
    assert!(matches!(
        moved.signing,
        RestreamSigning::Tencent {
            primary_key: None,
            ..
        }
    ));

    // In the same place, the other of two keys takes over without being said again.
    let both = json!({"signing": {"type": "tencent", "secondary_key": "b"}});
    api.patch(&one, both).await.expect(200);
    let other = json!({"signing": {"type": "tencent", "key": "secondary"}});
    api.patch(&one, other).await.expect(200);
    let neither = json!({"signing": {"type": "alibaba", "key": "secondary"}});
    assert_eq!(refused(neither).await, ["/signing/secondary_key"]);
    assert_eq!(refused(json!({"url": "rtmp://other"})).await, ["/url"]);
    let text = sqlx::query_scalar!(r#"SELECT restream::text AS "row!" FROM restream"#);
    let row = text.fetch_one(&pool).await.expect("there is one");
    assert!(!row.contains("hush") && !row.contains("\"new\""), "{row}");
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn only_who_manages_the_camera_has_a_part_in_its_restreams(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let gate = gate(api).await;
    let path = format!("/v1/cameras/{gate}/restreams");
    let created: Restream = api.post(&path, cloud()).await.parse(201);
    let one = format!("/v1/restreams/{}", created.id);
    let grant = async |action| controller.key(&[(on_camera(&gate), action)]).await;
    let viewer = grant(&["camera.view_live"]).await;
    let manager = grant(&["camera.manage"]).await;
    let (_, stranger) = controller.project("theirs").await;
    for (api, code) in [
        (&viewer, ProblemCode::Forbidden),
        (&stranger, ProblemCode::NotFound),
    ] {
        api.get(&path).await.problem(code);
        api.post(&path, cloud()).await.problem(code);
        api.get(&one).await.problem(code);
        api.patch(&one, json!({"name": "x"})).await.problem(code);
        api.post(&format!("{one}:stop"), json!({}))
            .await
            .problem(code);
        api.delete(&one).await.problem(code);
    }
    viewer
        .get("/v1/restreams")
        .await
        .problem(ProblemCode::Forbidden);
    assert!(stranger.all("/v1/restreams", 10).await.is_empty());
    assert_eq!(manager.all("/v1/restreams", 10).await.len(), 1);
    manager
        .post(&format!("{one}:stop"), json!({}))
        .await
        .expect(200);
    controller.stop().await;
}
