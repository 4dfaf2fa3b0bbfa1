//! Nobody rises: by becoming, shutting out, denying or moving somebody or something.

use headworks_types::{CameraGroup, ProblemCode};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Api, Controller, camera, on_camera, on_cluster, on_group, on_project, text};

const VIEW: &[&str] = &["camera.view_live"];
const USERS: &[&str] = &["user.manage"];
const MANAGE: &[&str] = &["camera.manage"];

fn user(id: &str) -> Value {
    json!({"type": "user", "id": id})
}

fn key(id: &str) -> Value {
    json!({"type": "api_key", "id": id})
}

/// A grant with these members changed.
fn grant(principal: &Value, object: &Value, actions: &[&str], change: &Value) -> Value {
    let mut body = json!({"principal": principal, "object": object, "actions": actions});
    for (name, value) in change.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

async fn granted(api: &Api, body: Value) {
    api.post("/v1/grants", body).await.expect(201);
}

async fn group(api: &Api, name: &str, parent: Option<&CameraGroup>) -> CameraGroup {
    let body = json!({"name": name, "parent_id": parent.map(|parent| parent.id)});
    api.post("/v1/camera_groups", body).await.parse(201)
}

async fn camera_in(api: &Api, name: &str, group: &CameraGroup) -> String {
    let mut body = camera(name);
    body["group_id"] = json!(group.id);
    text(&api.post("/v1/cameras", body).await.expect(201)["id"])
}

fn on(group: &CameraGroup) -> Value {
    on_group(&group.id.to_string())
}

/// What a manager has beside `user.manage` (on what, and how), what the user has, and whether that is
/// enough to take the user's place.
type Case<'a> = (&'a [(&'a Value, &'a Value)], &'a Value, bool);

#[sqlx::test(migrations = "../../migrations")]
async fn nobody_becomes_who_may_watch_more(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let project = on_project(&controller.default_project().await);
    let site = group(admin, "site", None).await;
    let gate = on_camera(&camera_in(admin, "gate", &site).await);
    let here = json!({"conditions": {"networks": ["127.0.0.0/8"]}});
    let until = json!({"conditions": {"not_after": "2100-01-01T00:00:00Z"}});
    let (allow, deny) = (json!({}), json!({"effect": "deny"}));
    let at_times = json!({"effect": "deny", "conditions": {"not_before": "2100-01-01T00:00:00Z"}});
    let cases: [Case<'_>; 9] = [
        (&[], &gate, false),
        (&[], &on(&site), false),
        (&[(&project, &allow)], &gate, true),
        (&[(&project, &allow)], &project, true),
        (&[(&project, &here)], &gate, false),
        (&[(&on(&site), &until)], &gate, false),
        (&[(&project, &allow), (&gate, &deny)], &project, false),
        (&[(&project, &allow), (&gate, &deny)], &on(&site), false),
        (&[(&project, &allow), (&on(&site), &at_times)], &gate, false),
    ];
    for (index, (has, wanted, enough)) in cases.into_iter().enumerate() {
        let manager = controller.key(&[(project.clone(), USERS)]).await;
        let id = key(&controller.key_id(&manager).await);
        for (object, change) in has {
            granted(admin, grant(&id, object, VIEW, change)).await;
        }
        let by_group = admin.post("/v1/user_groups", json!({"name": "g"})).await;
        let by_group = text(&by_group.expect(201)["id"]);
        for direct in [true, false] {
            let email = format!("{index}-{direct}@example.com");
            let boss = controller.person(&email, &[]).await.id;
            let principal = if direct {
                user(&boss)
            } else {
                let members = format!("/v1/user_groups/{by_group}/members");
                let body = json!({"user_id": boss});
                admin.post(&members, body).await.expect(201);
                json!({"type": "user_group", "id": by_group})
            };
            granted(admin, grant(&principal, wanted, VIEW, &json!({}))).await;
            let path = format!("/v1/users/{boss}");
            for change in [
                json!({"password": "chosen by others"}),
                json!({"email": format!("mine-{email}")}),
            ] {
                let answer = manager.patch(&path, change).await;
                let status = if enough { 200 } else { 403 };
                assert_eq!(answer.status, status, "case {index}: {}", answer.text);
            }
        }
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn who_is_shut_out_is_let_in_by_who_may_give_all(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let project = on_project(&controller.default_project().await);
    let site = group(admin, "site", None).await;
    let manager = controller.key(&[(project, USERS)]).await;
    let ann = controller
        .person("ann@example.com", &[(on(&site), VIEW)])
        .await
        .id;
    let path = format!("/v1/users/{ann}");
    let (out, back) = (json!({"enabled": false}), json!({"enabled": true}));
    manager.patch(&path, out).await.expect(200);
    let refused = manager.patch(&path, back.clone()).await;
    refused.problem(ProblemCode::Forbidden);
    admin.patch(&path, back).await.expect(200);
    manager.delete(&path).await.expect(204);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn nobody_denies_anything_to_who_may_do_more(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let project = on_project(&controller.default_project().await);
    let site = group(admin, "site", None).await;
    let gate = on_camera(&camera_in(admin, "gate", &site).await);
    let manager = controller.key(&[(project.clone(), USERS)]).await;
    let first = key(&controller.key_id(admin).await);
    let boss = controller
        .person("boss@example.com", &[(on_cluster(), USERS)])
        .await
        .id;
    let deny = json!({"effect": "deny"});
    let crew = manager
        .post("/v1/user_groups", json!({"name": "crew"}))
        .await;
    let crew = text(&crew.expect(201)["id"]);
    let (of_crew, members) = (
        json!({"type": "user_group", "id": crew}),
        format!("/v1/user_groups/{crew}/members"),
    );
    for principal in [&first, &user(&boss)] {
        for (object, actions) in [(&project, USERS), (&gate, &["camera.ptz"][..])] {
            let body = grant(principal, object, actions, &deny);
            let refused = manager.post("/v1/grants", body).await;
            refused.problem(ProblemCode::Forbidden);
        }
    }
    // Nor by a group, before or after they join it.
    let body = grant(&of_crew, &gate, VIEW, &deny);
    let denied = text(&manager.post("/v1/grants", body.clone()).await.expect(201)["id"]);
    let join = json!({"user_id": boss});
    let refused = manager.post(&members, join.clone()).await;
    refused.problem(ProblemCode::Forbidden);
    admin
        .delete(&format!("/v1/grants/{denied}"))
        .await
        .expect(204);
    manager.post(&members, join).await.expect(201);
    let refused = manager.post("/v1/grants", body).await;
    refused.problem(ProblemCode::Forbidden);
    // What a group gives them nobody takes by letting them out of it.
    granted(admin, grant(&of_crew, &on_cluster(), USERS, &json!({}))).await;
    let refused = manager.delete(&format!("{members}/{boss}")).await;
    refused.problem(ProblemCode::Forbidden);
    // The last administrator does not even lock itself out, by whatever.
    for (object, actions) in [(&project, USERS), (&gate, VIEW)] {
        let refused = admin
            .post("/v1/grants", grant(&first, object, actions, &deny))
            .await;
        refused.problem(ProblemCode::Conflict);
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn of_two_who_deny_each_other_one_stays(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let project = on_project(&controller.default_project().await);
    let other = controller.key(&[]).await;
    let (first, second) = (
        key(&controller.key_id(admin).await),
        key(&controller.key_id(&other).await),
    );
    let role = json!({"principal": second, "object": on_cluster(), "role": "admin"});
    granted(admin, role).await;
    let deny = json!({"effect": "deny"});
    // Both have looked at what there is before one of them is through.
    let mut held = pool.begin().await.expect("begins");
    let lock = sqlx::query_scalar!("SELECT id FROM api_key FOR UPDATE");
    lock.fetch_all(&mut *held).await.expect("locks");
    let (one, two) = tokio::join!(
        admin.post("/v1/grants", grant(&second, &project, VIEW, &deny)),
        async {
            let asked = other.post("/v1/grants", grant(&first, &project, VIEW, &deny));
            let free = async {
                controller.waiting(2).await;
                held.rollback().await.expect("ends");
            };
            tokio::join!(asked, free).0
        }
    );
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409], "{} {}", one.text, two.text);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn who_moves_something_comes_to_nothing_by_that(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let project = on_project(&controller.default_project().await);
    let secret = group(admin, "secret", None).await;
    let floor = group(admin, "floor", Some(&secret)).await;
    let open = group(admin, "open", None).await;
    let gate = format!("/v1/cameras/{}", camera_in(admin, "gate", &secret).await);
    camera_in(admin, "hall", &floor).await;
    let at_times = json!({"effect": "deny", "conditions": {"not_before": "2100-01-01T00:00:00Z"}});
    let both: &[&str] = &["camera.manage", "camera.view_live"];
    let record: &[&str] = &["camera.view_recording"];
    // What an installer is allowed, and what it is denied on `secret`.
    let cases = [
        (
            vec![(project.clone(), both)],
            Some(json!({"effect": "deny"})),
        ),
        (vec![(project.clone(), both)], Some(at_times)),
        (vec![(project.clone(), MANAGE), (on(&open), record)], None),
    ];
    for (index, (grants, denied)) in cases.into_iter().enumerate() {
        let installer = controller.key(&grants).await;
        let id = key(&controller.key_id(&installer).await);
        if let Some(denied) = denied {
            granted(admin, grant(&id, &on(&secret), VIEW, &denied)).await;
        }
        let of_floor = format!("/v1/camera_groups/{}", floor.id);
        for (path, change) in [
            (&gate, json!({"group_id": open.id})),
            (&of_floor, json!({"parent_id": open.id})),
        ] {
            let refused = installer.patch(path, change).await;
            assert_eq!(refused.status, 403, "case {index}: {}", refused.text);
        }
        let named = installer.patch(&gate, json!({"name": "Gate"})).await;
        named.expect(200);
    }
    // Who has no more there than here moves it, also who was denied what nobody allows.
    let installer = controller.key(&[(project, MANAGE)]).await;
    let id = key(&controller.key_id(&installer).await);
    let deny = json!({"effect": "deny"});
    granted(admin, grant(&id, &on(&secret), VIEW, &deny)).await;
    let moved = installer.patch(&gate, json!({"group_id": open.id})).await;
    moved.expect(200);
    controller.stop().await;
}
