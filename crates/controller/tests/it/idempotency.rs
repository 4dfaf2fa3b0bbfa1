//! `Idempotency-Key`: a repeated POST has one effect and one answer.

use headworks_types::ProblemCode;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Answer, Api, Controller, camera};

async fn post(api: &Api, path: &str, key: &str, body: Value) -> Answer {
    let headers = [("idempotency-key", key)];
    api.send(Method::POST, path, Some(body), &headers).await
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_repetition_gets_the_same_answer_secrets_included(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let body = json!({"name": "ci"});
    let first = post(api, "/v1/api_keys", "a", body.clone()).await;
    let second = post(api, "/v1/api_keys", "a", body.clone()).await;
    assert_eq!(first.expect(201), second.expect(201));
    let third = post(api, "/v1/api_keys", "b", body.clone()).await;
    assert_ne!(first.expect(201), third.expect(201));

    let reused = post(api, "/v1/api_keys", "a", json!({"name": "cd"})).await;
    reused.problem(ProblemCode::IdempotencyKeyReused);
    let reused = post(api, "/v1/users", "a", body.clone()).await;
    reused.problem(ProblemCode::IdempotencyKeyReused);

    // Another caller's keys are their own.
    let (_, other) = controller.project("theirs").await;
    let theirs = post(&other, "/v1/api_keys", "a", body.clone()).await;
    assert_ne!(first.expect(201), theirs.expect(201));
    for bad in ["", &"x".repeat(256)] {
        let refused = post(api, "/v1/api_keys", bad, body.clone()).await;
        refused.problem(ProblemCode::Malformed);
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_was_refused_may_be_tried_again(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let mut body = camera("gate");
    body["external_id"] = json!("1");
    let there = api.post("/v1/cameras", body.clone()).await.expect(201);
    post(api, "/v1/cameras", "a", body.clone())
        .await
        .problem(ProblemCode::Conflict);
    let path = format!("/v1/cameras/{}", there["id"].as_str().expect("has an id"));
    api.delete(&path).await.expect(204);
    post(api, "/v1/cameras", "a", body).await.expect(201);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn concurrent_repetitions_have_one_effect(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let api = api.clone();
            controller.tasks.spawn("post", async move {
                post(&api, "/v1/cameras", "a", camera("gate")).await
            })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("ends").expect(201));
    }
    assert!(
        answers.windows(2).all(|pair| pair[0] == pair[1]),
        "{answers:?}"
    );
    assert_eq!(api.all("/v1/cameras", 50).await.len(), 1);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn keys_are_forgotten_after_a_day(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let first = post(api, "/v1/users", "a", json!({"name": "Ann"}))
        .await
        .expect(201);
    post(api, "/v1/users", "b", json!({"name": "Bob"}))
        .await
        .expect(201);
    let aged = sqlx::query!("UPDATE idempotency SET created_at = created_at - interval '25 hours'")
        .execute(&controller.pool)
        .await
        .expect("ages them");
    assert_eq!(aged.rows_affected(), 2);
    let second = post(api, "/v1/users", "a", json!({"name": "Ann"}))
        .await
        .expect(201);
    assert_ne!(first, second, "it is another request now");
    let left = sqlx::query_scalar!("SELECT key FROM idempotency")
        .fetch_all(&controller.pool)
        .await
        .expect("reads");
    assert_eq!(left, ["a"], "the other one was swept");
    controller.stop().await;
}
