//! Stream keys over HTTP.

use headworks_types::{OnConflict, ProblemCode, StreamKey, StreamKeyCreated};
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
