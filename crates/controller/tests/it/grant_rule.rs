//! What grants come to: denies, conditions and scopes, and what nobody can give away.

use headworks_types::{Grant, ProblemCode};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{
    ALL_ON_PROJECT, Api, Controller, camera, on_camera, on_cluster, on_group, on_project, text,
};

const VIEW: &[&str] = &["camera.view_live"];

fn to_key(key: &str, object: &Value, actions: &[&str]) -> Value {
    json!({"principal": {"type": "api_key", "id": key}, "object": object, "actions": actions})
}

fn deny(key: &str, object: &Value, actions: &[&str]) -> Value {
    let mut body = to_key(key, object, actions);
    body["effect"] = json!("deny");
    body
}

async fn granted(api: &Api, body: Value) -> String {
    text(&api.post("/v1/grants", body).await.expect(201)["id"])
}

async fn new_camera(api: &Api, name: &str, group: Option<&str>) -> String {
    let mut body = camera(name);
    body["group_id"] = json!(group);
    text(&api.post("/v1/cameras", body).await.expect(201)["id"])
}

async fn names(api: &Api) -> Vec<String> {
    let cameras = api.all("/v1/cameras", 2).await;
    cameras.iter().map(|camera| text(&camera["name"])).collect()
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_deny_beats_every_allow(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let project = on_project(&controller.default_project().await);
    let body = json!({"name": "site"});
    let site = text(&admin.post("/v1/camera_groups", body).await.expect(201)["id"]);
    let gate = new_camera(admin, "gate", Some(&site)).await;
    let yard = new_camera(admin, "yard", None).await;
    let grants = [(project.clone(), VIEW), (on_camera(&gate), VIEW)];
    let api = controller.key(&grants).await;
    let id = controller.key_id(&api).await;
    assert_eq!(names(&api).await, ["gate", "yard"]);
    for (object, left) in [
        (on_camera(&gate), &["yard"][..]),
        (on_group(&site), &["yard"]),
        (on_camera(&yard), &["gate"]),
        (project, &[]),
        (on_cluster(), &[]),
    ] {
        let grant = granted(admin, deny(&id, &object, VIEW)).await;
        let seen = api.get("/v1/cameras").await;
        let none = left.is_empty() && seen.status == 403;
        assert!(none || names(&api).await == left, "{object}: {}", seen.text);
        for (name, camera) in [("gate", &gate), ("yard", &yard)] {
            let found = api.get(&format!("/v1/cameras/{camera}")).await;
            assert_eq!(found.status.is_success(), left.contains(&name), "{object}");
        }
        admin
            .delete(&format!("/v1/grants/{grant}"))
            .await
            .expect(204);
    }
    assert_eq!(names(&api).await, ["gate", "yard"]);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_project_can_be_denied_to_who_may_all(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let (theirs, _) = controller.project("theirs").await;
    let api = controller.key(&[(on_cluster(), ALL_ON_PROJECT)]).await;
    let id = controller.key_id(&api).await;
    assert_eq!(api.all("/v1/projects", 10).await.len(), 2);
    granted(admin, deny(&id, &on_project(&theirs), ALL_ON_PROJECT)).await;
    assert_eq!(api.all("/v1/projects", 10).await.len(), 1);
    let path = format!("/v1/projects/{theirs}");
    api.get(&path).await.problem(ProblemCode::NotFound);
    let users = format!("/v1/grants?api_key_id={id}");
    assert_eq!(api.all(&users, 10).await.len(), 2, "its own project stays");
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn conditions_hold_or_not(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let gate = on_camera(&new_camera(admin, "gate", None).await);
    let hours = |days: Value, from: &str, to: &str| {
        json!({"schedule": {"zone": "Asia/Kolkata",
               "windows": [{"days": days, "from": from, "to": to}]}})
    };
    let all_days = json!(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]);
    let cases = [
        (json!({}), true),
        (json!({"networks": ["127.0.0.0/8", "::1"]}), true),
        (json!({"networks": ["10.0.0.0/8"]}), false),
        (json!({"not_before": "2020-01-01T00:00:00Z"}), true),
        (json!({"not_before": "2100-01-01T00:00:00Z"}), false),
        (json!({"not_after": "2100-01-01T00:00:00Z"}), true),
        (hours(all_days, "00:00", "24:00"), true),
    ];
    for (conditions, holds) in cases {
        let api = controller.key(&[]).await;
        let id = controller.key_id(&api).await;
        let mut body = to_key(&id, &gate, VIEW);
        body["conditions"] = conditions.clone();
        let created: Grant = admin.post("/v1/grants", body.clone()).await.parse(201);
        let path = format!("/v1/grants/{}", created.id);
        assert_eq!(admin.get(&path).await.parse::<Grant>(200), created);
        let seen = api.get("/v1/cameras").await;
        assert_eq!(seen.status.is_success(), holds, "{conditions}");
        // A deny on the same conditions takes it away again, wherever they hold.
        let allowed = to_key(&id, &gate, VIEW);
        granted(admin, allowed).await;
        body["effect"] = json!("deny");
        granted(admin, body).await;
        let path = format!("/v1/cameras/{}", text(&gate["id"]));
        assert_eq!(
            api.get(&path).await.status.is_success(),
            !holds,
            "{conditions}"
        );
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn senseless_conditions_are_pointed_at(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let gate = on_camera(&new_camera(admin, "gate", None).await);
    let key = controller.key_id(&controller.key(&[]).await).await;
    let zone = |zone: &str| {
        json!({"schedule": {"zone": zone,
               "windows": [{"days": ["mon"], "from": "08:00", "to": "18:00"}]}})
    };
    let conditions = [
        (json!({"networks": []}), "/conditions/networks"),
        (zone("Europe/Atlantis"), "/conditions/schedule/zone"),
        // PostgreSQL takes it for a zone, but it is none of the database.
        (zone("FOO5BAR"), "/conditions/schedule/zone"),
        (
            json!({"schedule": {"zone": "UTC", "windows": []}}),
            "/conditions/schedule/windows",
        ),
        (
            json!({"not_after": "2020-01-01T00:00:00Z"}),
            "/conditions/not_after",
        ),
    ];
    for (conditions, pointer) in conditions {
        let mut body = to_key(&key, &gate, VIEW);
        body["conditions"] = conditions;
        let refused = admin.post("/v1/grants", body).await;
        assert_eq!(refused.pointers(ProblemCode::Invalid), [pointer]);
    }
    let mut both = to_key(&key, &gate, VIEW);
    both["role"] = json!("viewer");
    let neither = json!({"principal": {"type": "api_key", "id": key}, "object": gate});
    for body in [both, neither] {
        let refused = admin.post("/v1/grants", body).await;
        assert_eq!(refused.pointers(ProblemCode::Invalid), ["/actions"]);
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn nobody_gives_what_is_denied_to_them_or_bound_to_conditions(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let project = on_project(&controller.default_project().await);
    let body = json!({"name": "site"});
    let site = text(&admin.post("/v1/camera_groups", body).await.expect(201)["id"]);
    let gate = new_camera(admin, "gate", Some(&site)).await;
    let yard = new_camera(admin, "yard", Some(&site)).await;
    let api = controller
        .key(&[(project.clone(), &["user.manage", "camera.view_live"])])
        .await;
    let own = controller.key_id(&api).await;
    let other = controller.key_id(&controller.key(&[]).await).await;
    let denied = granted(admin, deny(&own, &on_camera(&gate), VIEW)).await;
    // Not on anything that the denied camera is in, or is.
    for object in [project.clone(), on_group(&site), on_camera(&gate)] {
        let refused = api.post("/v1/grants", to_key(&other, &object, VIEW)).await;
        assert!(
            [403, 404].contains(&refused.status.as_u16()),
            "{}",
            refused.text
        );
    }
    granted(&api, to_key(&other, &on_camera(&yard), VIEW)).await;
    // And it does not help itself.
    let path = format!("/v1/grants/{denied}");
    api.delete(&path).await.problem(ProblemCode::Forbidden);
    admin.delete(&path).await.expect(204);
    granted(&api, to_key(&other, &project, VIEW)).await;

    // Who may watch from here, or until then, cannot let others watch from anywhere and for ever.
    let bound = controller.key(&[(project.clone(), &["user.manage"])]).await;
    let id = controller.key_id(&bound).await;
    let mut body = to_key(&id, &project, VIEW);
    body["conditions"] = json!({"networks": ["127.0.0.0/8"]});
    granted(admin, body).await;
    assert_eq!(names(&bound).await, ["gate", "yard"]);
    for object in [project, on_camera(&yard)] {
        let refused = bound.post("/v1/grants", to_key(&id, &object, VIEW)).await;
        refused.problem(ProblemCode::Forbidden);
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn to_deny_on_cameras_needs_users_only_and_never_locks_all_out(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let project = on_project(&controller.default_project().await);
    let (theirs, _) = controller.project("theirs").await;
    let gate = on_camera(&new_camera(admin, "gate", None).await);
    let api = controller.key(&[(project, &["user.manage"])]).await;
    let viewer = controller.key(&[(gate.clone(), VIEW)]).await;
    let id = controller.key_id(&viewer).await;
    assert_eq!(names(&viewer).await, ["gate"]);
    granted(&api, deny(&id, &gate, VIEW)).await;
    let seen = viewer.get("/v1/cameras").await.expect(200);
    assert_eq!(seen["items"], json!([]));
    let refused = api.post("/v1/grants", deny(&id, &on_cluster(), VIEW)).await;
    refused.problem(ProblemCode::Forbidden);
    let refused = api
        .post("/v1/grants", deny(&id, &on_project(&theirs), VIEW))
        .await;
    refused.problem(ProblemCode::NotFound);

    let first = controller.key_id(admin).await;
    for what in [
        json!({"actions": ["user.manage"]}),
        json!({"role": "admin"}),
    ] {
        let mut body = what;
        body["principal"] = json!({"type": "api_key", "id": first});
        body["object"] = on_cluster();
        body["effect"] = json!("deny");
        let refused = admin.post("/v1/grants", body).await;
        refused.problem(ProblemCode::Conflict);
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn scopes_cap_what_a_key_may_do(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let gate = new_camera(admin, "gate", None).await;
    let body = json!({"name": "watch", "scopes": ["camera.view_live"]});
    let created = admin.post("/v1/api_keys", body).await.expect(201);
    assert_eq!(created["api_key"]["scopes"], json!(["camera.view_live"]));
    let id = text(&created["api_key"]["id"]);
    let api = admin.with_key(created["secret"].as_str());
    granted(admin, to_key(&id, &on_cluster(), ALL_ON_PROJECT)).await;
    assert_eq!(names(&api).await, ["gate"]);
    let path = format!("/v1/cameras/{gate}");
    let refused = api.patch(&path, json!({"name": "x"})).await;
    refused.problem(ProblemCode::Forbidden);
    api.get("/v1/users").await.problem(ProblemCode::Forbidden);
    let empty = json!({"name": "none", "scopes": []});
    let refused = admin.post("/v1/api_keys", empty).await;
    assert_eq!(refused.pointers(ProblemCode::Invalid), ["/scopes"]);
    // It is no administrator, so the first one stays.
    let first = controller.key_id(admin).await;
    let revoke = format!("/v1/api_keys/{first}:revoke");
    let refused = admin.post(&revoke, json!({})).await;
    refused.problem(ProblemCode::Conflict);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_time_that_the_database_does_not_know_is_refused(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let user = text(
        &api.post("/v1/users", json!({"name": "x"}))
            .await
            .expect(201)["id"],
    );
    let grant = json!({
        "principal": {"type": "user", "id": user},
        "object": on_project(&controller.default_project().await),
        "actions": VIEW,
        "conditions": {"not_before": "-4800-01-01T00:00:00Z"},
    });
    let refused = api.post("/v1/grants", grant).await;
    refused.problem(ProblemCode::Invalid);
    let refused = api.get("/v1/audit?since=-4800-01-01T00:00:00Z").await;
    refused.problem(ProblemCode::Invalid);
    controller.stop().await;
}
