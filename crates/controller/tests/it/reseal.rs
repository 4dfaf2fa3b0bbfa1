//! Another master key: nothing is lost, and credentials go on working.

use headworks_controller::{Config, reseal};
use headworks_types::Secret;
use serde_json::json;
use sqlx::PgPool;

use crate::harness::{Controller, MASTER_KEY, camera, config, text};

const NEW_KEY: &str = "bmV3LW1hc3Rlci1rZXktMDEyMzQ1Njc4OTAxMjM0NTY=";

fn renewed(pool: &PgPool, second: Option<&str>) -> Config {
    Config {
        master_key: Some(Secret::new(NEW_KEY)),
        second_master_key: second.map(Secret::new),
        ..config(pool)
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn everything_is_sealed_anew_and_credentials_stay(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = controller.admin.clone();
    let mut body = camera("gate");
    body["credentials"] = json!({"username": "root", "password": "p@ss"});
    let camera = text(&api.post("/v1/cameras", body).await.expect(201)["id"]);
    let key = [("idempotency-key", "k")];
    let made = api.send(
        reqwest::Method::POST,
        "/v1/users",
        Some(json!({"name": "Ann"})),
        &key,
    );
    let made = made.await.expect(201);
    let push =
        json!({"name": "cloud", "url": "rtmp://push.example.com/live", "stream_key": "s3cret"});
    let path = format!("/v1/cameras/{camera}/restreams");
    api.post(&path, push).await.expect(201);
    let secret = api.secret().to_owned();
    controller.stop().await;

    let wrong = reseal(&renewed(&pool, None))
        .await
        .expect_err("needs the old key");
    assert!(format!("{wrong:#}").contains("does not fit"), "{wrong:#}");
    let both = renewed(&pool, Some(MASTER_KEY));
    let done = reseal(&both).await.expect("seals anew");
    let counts: Vec<_> = done
        .iter()
        .map(|one| (one.column.as_str(), one.resealed, one.unreadable))
        .collect();
    for column in [
        "camera.credentials",
        "cluster_ca.private",
        "cluster_secret.sealed",
        "idempotency.body",
        "restream.secrets",
        "signing_key.private",
    ] {
        assert!(counts.contains(&(column, 1, 0)), "{column}: {counts:?}");
    }
    let again = reseal(&both).await.expect("has nothing to do");
    assert!(
        again
            .iter()
            .all(|one| (one.resealed, one.unreadable) == (0, 0))
    );

    // The old key is not needed any more.
    let controller = Controller::start_with(&pool, renewed(&pool, None), &secret).await;
    let api = &controller.admin;
    let once = api.send(
        reqwest::Method::POST,
        "/v1/users",
        Some(json!({"name": "Ann"})),
        &key,
    );
    assert_eq!(
        once.await.expect(201),
        made,
        "what was answered is still known"
    );
    let token = json!({"camera_ids": [camera]});
    api.post("/v1/playback_tokens", token).await.expect(201);
    controller.stop().await;
}
