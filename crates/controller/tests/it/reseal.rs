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

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_stopped_in_the_middle_goes_on(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = controller.admin.clone();
    let mut body = camera("gate");
    body["credentials"] = json!({"username": "root", "password": "p@ss"});
    let camera = text(&api.post("/v1/cameras", body).await.expect(201)["id"]);
    let secret = api.secret().to_owned();
    controller.stop().await;

    // Signing keys come last, and somebody has them.
    let mut other = pool.begin().await.expect("begins");
    let locked = sqlx::query_scalar!("SELECT kid FROM signing_key FOR UPDATE");
    locked.fetch_all(&mut *other).await.expect("locks");
    let both = renewed(&pool, Some(MASTER_KEY));
    let credentials = async || {
        let stored = sqlx::query_scalar!("SELECT credentials FROM camera");
        stored.fetch_one(&pool).await.expect("reads")
    };
    let before = credentials().await;
    let half = async {
        while credentials().await == before {
            tokio::task::yield_now().await;
        }
    };
    let limit = std::time::Duration::from_secs(20);
    let stopped = async {
        tokio::select! {
            done = reseal(&both) => panic!("it is held up: {done:?}"),
            () = half => {}
        }
    };
    let waited = tokio::time::timeout(limit, stopped);
    waited.await.expect("half is done");
    other.rollback().await.expect("lets go");

    let controller = Controller::start_with(&pool, both.clone(), &secret).await;
    let token = json!({"camera_ids": [camera]});
    let issued = controller.admin.post("/v1/playback_tokens", token.clone());
    issued.await.expect(201);
    let done = reseal(&both).await.expect("goes on beside a controller");
    let camera_column = done.iter().find(|one| one.column == "camera.credentials");
    assert_eq!(
        camera_column.map(|one| one.resealed),
        Some(0),
        "it was done"
    );
    controller.stop().await;
    let controller = Controller::start_with(&pool, renewed(&pool, None), &secret).await;
    let issued = controller.admin.post("/v1/playback_tokens", token);
    issued.await.expect(201);
    controller.stop().await;
}
