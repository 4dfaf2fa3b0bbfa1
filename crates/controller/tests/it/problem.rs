//! Every refusal is a problem, whatever the request.

use headworks_types::ProblemCode;
use reqwest::Method;
use serde_json::json;
use sqlx::PgPool;

use crate::harness::{Controller, published, text};

const JSON: (&str, &str) = ("content-type", "application/json");

#[sqlx::test(migrations = "../../migrations")]
async fn odd_requests_are_refused_in_words(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    api.get("/").await.problem(ProblemCode::NotFound);
    api.get("/v1/cams").await.problem(ProblemCode::NotFound);
    api.get("/v1/cameras/").await.problem(ProblemCode::NotFound);
    api.delete("/v1/cameras")
        .await
        .problem(ProblemCode::MethodNotAllowed);
    api.get("/v1/cameras:bulk_create")
        .await
        .problem(ProblemCode::MethodNotAllowed);
    for id in [
        "x",
        "cam_1",
        "usr_0190f3c2a1b27c3d8e4f5a6b7c8d9e0f",
        "%00",
        "%ff",
        "cam_x:fly",
    ] {
        let path = format!("/v1/cameras/{id}");
        api.get(&path).await.problem(ProblemCode::NotFound);
    }
    let post = async |body: &str, headers: &[(&str, &str)]| {
        api.send_raw(Method::POST, "/v1/cameras", body.to_owned(), headers)
            .await
    };
    post("{}", &[])
        .await
        .problem(ProblemCode::UnsupportedMediaType);
    let text = [("content-type", "text/plain")];
    post("{}", &text)
        .await
        .problem(ProblemCode::UnsupportedMediaType);
    let refused = post("{\"name\": ", &[JSON]).await;
    refused.problem(ProblemCode::Malformed);
    let refused = post("{} x", &[JSON]).await;
    refused.problem(ProblemCode::Malformed);
    post("[]", &[JSON]).await.problem(ProblemCode::Malformed);
    post("", &[JSON]).await.problem(ProblemCode::Malformed);
    post("\u{feff}{}", &[JSON])
        .await
        .problem(ProblemCode::Malformed);
    let deep = "[".repeat(100_000);
    post(&deep, &[JSON]).await.problem(ProblemCode::Malformed);
    let body = json!({"name": "a", "source": {"type": "pull", "url": 7}}).to_string();
    assert_eq!(
        post(&body, &[JSON]).await.pointers(ProblemCode::Malformed),
        ["/source"]
    );
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_inner_form_of_verbs_is_not_public(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let gate = text(&api.post("/v1/cameras", published("gate")).await.expect(201)["id"]);
    let path = format!("/v1/cameras/{gate}/stream_keys");
    let key = api.post(&path, json!({"name": "obs"})).await.expect(201);
    let key = format!("/v1/stream_keys/{}", text(&key["stream_key"]["id"]));
    for inner in ["/~revoke", "/%7Erevoke", "/revoke", ":fly"] {
        let refused = api.post(&format!("{key}{inner}"), json!({})).await;
        refused.problem(ProblemCode::NotFound);
    }
    // That would be the id of a key, and nobody posts to a key.
    let refused = api.post(&format!("{key}%3Arevoke"), json!({})).await;
    refused.problem(ProblemCode::MethodNotAllowed);
    let refused = api.get(&format!("{key}:revoke")).await;
    refused.problem(ProblemCode::MethodNotAllowed);
    api.post(&format!("{key}:revoke"), json!({}))
        .await
        .expect(200);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn request_ids_go_in_and_out(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let get = async |id: &str| {
        let headers = [("x-request-id", id)];
        let answer = controller
            .admin
            .send(Method::GET, "/nowhere", None, &headers)
            .await;
        let problem = answer.problem(ProblemCode::NotFound);
        problem.request_id.expect("has one")
    };
    assert_eq!(get("trace-7.a:b_c").await, "trace-7.a:b_c");
    for odd in ["", "a b", "a\tb", "<script>", &"x".repeat(129)] {
        let id = get(odd).await;
        assert_ne!(id, odd);
        assert_eq!(id.len(), 32);
    }
    let fine = controller.admin.get("/v1/cameras").await;
    assert!(fine.headers.contains_key("x-request-id"));
    controller.stop().await;
}
