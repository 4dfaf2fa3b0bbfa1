//! Events over HTTP.

use headworks_types::ProblemCode;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Controller, camera, on_project, text};

fn kinds(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| text(&event["kind"])).collect()
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_happened_is_told_in_order(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let gate = text(&api.post("/v1/cameras", camera("gate")).await.expect(201)["id"]);
    let path = format!("/v1/cameras/{gate}");
    api.patch(&path, json!({"name": "yard"})).await.expect(200);
    api.delete(&path).await.expect(204);
    let told = [
        "project.created",
        "api_key.created",
        "grant.created",
        "camera.created",
        "camera.updated",
        "camera.deleted",
    ];
    let events = api.events(|events| kinds(events) == told).await;
    assert_eq!(events[3]["subject"], gate);
    assert!(text(&events[3]["actor"]).starts_with("key_"));
    assert_eq!(api.all("/v1/events", 2).await, events, "page by page");

    // From the end, one goes on with the last event's id.
    let last = &events[5]["id"];
    api.post("/v1/users", json!({"name": "Ann"})).await.expect(201);
    api.events(|events| events.len() == 7).await;
    let later = api.get(&format!("/v1/events?page_token={last}")).await.expect(200);
    assert_eq!(later["items"][0]["kind"], "user.created");
    for bad in ["x", "-1", "999999", "9223372036854775808"] {
        let refused = api.get(&format!("/v1/events?page_token={bad}")).await;
        assert_eq!(refused.pointers(ProblemCode::Malformed), ["/page_token"]);
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_event_of_a_slow_transaction_is_not_skipped(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    // It draws its event's id before, and commits after, the one that comes next.
    let mut slow = controller.pool.begin().await.expect("begins");
    sqlx::query!(
        "INSERT INTO event (kind, subject, actor, message) VALUES ('node.died', 'n', 't', 'slow')"
    )
    .execute(&mut *slow)
    .await
    .expect("writes");
    api.post("/v1/users", json!({"name": "Ann"})).await.expect(201);
    let before = api.all("/v1/events", 10).await;
    assert_eq!(kinds(&before).last().map(String::as_str), Some("grant.created"));
    slow.commit().await.expect("commits");
    let events = api.events(|events| events.len() == before.len() + 2).await;
    assert_eq!(kinds(&events)[3..], ["node.died", "user.created"]);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn each_project_hears_its_own_events(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let (id, theirs) = controller.project("theirs").await;
    theirs.post("/v1/cameras", camera("gate")).await.expect(201);
    controller.admin.post("/v1/cameras", camera("yard")).await.expect(201);
    let heard = |events: &[Value]| kinds(events).contains(&"camera.created".to_owned());
    let events = theirs.events(heard).await;
    assert!(events.iter().all(|event| !event["message"].to_string().contains("yard")));
    let own = events.len();
    let all = controller.admin.events(|events| events.len() > own).await;
    let foreign = all.iter().find(|event| !events.contains(event));
    let foreign = foreign.expect("the admin hears more")["id"].clone();
    let refused = theirs.get(&format!("/v1/events?page_token={foreign}")).await;
    refused.problem(ProblemCode::Malformed);
    let viewer = controller
        .key_in(Some(&id), &[(on_project(&id), &["camera.view_live"])])
        .await;
    viewer.get("/v1/events").await.problem(ProblemCode::Forbidden);
    controller.stop().await;
}
