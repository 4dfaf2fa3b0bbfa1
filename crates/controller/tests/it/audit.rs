//! The audit log: every change, every refusal, and what edges tell.

use std::time::Duration;

use headworks_types::ProblemCode;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    edge_cluster,
    harness::{Api, Controller, camera, on_project, published, text},
};

async fn list(api: &Api, query: &str) -> Vec<Value> {
    let page = api.get(&format!("/v1/audit?{query}")).await.expect(200);
    page["items"].as_array().expect("is a list").clone()
}

/// Asks until it is as wanted: refusals are written a moment later.
pub(crate) async fn wait_for(
    api: &Api,
    query: &str,
    wanted: impl Fn(&[Value]) -> bool,
) -> Vec<Value> {
    let wait = async {
        loop {
            let found = list(api, query).await;
            if wanted(&found) {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    let limit = Duration::from_secs(20);
    let waited = tokio::time::timeout(limit, wait).await;
    waited.unwrap_or_else(|_| panic!("not as wanted: {query}"))
}

#[sqlx::test(migrations = "../../migrations")]
async fn every_change_is_recorded_with_its_operation(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let gate = api.post("/v1/cameras", published("gate")).await.expect(201);
    let gate = text(&gate["id"]);
    let path = format!("/v1/cameras/{gate}");
    api.patch(&path, json!({"name": "door"})).await.expect(200);
    let keys = format!("{path}/stream_keys");
    let key = api.post(&keys, json!({"name": "obs"})).await.expect(201);
    let key = text(&key["stream_key"]["id"]);
    let revoke = format!("/v1/stream_keys/{key}:revoke");
    api.post(&revoke, json!({})).await.expect(200);
    let records = list(api, &format!("camera_id={gate}")).await;
    let actions: Vec<_> = records.iter().map(|r| text(&r["action"])).collect();
    assert_eq!(actions, ["camera_update", "camera_create"], "newest first");
    let revoked = list(api, &format!("object={key}&action=stream_key_revoke")).await;
    let [revoked] = &revoked[..] else {
        panic!("{revoked:?}");
    };
    assert_eq!(revoked["result"], "ok");
    assert_eq!(revoked["address"], "127.0.0.1");
    assert!(text(&revoked["actor"]).starts_with("key_"));
    assert!(!text(&revoked["request_id"]).is_empty());
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_change_that_fails_is_recorded_as_failed(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let project = json!({"name": "one"});
    api.post("/v1/projects", project.clone()).await.expect(201);
    let refused = api.post("/v1/projects", project).await;
    refused.problem(ProblemCode::Conflict);
    let failed = "action=project_create&result=failed";
    let failed = &wait_for(api, failed, |found| !found.is_empty()).await[0];
    assert_eq!(failed["code"], "conflict");
    assert!(text(&failed["actor"]).starts_with("key_"));
    let done = list(api, "action=project_create&result=ok").await;
    assert_eq!(done.len(), 1, "{done:?}");
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn refusals_are_recorded_and_those_alike_are_counted(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let gate = api.post("/v1/cameras", camera("gate")).await.expect(201);
    let gate = text(&gate["id"]);
    let (_, stranger) = controller.project("theirs").await;
    let path = format!("/v1/cameras/{gate}");
    stranger.get(&path).await.problem(ProblemCode::NotFound);
    for _ in 0..5 {
        let refused = controller.anonymous().get("/v1/cameras").await;
        refused.problem(ProblemCode::Unauthenticated);
    }
    let query = "result=refused&action=camera_view";
    let hidden = &wait_for(api, query, |found| !found.is_empty()).await[0];
    assert_eq!(hidden["code"], "not_found");
    assert_eq!(hidden["object"], gate);
    assert!(text(&hidden["actor"]).starts_with("key_"));
    let count = |found: &[Value]| {
        let counts = found
            .iter()
            .map(|r| r["detail"]["count"].as_i64().unwrap_or(1));
        counts.sum::<i64>()
    };
    let query = "result=refused&action=camera_list";
    let unknown = wait_for(api, query, |found| count(found) >= 5).await;
    assert_eq!(count(&unknown), 5);
    assert!(unknown.iter().all(|record| record["actor"].is_null()));
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_reader_sees_its_projects_and_nothing_else(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    api.post("/v1/cameras", camera("gate")).await.expect(201);
    let (theirs, stranger) = controller.project("theirs").await;
    stranger.post("/v1/cameras", camera("x")).await.expect(201);
    let reader = controller
        .key(&[(on_project(&theirs), &["audit.read"])])
        .await;
    let seen = list(&reader, "").await;
    assert!(!seen.is_empty());
    assert!(seen.iter().all(|record| record["project_id"] == *theirs));
    let nobody = controller
        .key(&[(on_project(&theirs), &["camera.manage"])])
        .await;
    nobody
        .get("/v1/audit")
        .await
        .problem(ProblemCode::Forbidden);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn pages_and_export_have_everything_once(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    for number in 0..7 {
        let body = camera(&format!("c{number}"));
        api.post("/v1/cameras", body).await.expect(201);
    }
    let pages = api.all("/v1/audit?action=camera_create", 3).await;
    let ids: Vec<_> = pages
        .iter()
        .map(|r| r["id"].as_i64().expect("has one"))
        .collect();
    assert_eq!(ids.len(), 7);
    assert!(ids.is_sorted_by(|a, b| a > b), "{ids:?}");
    let export = api.get("/v1/audit:export?action=camera_create").await;
    assert_eq!(export.status, 200);
    assert_eq!(export.headers["content-type"], "application/x-ndjson");
    let lines: Vec<Value> = export
        .text
        .lines()
        .map(|line| serde_json::from_str(line).expect("is JSON"))
        .collect();
    assert_eq!(lines, pages);
    let middle = text(&pages[3]["at"]);
    let until = api
        .get(&format!("/v1/audit?action=camera_create&until={middle}"))
        .await;
    assert_eq!(until.expect(200)["items"].as_array().map(Vec::len), Some(3));
    for bad in [
        "page_token=x",
        "since=yesterday",
        "result=good",
        "actor=%00",
    ] {
        let refused = api.get(&format!("/v1/audit?{bad}")).await;
        refused.problem(ProblemCode::Malformed);
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_an_edge_tells_twice_is_stored_once(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let gate = api.post("/v1/cameras", camera("gate")).await.expect(201);
    let gate = text(&gate["id"]);
    let (node, edge) = edge_cluster::new_node(&controller, "edge-1").await;
    let entry = |sequence: i64, reason: &str| {
        json!({
            "sequence": sequence, "at": "2026-11-27T10:00:00Z", "action": "session_open",
            "result": "refused", "reason": reason, "camera_id": gate, "protocol": "rtsp",
            "address": "192.0.2.1", "count": sequence,
        })
    };
    let queue = Uuid::new_v4();
    let deliver = async |queue: Uuid, entries: Value| {
        let body = json!({"queue": queue, "entries": entries});
        let delivery = serde_json::from_value(body).expect("parses");
        edge.audit_deliver(&delivery).await
    };
    let first = json!([entry(1, "expired"), entry(2, "missing")]);
    deliver(queue, first.clone()).await.expect("is stored");
    deliver(queue, first).await.expect("is stored");
    let more = json!([entry(2, "missing"), entry(3, "signature")]);
    deliver(queue, more).await.expect("is stored");
    let query = format!("camera_id={gate}&result=refused");
    let records = list(api, &query).await;
    let codes: Vec<_> = records.iter().map(|r| text(&r["code"])).collect();
    assert_eq!(codes, ["signature", "missing", "expired"]);
    assert_eq!(records[0]["node_id"], node.to_string());
    assert_eq!(
        records[0]["detail"],
        json!({"protocol": "rtsp", "count": 3})
    );
    assert_eq!(records[0]["address"], "192.0.2.1");
    assert!(!records[0]["project_id"].is_null(), "the camera's");
    // An edge that has lost its disk counts anew.
    let anew = json!([entry(1, "expired")]);
    deliver(Uuid::new_v4(), anew).await.expect("is stored");
    assert_eq!(list(api, &query).await.len(), 4);
    // What comes after its camera was deleted is that project's too, not that of who guessed its id.
    let path = format!("/v1/cameras/{gate}");
    api.delete(&path).await.expect(204);
    sqlx::query!(
        "INSERT INTO audit (project_id, action, object, result)
         VALUES (gen_random_uuid(), 'camera_view', $1, 'refused')",
        gate.to_string()
    )
    .execute(&pool)
    .await
    .expect("inserts");
    let late = json!([entry(4, "late")]);
    deliver(queue, late).await.expect("is stored");
    let records_then = list(api, &query).await;
    let late = records_then.iter().find(|record| record["code"] == "late");
    assert_eq!(
        late.expect("is stored")["project_id"],
        records[0]["project_id"]
    );
    let refused = deliver(queue, json!([entry(9, "a\u{7}b")])).await;
    let refused = refused.expect_err("is no text");
    assert_eq!(refused.code(), Some(ProblemCode::Invalid));
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_filter_that_there_is_not_is_refused(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    for path in ["/v1/audit", "/v1/audit:export", "/v1/sessions"] {
        let misspelt = format!("{path}?acter=key_1");
        api.get(&misspelt).await.problem(ProblemCode::Malformed);
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn records_are_not_changed(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    controller
        .admin
        .post("/v1/cameras", camera("gate"))
        .await
        .expect(201);
    #[expect(clippy::disallowed_methods, reason = "it is refused")]
    let changed = sqlx::query("UPDATE audit SET actor = 'nobody'")
        .execute(&pool)
        .await;
    assert!(changed.is_err());
    controller.stop().await;
}
