//! Many cameras at once.

use headworks_types::{CameraBulkOutcome, CameraBulkResult, ProblemCode};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Controller, camera};

fn item(name: &str, external_id: &str) -> Value {
    let mut item = camera(name);
    item["external_id"] = json!(external_id);
    item
}

fn words(result: &CameraBulkResult) -> Vec<String> {
    let word = |outcome: &CameraBulkOutcome| match outcome {
        CameraBulkOutcome::Created { camera } => format!("created {}", camera.name),
        CameraBulkOutcome::Valid => "valid".to_owned(),
        CameraBulkOutcome::Failed { problem } => {
            let at = problem.errors.first().map_or("", |field| &field.pointer);
            format!("{} {at}", problem.code)
        }
    };
    result.results.iter().map(word).collect()
}

#[sqlx::test(migrations = "../../migrations")]
async fn each_item_succeeds_or_fails_by_itself(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    api.post("/v1/cameras", item("there", "0"))
        .await
        .expect(201);
    let items = json!([
        item("a", "1"),
        item("taken", "0"),
        {"name": "no source"},
        item("twice", "1"),
        item("", "2"),
        "no camera at all",
        item("b", "3"),
    ]);
    let body = json!({"items": items, "dry_run": true});
    let dry: CameraBulkResult = api.post("/v1/cameras:bulk_create", body).await.parse(200);
    let failures = [
        "conflict ",
        "malformed /items/2",
        "conflict ",
        "invalid /items/4/name",
        "malformed /items/5",
    ];
    assert_eq!(
        words(&dry),
        [&["valid"], &failures[..], &["valid"]].concat()
    );
    assert_eq!(
        api.all("/v1/cameras", 50).await.len(),
        1,
        "it was only asked"
    );

    let body = json!({"items": items});
    let wet: CameraBulkResult = api.post("/v1/cameras:bulk_create", body).await.parse(200);
    let expected = [&["created a"], &failures[..], &["created b"]].concat();
    assert_eq!(words(&wet), expected);
    let names = api.all("/v1/cameras", 50).await;
    let names: Vec<_> = names.iter().map(|camera| camera["name"].clone()).collect();
    assert_eq!(names, ["there", "a", "b"]);
    let created = |event: &&Value| event["kind"] == "camera.created";
    api.events(|events| events.iter().filter(created).count() == 3)
        .await;
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_thousand_cameras_fit_and_one_more_does_not(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let items = |count: usize| -> Vec<_> {
        let name = |index| item(&format!("camera {index}"), &format!("{index}"));
        (0..count).map(name).collect()
    };
    let path = "/v1/cameras:bulk_create";
    let refused = api.post(path, json!({"items": items(1001)})).await;
    assert_eq!(refused.pointers(ProblemCode::Invalid), ["/items"]);
    let refused = api.post(path, json!({"items": []})).await;
    assert_eq!(refused.pointers(ProblemCode::Invalid), ["/items"]);
    let body = json!({"items": items(1000)});
    let key = [("idempotency-key", "bulk")];
    let first = api.send(Method::POST, path, Some(body.clone()), &key).await;
    let second = api.send(Method::POST, path, Some(body), &key).await;
    assert_eq!(first.expect(200), second.expect(200));
    let cameras = api.all("/v1/cameras", 300).await;
    let names: Vec<_> = cameras.iter().map(|c| c["name"].clone()).collect();
    let expected: Vec<_> = (0..1000)
        .map(|index| json!(format!("camera {index}")))
        .collect();
    assert_eq!(names, expected, "in the order of the items");
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn only_bulk_bodies_may_be_large(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let large = json!({"items": [{"name": "x".repeat(2 << 20)}]});
    let answer = api.post("/v1/cameras:bulk_create", large.clone()).await;
    answer.expect(200);
    let answer = api.post("/v1/cameras", large).await;
    answer.problem(ProblemCode::TooLarge);
    let huge = json!({"items": [{"name": "x".repeat(9 << 20)}]});
    let answer = api.post("/v1/cameras:bulk_create", huge).await;
    answer.problem(ProblemCode::TooLarge);
    let join = json!({"token": "x".repeat(2 << 20)});
    let answer = controller
        .edges(None)
        .post("/edge/v1/nodes:join", join)
        .await;
    answer.problem(ProblemCode::TooLarge);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_same_cameras_in_another_order_at_once_do_not_block_each_other(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let items = ["a", "m", "z"].map(|name| item(name, name)).to_vec();
    let backwards: Vec<_> = items.iter().rev().cloned().collect();
    // Whoever adds `m` meanwhile stops both in the middle.
    let mut tx = controller.pool.begin().await.expect("begins");
    sqlx::query!(
        "INSERT INTO camera (id, project_id, name, external_id, source, start)
         SELECT gen_random_uuid(), id, 'm', 'm', '{}', 'always' FROM project"
    )
    .execute(&mut *tx)
    .await
    .expect("adds it");
    let bulk = async |items: Vec<Value>| {
        let answer = api.post("/v1/cameras:bulk_create", json!({"items": items}));
        let json = answer.await.expect(200).to_string();
        json.matches(r#""outcome":"created""#).count()
    };
    let release = async {
        controller.waiting(2).await;
        tx.rollback().await.expect("rolls back");
    };
    let (one, two, ()) = futures::join!(bulk(items), bulk(backwards), release);
    assert_eq!(one + two, 3, "each is created once");
    controller.stop().await;
}
