//! Events over HTTP.

use headworks_types::ProblemCode;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};

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
    api.post("/v1/users", json!({"name": "Ann"}))
        .await
        .expect(201);
    api.events(|events| events.len() == 7).await;
    let later = api
        .get(&format!("/v1/events?page_token={last}"))
        .await
        .expect(200);
    assert_eq!(later["items"][0]["kind"], "user.created");
    for bad in ["x", "-1", "999999", "9223372036854775808"] {
        let refused = api.get(&format!("/v1/events?page_token={bad}")).await;
        assert_eq!(refused.pointers(ProblemCode::Malformed), ["/page_token"]);
    }
    controller.stop().await;
}

async fn happen(conn: &mut PgConnection, subject: &str) {
    sqlx::query!(
        "INSERT INTO event (kind, subject, actor, message) VALUES ('node.died', $1, 't', 't')",
        subject
    )
    .execute(conn)
    .await
    .expect("writes");
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_event_of_a_slow_transaction_is_not_skipped(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let subjects = |events: &[Value]| -> Vec<String> {
        let died = events.iter().filter(|event| event["kind"] == "node.died");
        died.map(|event| text(&event["subject"])).collect()
    };
    // The one that begins first writes the higher id, and commits first.
    let mut early = controller.pool.begin().await.expect("begins");
    sqlx::query!("SELECT pg_current_xact_id()::text AS id")
        .fetch_one(&mut *early)
        .await
        .expect("is numbered");
    let mut slow = controller.pool.begin().await.expect("begins");
    happen(&mut slow, "slow").await;
    happen(&mut early, "early").await;
    early.commit().await.expect("commits");
    let before = api.events(|events| subjects(events) == ["early"]).await;
    // What comes later waits for the slow one.
    api.post("/v1/users", json!({"name": "Ann"}))
        .await
        .expect(201);
    assert_eq!(api.all("/v1/events", 10).await, before);
    slow.commit().await.expect("commits");
    let events = api.events(|events| events.len() == before.len() + 2).await;
    assert_eq!(subjects(&events), ["early", "slow"]);
    assert_eq!(
        kinds(&events).last().map(String::as_str),
        Some("user.created")
    );
    let last = &before[before.len() - 1]["id"];
    let rest = api
        .get(&format!("/v1/events?page_token={last}"))
        .await
        .expect(200);
    let rest = rest["items"].as_array().expect("has items").clone();
    assert_eq!(
        rest,
        events[before.len()..],
        "nothing is skipped from there"
    );
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn each_project_hears_its_own_events(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let (id, theirs) = controller.project("theirs").await;
    theirs.post("/v1/cameras", camera("gate")).await.expect(201);
    controller
        .admin
        .post("/v1/cameras", camera("yard"))
        .await
        .expect(201);
    let heard = |events: &[Value]| kinds(events).contains(&"camera.created".to_owned());
    let events = theirs.events(heard).await;
    assert!(
        events
            .iter()
            .all(|event| !event["message"].to_string().contains("yard"))
    );
    let own = events.len();
    let all = controller.admin.events(|events| events.len() > own).await;
    let foreign = all.iter().find(|event| !events.contains(event));
    let foreign = foreign.expect("the admin hears more")["id"].clone();
    let refused = theirs
        .get(&format!("/v1/events?page_token={foreign}"))
        .await;
    refused.problem(ProblemCode::Malformed);
    let viewer = controller
        .key_in(Some(&id), &[(on_project(&id), &["camera.view_live"])])
        .await;
    viewer
        .get("/v1/events")
        .await
        .problem(ProblemCode::Forbidden);
    controller.stop().await;
}
