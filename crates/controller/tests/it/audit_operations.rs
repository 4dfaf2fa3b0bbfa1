//! The audit log and the list of operations: none that changes something is missing, however it
//! ends.

use headworks_types::ProblemCode;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    audit::wait_for,
    harness::{Api, Controller, PASSWORD, camera, text},
    openapi::{CONFIGURED, Operation, PEOPLE, PUBLIC, World, document, operations},
};

/// The operations that change something.
fn changing() -> Vec<Operation> {
    let all = operations(&document()).into_iter();
    let changing = all.filter(|o| o.method != Method::GET && o.path.starts_with("/v1/"));
    let changing: Vec<_> = changing.collect();
    assert!(changing.len() > 40, "{}", changing.len());
    changing
}

/// Operations that change nothing.
const QUESTIONS: &[&str] = &["plan_preview"];

/// Operations that change two things at once: another key signs instead.
const OF_TWO: &[&str] = &["signing_key_revoke"];

/// The only record of a request, as soon as it is there; of two things, the first.
async fn only_record(admin: &Api, operation: &str, request: &str) -> Value {
    let of_request = |records: &[Value]| {
        let records = records.iter().filter(|r| r["request_id"] == request);
        records.cloned().collect::<Vec<_>>()
    };
    let query = format!("action={operation}&limit=1000");
    let found = wait_for(admin, &query, |records| !of_request(records).is_empty()).await;
    let records = of_request(&found);
    let is_done = records.iter().all(|record| record["result"] == "ok");
    let wanted = 1 + usize::from(is_done && OF_TWO.contains(&operation));
    assert_eq!(records.len(), wanted, "{operation}: {records:?}");
    records.last().expect("is there").clone()
}

/// Requests that would change nothing as [`World`] has them.
async fn prepare(world: &mut World, admin: &Api, operation: &str) {
    let camera_id = world.ids["camera_id"].clone();
    match operation {
        "camera_bulk_create" => {
            let bulk = json!({"items": [camera("x")]});
            world.bodies.insert("camera_bulk_create", bulk);
        }
        "restream_import" => {
            let target = json!({"name": "x", "url": "rtmp://push.example.com/live/{name}"});
            let import = json!({"cameras": [{"camera_id": camera_id}], "target": target});
            world.bodies.insert("restream_import", import);
        }
        "restream_start" => {
            let stop = format!("/v1/restreams/{}:stop", world.ids["restream_id"]);
            admin.post(&stop, json!({})).await.expect(200);
        }
        "node_uncordon" => {
            let cordon = format!("/v1/nodes/{}:cordon", world.ids["node_id"]);
            admin.post(&cordon, json!({})).await.expect(200);
        }
        "node_cancel_drain" => {
            let drain = format!("/v1/nodes/{}:drain", world.ids["node_id"]);
            admin.post(&drain, json!({})).await.expect(200);
        }
        "user_group_member_add" => {
            let (group, user) = (&world.ids["user_group_id"], &world.ids["user_id"]);
            let member = format!("/v1/user_groups/{group}/members/{user}");
            admin.delete(&member).await.expect(204);
        }
        _ => {}
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn every_change_is_recorded_by_its_transaction(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let actor = controller.key_id(admin).await;
    let elsewhere = [PUBLIC, CONFIGURED, PEOPLE, QUESTIONS].concat();
    for operation in &changing() {
        let id = operation.id.as_str();
        if elsewhere.contains(&id) {
            continue;
        }
        let mut world = World::make(&controller).await;
        prepare(&mut world, admin, id).await;
        world.prepare(&controller, id).await;
        let request = format!("ok-{id}");
        let headers = [("x-request-id", request.as_str())];
        let answer = world.request_with(admin, operation, &headers).await;
        assert!(answer.status.is_success(), "{id}: {}", answer.text);
        let record = only_record(admin, id, &request).await;
        assert_eq!(record["result"], "ok", "{id}");
        assert_eq!(record["actor"], *actor, "{id}");
        assert_eq!(record["address"], "127.0.0.1", "{id}");
        assert!(record["object"].is_string(), "{id}: {record}");
        // What comes afterwards says that nothing had to be changed.
        let message = text(&record["detail"]["message"]);
        assert_ne!(message, "nothing had to be changed", "{id}");
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn every_refusal_is_recorded(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let world = World::make(&controller).await;
    let powerless = controller.key(&[]).await;
    let actor = controller.key_id(&powerless).await;
    let anonymous = controller.anonymous();
    for operation in &changing() {
        let id = operation.id.as_str();
        if PUBLIC.contains(&id) {
            continue;
        }
        for (api, actor, codes) in [
            (&anonymous, None, &["unauthenticated"][..]),
            (
                &powerless,
                Some(actor.as_str()),
                &["forbidden", "not_found"],
            ),
        ] {
            let request = format!("{}-{id}", actor.map_or("stranger", |_| "powerless"));
            let headers = [("x-request-id", request.as_str())];
            let answer = world.request_with(api, operation, &headers).await;
            assert!(answer.status.is_client_error(), "{id}: {}", answer.text);
            let record = only_record(admin, id, &request).await;
            assert_eq!(record["result"], "refused", "{id}");
            assert_eq!(record["actor"].as_str(), actor, "{id}");
            assert!(codes.contains(&&*text(&record["code"])), "{id}: {record}");
            assert_eq!(record["address"], "127.0.0.1", "{id}");
            // What a stranger names may be made up.
            let in_path = actor.is_some() && operation.path.contains("_id}");
            assert_eq!(record["object"].is_string(), in_path, "{id}: {record}");
        }
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn every_change_of_what_has_changed_meanwhile_is_recorded_as_failed(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let world = World::make(&controller).await;
    let mut failed = 0;
    for operation in &changing() {
        let id = operation.id.as_str();
        let takes_etag = operation.method == Method::PATCH || operation.method == Method::DELETE;
        let without = ["grant_delete", "node_delete", "user_group_member_remove"];
        if !takes_etag || without.contains(&id) {
            continue;
        }
        let request = format!("late-{id}");
        let headers = [("x-request-id", request.as_str()), ("if-match", "\"999\"")];
        let answer = world.request_with(admin, operation, &headers).await;
        answer.problem(ProblemCode::PreconditionFailed);
        let record = only_record(admin, id, &request).await;
        assert_eq!(
            (&record["result"], &record["code"]),
            (&json!("failed"), &json!("precondition_failed")),
            "{id}"
        );
        failed += 1;
    }
    assert!(failed >= 8, "{failed}");
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_people_do_about_being_signed_in_is_recorded(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let (admin, anonymous) = (&controller.admin, controller.anonymous());
    let ann = controller.person("ann@example.com", &[]).await;
    const NEW: &str = "battery staple horse";
    let with = |password: &str| json!({"email": "ann@example.com", "password": password});
    let mut api = ann.api.clone();
    for (id, body) in [
        ("auth_refresh", json!({"refresh_token": ann.refresh})),
        ("auth_sign_out", json!({})),
        ("auth_sign_in", with(PASSWORD)),
        (
            "auth_change_password",
            json!({"password": PASSWORD, "new_password": NEW}),
        ),
        ("auth_sign_out_everywhere", json!({})),
    ] {
        let path = format!("/v1/{}", id.replacen('_', ":", 1));
        let headers = [("x-request-id", id)];
        let answer = api.send(Method::POST, &path, Some(body), &headers).await;
        assert!(answer.status.is_success(), "{id}: {}", answer.text);
        let record = only_record(admin, id, id).await;
        assert_eq!(record["result"], "ok", "{id}");
        assert_eq!(record["actor"], *ann.id, "{id}");
        let message = text(&record["detail"]["message"]);
        assert_ne!(message, "nothing had to be changed", "{id}");
        if !answer.text.is_empty() {
            api = api.with_key(answer.expect(200)["access_token"].as_str());
        }
    }
    // And what nobody could do.
    for code in ["unauthenticated", "too_many_requests"] {
        let mut guesses = 0;
        while anonymous
            .post("/v1/auth:sign_in", with(PASSWORD))
            .await
            .code()
            != code
        {
            guesses += 1;
            assert!(guesses < 50, "{code}");
        }
        let query = "action=auth_sign_in&result=refused&limit=1000";
        let has = |found: &[Value]| found.iter().any(|record| record["code"] == code);
        wait_for(admin, query, has).await;
    }
    controller.stop().await;
}
