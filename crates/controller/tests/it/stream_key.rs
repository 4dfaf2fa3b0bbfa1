//! Stream keys over HTTP.

use headworks_types::{OnConflict, ProblemCode, StreamKey, StreamKeyBounds, StreamKeyCreated};
use reqwest::Method;
use serde_json::json;
use sqlx::PgPool;

use crate::harness::{Controller, camera, on_camera, published, text};

#[sqlx::test(migrations = "../../migrations")]
async fn a_stream_key_lives(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let gate = text(&api.post("/v1/cameras", published("gate")).await.expect(201)["id"]);
    let path = format!("/v1/cameras/{gate}/stream_keys");
    let created: StreamKeyCreated = api.post(&path, json!({"name": "obs"})).await.parse(201);
    let first = &created.stream_key;
    assert!(
        created
            .secret
            .expose()
            .starts_with(&format!("hwsk_{}_", first.lookup))
    );

    let rotate = format!("/v1/stream_keys/{}:rotate", first.id);
    let rotated: StreamKeyCreated = api
        .post(&rotate, json!({"grace_seconds": 60}))
        .await
        .parse(201);
    assert_ne!(rotated.secret, created.secret);
    assert_eq!(rotated.stream_key.name, "obs");
    let kept = (rotated.stream_key.on_conflict, first.on_conflict);
    assert_eq!(kept, (OnConflict::Reject, OnConflict::Reject));
    let keys: Vec<StreamKey> = api
        .all(&path, 1)
        .await
        .into_iter()
        .map(|key| serde_json::from_value(key).expect("is a key"))
        .collect();
    assert_eq!(keys.len(), 2);
    let grace = keys[0].expires_at.expect("ends") - rotated.stream_key.created_at;
    assert!((50..=60).contains(&grace.num_seconds()), "{grace}");
    assert_eq!(keys[1].expires_at, None);

    let second = rotated.stream_key.id;
    let revoke = format!("/v1/stream_keys/{second}:revoke");
    let revoked: StreamKey = api.send(Method::POST, &revoke, None, &[]).await.parse(200);
    assert!(revoked.revoked_at.is_some());
    let again: StreamKey = api.post(&revoke, json!({})).await.parse(200);
    assert_eq!(again, revoked);
    let refused = api
        .post(&format!("/v1/stream_keys/{second}:rotate"), json!({}))
        .await;
    refused.problem(ProblemCode::Conflict);

    // Without a body at all: no grace.
    api.send(Method::POST, &rotate, None, &[]).await.expect(201);
    api.post(&rotate, json!({}))
        .await
        .problem(ProblemCode::Conflict);
    let refused = api.post(&rotate, json!({"grace_seconds": 604_801})).await;
    assert_eq!(refused.pointers(ProblemCode::Invalid), ["/grace_seconds"]);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_camera_that_is_pulled_has_no_keys(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let gate = text(&api.post("/v1/cameras", camera("gate")).await.expect(201)["id"]);
    let path = format!("/v1/cameras/{gate}/stream_keys");
    let refused = api.post(&path, json!({"name": "obs"})).await;
    let words = refused.problem(ProblemCode::Conflict).detail;
    assert!(words.is_some_and(|words| words.contains("is not published to us")));
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn who_only_watches_a_camera_has_no_part_in_its_keys(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let gate = text(&api.post("/v1/cameras", published("gate")).await.expect(201)["id"]);
    let path = format!("/v1/cameras/{gate}/stream_keys");
    let key = api.post(&path, json!({"name": "obs"})).await.expect(201);
    let key = format!("/v1/stream_keys/{}", text(&key["stream_key"]["id"]));
    let viewer = controller
        .key(&[(on_camera(&gate), &["camera.view_live"])])
        .await;
    let (_, stranger) = controller.project("theirs").await;
    for (api, code) in [
        (&viewer, ProblemCode::Forbidden),
        (&stranger, ProblemCode::NotFound),
    ] {
        api.get(&path).await.problem(code);
        api.get(&key).await.problem(code);
        api.patch(&key, json!({"name": "mine"})).await.problem(code);
        api.post(&path, json!({"name": "mine"})).await.problem(code);
        api.post(&format!("{key}:rotate"), json!({}))
            .await
            .problem(code);
        api.post(&format!("{key}:revoke"), json!({}))
            .await
            .problem(code);
    }
    let manager = controller
        .key(&[(on_camera(&gate), &["camera.manage"])])
        .await;
    manager
        .post(&format!("{key}:rotate"), json!({}))
        .await
        .expect(201);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_key_has_bounds_that_can_be_changed_and_outlive_it(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let gate = text(&api.post("/v1/cameras", published("gate")).await.expect(201)["id"]);
    let path = format!("/v1/cameras/{gate}/stream_keys");
    let bounds = json!({
        "networks": ["10.20.0.0/16", "2001:db8::7/128"],
        "protocols": ["rtmps", "rtsps"],
        "max_bitrate_kbit": 4000,
    });
    let mut new = bounds.clone();
    new["name"] = json!("obs");
    let created: StreamKeyCreated = api.post(&path, new).await.parse(201);
    let key = format!("/v1/stream_keys/{}", created.stream_key.id);
    let wanted: StreamKeyBounds = serde_json::from_value(bounds).expect("parses");
    assert_eq!(created.stream_key.bounds, wanted);
    let viewed = api.get(&key).await;
    assert_eq!(viewed.etag(), "\"1\"");
    assert!(!viewed.expect(200).to_string().contains("hwsk_"));
    assert_eq!(viewed.parse::<StreamKey>(200), created.stream_key);

    let change = json!({"networks": ["192.0.2.7"], "protocols": null, "on_conflict": "takeover"});
    let changed = api.patch(&key, change.clone()).await;
    assert_eq!(changed.etag(), "\"2\"");
    let changed: StreamKey = changed.parse(200);
    let bounds = &changed.bounds;
    let only = ["192.0.2.7/32".parse().expect("is a network")];
    assert_eq!(bounds.networks.as_deref(), Some(&only[..]));
    assert_eq!(
        (&bounds.protocols, bounds.max_bitrate_kbit),
        (&None, Some(4000))
    );
    assert_eq!(changed.on_conflict, OnConflict::Takeover);
    assert_eq!((changed.name.as_str(), changed.expires_at), ("obs", None));
    assert_eq!(api.patch(&key, change).await.etag(), "\"2\"", "nothing new");
    let stale = [("if-match", "\"1\"")];
    let body = Some(json!({"name": "x"}));
    let refused = api.send(Method::PATCH, &key, body, &stale).await;
    refused.problem(ProblemCode::PreconditionFailed);

    let rotated: StreamKeyCreated = api
        .post(&format!("{key}:rotate"), json!({}))
        .await
        .parse(201);
    assert_eq!(rotated.stream_key.bounds, changed.bounds);
    assert_eq!(rotated.stream_key.on_conflict, OnConflict::Takeover);
    let ended = api.patch(&key, json!({"expires_at": null})).await;
    ended.problem(ProblemCode::Conflict);
    let kinds = [
        "stream_key.created",
        "stream_key.updated",
        "stream_key.rotated",
    ];
    let events = api
        .events(|events| {
            kinds
                .iter()
                .all(|kind| events.iter().any(|e| e["kind"] == *kind))
        })
        .await;
    let updates = events.iter().filter(|e| e["kind"] == "stream_key.updated");
    assert_eq!(updates.count(), 1);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn bounds_that_mean_nothing_are_pointed_at(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let gate = text(&api.post("/v1/cameras", published("gate")).await.expect(201)["id"]);
    let path = format!("/v1/cameras/{gate}/stream_keys");
    let created = api.post(&path, json!({"name": "obs"})).await.expect(201);
    let key = format!("/v1/stream_keys/{}", text(&created["stream_key"]["id"]));
    for (bad, pointer) in [
        (json!({"networks": []}), "/networks"),
        (json!({"protocols": []}), "/protocols"),
        (json!({"max_bitrate_kbit": 0}), "/max_bitrate_kbit"),
        (json!({"expires_at": "2020-01-01T00:00:00Z"}), "/expires_at"),
    ] {
        let changed = api.patch(&key, bad.clone()).await;
        assert_eq!(changed.pointers(ProblemCode::Invalid), [pointer], "{bad}");
        let mut new = bad;
        new["name"] = json!("obs");
        let created = api.post(&path, new).await;
        assert_eq!(created.pointers(ProblemCode::Invalid), [pointer]);
    }
    for bad in [
        json!({"networks": ["10.20.1.0/16"]}),
        json!({"protocols": ["srt"]}),
        json!({"lookup": "mine"}),
        json!({"last_used": null}),
        json!({"camera_id": gate}),
    ] {
        let changed = api.patch(&key, bad.clone()).await;
        changed.problem(ProblemCode::Malformed);
    }
    assert_eq!(api.get(&key).await.expect(200), created["stream_key"]);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_camera_has_as_many_keys_as_its_edge_can_look_through(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let gate = text(&api.post("/v1/cameras", published("gate")).await.expect(201)["id"]);
    let path = format!("/v1/cameras/{gate}/stream_keys");
    let create = async || api.post(&path, json!({"name": "obs"})).await;
    let first: StreamKeyCreated = create().await.parse(201);
    let first = format!("/v1/stream_keys/{}", first.stream_key.id);
    for _ in 1..100 {
        create().await.expect(201);
    }
    create().await.problem(ProblemCode::Conflict);
    let rotate = format!("{first}:rotate");
    let grace = json!({"grace_seconds": 60});
    api.post(&rotate, grace)
        .await
        .problem(ProblemCode::Conflict);
    let kept: StreamKey = api.get(&first).await.parse(200);
    assert_eq!(kept.expires_at, None, "it was not exchanged");
    api.post(&rotate, json!({})).await.expect(201);
    create().await.problem(ProblemCode::Conflict);
    controller.stop().await;
}
