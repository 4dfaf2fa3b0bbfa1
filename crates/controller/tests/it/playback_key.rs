//! Customers' public keys over HTTP.

use headworks_types::{PlaybackKey, ProblemCode, edge::RevocationKind};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    edge_cluster::Cluster,
    harness::{ALL_ON_PROJECT, Controller, camera, on_project, text},
};

const KEYS: &str = "/v1/playback_keys";

/// RFC 8410 §10.1.
const PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
    -----END PUBLIC KEY-----\n";

fn key() -> Value {
    json!({"name": "shop", "pem": PEM, "bounds": {"whole_project": true}})
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_key_is_registered_viewed_listed_and_revoked(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let made: PlaybackKey = api.post(KEYS, key()).await.parse(201);
    assert_eq!(
        made.public_key.x,
        "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE"
    );
    assert_eq!(made.bounds.max_watch_seconds, 14_400);
    let path = format!("{KEYS}/{}", made.id);
    assert_eq!(api.get(&path).await.parse::<PlaybackKey>(200), made);
    assert_eq!(api.all(KEYS, 1).await.len(), 1);
    let (_, stranger) = controller.project("theirs").await;
    stranger.get(&path).await.problem(ProblemCode::NotFound);
    let revoke = format!("{path}:revoke");
    stranger
        .post(&revoke, json!({}))
        .await
        .problem(ProblemCode::NotFound);
    assert!(api.get(&path).await.expect(200)["revoked_at"].is_null());
    let revoked: PlaybackKey = api.post(&revoke, json!({})).await.parse(200);
    assert!(revoked.revoked_at.is_some());
    let again: PlaybackKey = api.post(&revoke, json!({})).await.parse(200);
    assert_eq!(again.revoked_at, revoked.revoked_at);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_no_key_or_has_no_bounds_is_refused(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let (_, theirs) = controller.project("theirs").await;
    let foreign = text(&theirs.post("/v1/cameras", camera("x")).await.expect(201)["id"]);
    let zeros = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for (change, pointer) in [
        (json!({"pem": null}), "/pem"),
        (json!({"pem": "x"}), "/pem"),
        (json!({"pem": "-----BEGIN PRIVATE KEY-----"}), "/pem"),
        (
            json!({"jwk": {"kty": "OKP", "crv": "Ed25519", "x": zeros}}),
            "/jwk",
        ),
        (
            json!({"pem": null, "jwk": {"kty": "EC", "crv": "P-256", "x": zeros, "y": zeros}}),
            "/jwk",
        ),
        (json!({"bounds": {}}), "/bounds/camera_ids"),
        (
            json!({"bounds": {"whole_project": true, "actions": []}}),
            "/bounds/actions",
        ),
        (
            json!({"bounds": {"whole_project": true, "actions": ["user.manage"]}}),
            "/bounds/actions/0",
        ),
        (
            json!({"bounds": {"whole_project": true, "max_watch_seconds": 43_201}}),
            "/bounds/max_watch_seconds",
        ),
        (
            json!({"bounds": {"camera_ids": [foreign]}}),
            "/bounds/camera_ids/0",
        ),
    ] {
        let mut body = key();
        for (name, value) in change.as_object().expect("an object") {
            body[name] = value.clone();
        }
        let refused = api.post(KEYS, body.clone()).await;
        assert_eq!(refused.pointers(ProblemCode::Invalid), [pointer], "{body}");
    }
    assert_eq!(api.all(KEYS, 50).await.len(), 0);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn nobody_registers_a_key_that_may_do_more_than_they(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let project = on_project(&controller.default_project().await);
    let manager = controller
        .key(&[(project.clone(), &["project.manage"])])
        .await;
    manager
        .post(KEYS, key())
        .await
        .problem(ProblemCode::Forbidden);
    let both = controller
        .key(&[(project, &["project.manage", "camera.view_live"])])
        .await;
    let deaf = both.post(KEYS, key()).await.expect(201);
    let actions = &deaf["bounds"]["actions"];
    assert_eq!(*actions, json!(["camera.view_live"]), "without sound");
    let mut loud = key();
    loud["bounds"]["actions"] = json!(["camera.view_live", "camera.view_audio"]);
    both.post(KEYS, loud.clone())
        .await
        .problem(ProblemCode::Forbidden);
    let hearing = controller.admin.post(KEYS, key()).await.expect(201);
    assert_eq!(hearing["bounds"]["actions"], loud["bounds"]["actions"]);
    let mut more = key();
    more["bounds"]["actions"] = json!(["camera.manage"]);
    both.post(KEYS, more).await.problem(ProblemCode::Forbidden);
    let (id, _) = controller.project("theirs").await;
    let all = controller
        .key_in(Some(&id), &[(on_project(&id), ALL_ON_PROJECT)])
        .await;
    let mut foreign = key();
    foreign["project_id"] = json!(controller.default_project().await);
    all.post(KEYS, foreign).await.problem(ProblemCode::NotFound);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn of_two_who_register_the_last_key_one_is_refused(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let made: PlaybackKey = api.post(KEYS, key()).await.parse(201);
    let copies = sqlx::query!(
        "INSERT INTO playback_key (id, project_id, name, public_key, bounds)
         SELECT gen_random_uuid(), project_id, name, public_key, bounds
         FROM playback_key, generate_series(1, 98) WHERE id = $1",
        made.id.uuid()
    );
    copies.execute(&pool).await.expect("copies");
    // Both want to write before one of them has.
    let mut held = pool.begin().await.expect("begins");
    let lock = sqlx::query_scalar!("SELECT id FROM project FOR UPDATE");
    lock.fetch_all(&mut *held).await.expect("locks");
    let free = async {
        controller.waiting(2).await;
        held.rollback().await.expect("ends");
    };
    let (one, two, ()) = tokio::join!(api.post(KEYS, key()), api.post(KEYS, key()), free);
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409], "{} {}", one.text, two.text);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn edges_learn_of_keys_and_of_their_end(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let edge = cluster.join("edge-1").await;
    let mut watch = edge.watch(0).await;
    let new = serde_json::from_value(key()).expect("parses");
    let made = cluster
        .admin
        .playback_key_create(&new)
        .await
        .expect("registers");
    let bundle = watch
        .bundle(|bundle| !bundle.playback_keys.is_empty())
        .await;
    assert_eq!(bundle.playback_keys[0].id, made.id);
    assert_eq!(bundle.playback_keys[0].bounds, made.bounds);
    cluster
        .admin
        .playback_key_revoke(made.id)
        .await
        .expect("revokes");
    let bundle = watch.bundle(|bundle| bundle.playback_keys.is_empty()).await;
    let revocation = &bundle.revocations[0];
    assert_eq!(revocation.kind, RevocationKind::Key);
    assert_eq!(revocation.value, made.id.to_string());
    assert!(revocation.ends_sessions);
    cluster.stop().await;
}
