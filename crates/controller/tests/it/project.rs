//! Projects over HTTP.

use headworks_types::{Page, ProblemCode, Project};
use reqwest::Method;
use serde_json::json;
use sqlx::PgPool;

use crate::harness::{Controller, on_project};

#[sqlx::test(migrations = "../../migrations")]
async fn a_project_lives(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let created: Project = api
        .post("/v1/projects", json!({"name": "site 1"}))
        .await
        .parse(201);
    let path = format!("/v1/projects/{}", created.id);
    let viewed = api.get(&path).await;
    assert_eq!(viewed.etag(), "\"1\"");
    assert_eq!(viewed.parse::<Project>(200), created);

    let renamed = api.patch(&path, json!({"name": "site 2"})).await;
    assert_eq!(renamed.etag(), "\"2\"");
    assert_eq!(renamed.parse::<Project>(200).name, "site 2");
    let same = api.patch(&path, json!({})).await;
    assert_eq!(same.etag(), "\"2\"", "nothing was changed");
    let stale = [("if-match", "\"1\"")];
    let body = Some(json!({"name": "site 3"}));
    let refused = api.send(Method::PATCH, &path, body, &stale).await;
    refused.problem(ProblemCode::PreconditionFailed);

    let page: Page<Project> = api.get("/v1/projects").await.parse(200);
    let names: Vec<_> = page
        .items
        .iter()
        .map(|project| project.name.as_str())
        .collect();
    assert_eq!(names, ["default", "site 2"]);
    let refused = api.post("/v1/projects", json!({"name": "default"})).await;
    refused.problem(ProblemCode::Conflict);
    let refused = api.patch(&path, json!({"name": "default"})).await;
    refused.problem(ProblemCode::Conflict);
    let refused = api.post("/v1/projects", json!({"name": " x"})).await;
    assert_eq!(refused.pointers(ProblemCode::Invalid), ["/name"]);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_project_is_known_to_whom_has_a_right_on_it(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let (id, all) = controller.project("theirs").await;
    let viewer = controller
        .key_in(Some(&id), &[(on_project(&id), &["camera.view_live"])])
        .await;
    let path = format!("/v1/projects/{id}");
    for api in [&all, &viewer] {
        let page: Page<Project> = api.get("/v1/projects").await.parse(200);
        assert_eq!(page.items.len(), 1, "the default project is not among them");
        api.get(&path).await.expect(200);
    }
    all.patch(&path, json!({"name": "ours"})).await.expect(200);
    let refused = viewer.patch(&path, json!({"name": "mine"})).await;
    refused.problem(ProblemCode::Forbidden);
    let other = format!("/v1/projects/{}", controller.default_project().await);
    all.get(&other).await.problem(ProblemCode::NotFound);
    let refused = all.patch(&other, json!({"name": "ours"})).await;
    refused.problem(ProblemCode::NotFound);
    let refused = all.post("/v1/projects", json!({"name": "more"})).await;
    refused.problem(ProblemCode::Forbidden);
    controller.stop().await;
}
