//! Users over HTTP.

use headworks_types::{ProblemCode, User};
use reqwest::Method;
use serde_json::json;
use sqlx::PgPool;

use crate::harness::{Controller, text};

#[sqlx::test(migrations = "../../migrations")]
async fn a_user_lives(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let body = json!({"name": "Ann", "external_id": "ann", "labels": {"team": "night"}});
    let created: User = api.post("/v1/users", body).await.parse(201);
    assert!(created.enabled);
    let path = format!("/v1/users/{}", created.id);
    let viewed = api.get(&path).await;
    assert_eq!(viewed.etag(), "\"1\"");
    assert_eq!(viewed.parse::<User>(200), created);

    let change = json!({"name": "Anna", "enabled": false});
    let changed = api.patch(&path, change).await;
    assert_eq!(changed.etag(), "\"2\"");
    let changed: User = changed.parse(200);
    assert_eq!((changed.name.as_str(), changed.enabled), ("Anna", false));
    assert_eq!(changed.external_id.as_deref(), Some("ann"));
    let change = json!({"external_id": null, "labels": {}});
    let changed: User = api.patch(&path, change).await.parse(200);
    assert_eq!(changed.external_id, None);
    assert!(changed.labels.0.is_empty());

    let stale = [("if-match", "\"1\"")];
    let refused = api.send(Method::DELETE, &path, None, &stale).await;
    refused.problem(ProblemCode::PreconditionFailed);
    api.delete(&path).await.expect(204);
    api.get(&path).await.problem(ProblemCode::NotFound);
    api.patch(&path, json!({}))
        .await
        .problem(ProblemCode::NotFound);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn users_are_found_by_labels_and_external_id(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    for (name, team) in [("a", "day"), ("b", "night"), ("c", "night")] {
        let body = json!({"name": name, "external_id": name, "labels": {"team": team}});
        api.post("/v1/users", body).await.expect(201);
    }
    let refused = api
        .post("/v1/users", json!({"name": "d", "external_id": "a"}))
        .await;
    refused.problem(ProblemCode::Conflict);
    let names = async |query: &str| -> Vec<String> {
        let items = api.all(&format!("/v1/users{query}"), 1).await;
        items.iter().map(|user| text(&user["name"])).collect()
    };
    assert_eq!(names("").await, ["a", "b", "c"]);
    assert_eq!(names("?labels=team%3Dnight").await, ["b", "c"]);
    assert_eq!(names("?external_id=b").await, ["b"]);
    controller.stop().await;
}
