//! Roles over HTTP.

use headworks_types::{ProblemCode, Role};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Api, Controller, camera, on_camera, on_cluster, on_project, text};

async fn role(api: &Api, name: &str, actions: &[&str]) -> Role {
    let body = json!({"name": name, "actions": actions});
    api.post("/v1/roles", body).await.parse(201)
}

fn grant(key: &str, object: &Value, role: &str) -> Value {
    json!({"principal": {"type": "api_key", "id": key}, "object": object, "role": role})
}

#[sqlx::test(migrations = "../../migrations")]
async fn built_in_and_own_roles_are_listed(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let guard = role(api, "guard", &["camera.view_live", "camera.ptz"]).await;
    for limit in [1, 3, 50] {
        let roles = api.all("/v1/roles", limit).await;
        let names: Vec<_> = roles.iter().map(|role| text(&role["name"])).collect();
        let expected = ["viewer", "operator", "installer", "admin", "guard"];
        assert_eq!(names, expected, "{limit} at once");
    }
    let viewer: Role = api.get("/v1/roles/viewer").await.parse(200);
    assert_eq!(viewer.project_id, None);
    let path = format!("/v1/roles/{}", guard.id);
    assert_eq!(api.get(&path).await.parse::<Role>(200), guard);
    let refused = api.patch("/v1/roles/viewer", json!({"name": "x"})).await;
    refused.problem(ProblemCode::NotFound);
    let again = json!({"name": "guard", "actions": ["camera.ptz"]});
    api.post("/v1/roles", again)
        .await
        .problem(ProblemCode::Conflict);
    let empty = json!({"name": "none", "actions": []});
    let refused = api.post("/v1/roles", empty).await;
    assert_eq!(refused.pointers(ProblemCode::Invalid), ["/actions"]);
    let (_, theirs) = controller.project("theirs").await;
    theirs.get(&path).await.problem(ProblemCode::NotFound);
    assert_eq!(theirs.all("/v1/roles", 50).await.len(), 4);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_change_of_a_role_changes_its_grants(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let gate = text(&api.post("/v1/cameras", camera("gate")).await.expect(201)["id"]);
    let project = on_project(&controller.default_project().await);
    let guard = role(api, "guard", &["camera.view_live"]).await;
    let path = format!("/v1/roles/{}", guard.id);
    let key = controller.key(&[]).await;
    let id = controller.key_id(&key).await;
    let body = grant(&id, &project, &guard.id.to_string());
    let granted = api.post("/v1/grants", body).await.expect(201);
    assert_eq!(granted["actions"], json!(["camera.view_live"]));
    let rename = async || {
        let camera = format!("/v1/cameras/{gate}");
        key.patch(&camera, json!({"name": "mine"})).await
    };
    rename().await.problem(ProblemCode::Forbidden);
    let more = json!({"actions": ["camera.view_live", "camera.manage"]});
    api.patch(&path, more).await.expect(200);
    rename().await.expect(200);
    api.delete(&path).await.problem(ProblemCode::Conflict);
    let granted = format!("/v1/grants/{}", text(&granted["id"]));
    api.delete(&granted).await.expect(204);
    api.delete(&path).await.expect(204);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn nobody_puts_into_a_role_what_they_may_not_do(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let project = on_project(&controller.default_project().await);
    let guard = role(admin, "guard", &["camera.view_live", "camera.ptz"]).await;
    let path = format!("/v1/roles/{}", guard.id);
    let users: &[&str] = &["user.manage", "camera.view_live"];
    let api = controller.key(&[(project.clone(), users)]).await;
    let own = controller.key_id(&api).await;
    api.patch(&path, json!({"name": "watch"})).await.expect(200);
    let without_live = json!({"actions": ["camera.ptz"]});
    api.patch(&path, without_live).await.expect(200);
    for actions in [
        &["camera.ptz", "camera.manage"][..],
        // Taken out as well: it may be what somebody is denied.
        &["camera.view_live"],
    ] {
        let refused = api.patch(&path, json!({"actions": actions})).await;
        refused.problem(ProblemCode::Forbidden);
    }
    // Nor is a role a way around: one of its own making is granted as what is in it.
    let all = role(&api, "all", &["camera.manage"]).await;
    let body = grant(&own, &project, &all.id.to_string());
    api.post("/v1/grants", body)
        .await
        .problem(ProblemCode::Forbidden);
    let body = grant(&own, &project, "admin");
    api.post("/v1/grants", body)
        .await
        .problem(ProblemCode::Forbidden);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_role_of_a_project_stays_in_it(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let (theirs, their_key) = controller.project("theirs").await;
    let key = controller.key_id(&controller.key(&[]).await).await;
    let ours = role(admin, "guard", &["camera.view_live"])
        .await
        .id
        .to_string();
    for object in [on_cluster(), on_project(&theirs)] {
        let refused = admin.post("/v1/grants", grant(&key, &object, &ours)).await;
        assert_eq!(refused.pointers(ProblemCode::Invalid), ["/role"]);
    }
    let foreign = role(&their_key, "spy", &["camera.view_live"])
        .await
        .id
        .to_string();
    let gate = text(&admin.post("/v1/cameras", camera("gate")).await.expect(201)["id"]);
    let refused = admin
        .post("/v1/grants", grant(&key, &on_camera(&gate), &foreign))
        .await;
    refused.problem(ProblemCode::NotFound);
    // What means nothing on a camera is no grant on one.
    let books = role(admin, "books", &["audit.read"]).await.id.to_string();
    let refused = admin
        .post("/v1/grants", grant(&key, &on_camera(&gate), &books))
        .await;
    assert_eq!(refused.pointers(ProblemCode::Invalid), ["/role"]);
    controller.stop().await;
}
