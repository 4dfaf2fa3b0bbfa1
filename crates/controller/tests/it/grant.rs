//! Grants over HTTP: nobody gets more than somebody who had it gave them.

use headworks_types::{Grant, ProblemCode};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Api, Controller, camera, on_camera, on_cluster, on_project, text};

fn to_user(id: &str, object: &Value, actions: &[&str]) -> Value {
    json!({"principal": {"type": "user", "id": id}, "object": object, "actions": actions})
}

async fn user(api: &Api) -> String {
    text(
        &api.post("/v1/users", json!({"name": "Ann"}))
            .await
            .expect(201)["id"],
    )
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_grant_lives(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let ann = user(api).await;
    let gate = text(&api.post("/v1/cameras", camera("gate")).await.expect(201)["id"]);
    let body = to_user(&ann, &on_camera(&gate), &["camera.view_live"]);
    let created: Grant = api.post("/v1/grants", body).await.parse(201);
    let path = format!("/v1/grants/{}", created.id);
    assert_eq!(api.get(&path).await.parse::<Grant>(200), created);
    for query in [format!("user_id={ann}"), format!("camera_id={gate}")] {
        assert_eq!(api.all(&format!("/v1/grants?{query}"), 10).await.len(), 1);
    }
    let other = user(api).await;
    let none = api.all(&format!("/v1/grants?user_id={other}"), 10).await;
    assert!(none.is_empty());
    api.delete(&path).await.expect(204);
    api.delete(&path).await.problem(ProblemCode::NotFound);

    let body = to_user(&ann, &on_camera(&gate), &["camera.view_live"]);
    let with_camera: Grant = api.post("/v1/grants", body).await.parse(201);
    api.delete(&format!("/v1/cameras/{gate}")).await.expect(204);
    let path = format!("/v1/grants/{}", with_camera.id);
    api.get(&path).await.problem(ProblemCode::NotFound);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn senseless_grants_are_pointed_at(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let ann = user(api).await;
    let project = on_project(&controller.default_project().await);
    let gate = text(&api.post("/v1/cameras", camera("gate")).await.expect(201)["id"]);
    let cases: [(Value, &[&str], &str); 4] = [
        (project.clone(), &[], "/actions"),
        (
            project.clone(),
            &["camera.manage", "camera.manage"],
            "/actions/1",
        ),
        (on_camera(&gate), &["user.manage"], "/actions/0"),
        (project, &["node.manage"], "/actions/0"),
    ];
    for (object, actions, pointer) in cases {
        let refused = api
            .post("/v1/grants", to_user(&ann, &object, actions))
            .await;
        assert_eq!(refused.pointers(ProblemCode::Invalid), [pointer]);
    }
    let body = to_user(&ann, &on_cluster(), &["camera.fly"]);
    let refused = api.post("/v1/grants", body).await;
    assert_eq!(refused.pointers(ProblemCode::Malformed), ["/actions/0"]);
    let nobody = "usr_00000000000000000000000000000000";
    let body = to_user(nobody, &on_camera(&gate), &["camera.view_live"]);
    api.post("/v1/grants", body)
        .await
        .problem(ProblemCode::NotFound);
    let nothing = on_camera("cam_00000000000000000000000000000000");
    let body = to_user(&ann, &nothing, &["camera.view_live"]);
    api.post("/v1/grants", body)
        .await
        .problem(ProblemCode::NotFound);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn nobody_can_grant_what_they_may_not_do(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let project = controller.default_project().await;
    let gate = text(&admin.post("/v1/cameras", camera("gate")).await.expect(201)["id"]);
    let ann = user(admin).await;
    // May manage users of the project, and watch one camera.
    let api = controller
        .key(&[
            (on_project(&project), &["user.manage"]),
            (on_camera(&gate), &["camera.view_live"]),
        ])
        .await;
    let grant = async |object: Value, action: &str| {
        api.post("/v1/grants", to_user(&ann, &object, &[action]))
            .await
    };
    grant(on_camera(&gate), "camera.view_live")
        .await
        .expect(201);
    grant(on_project(&project), "user.manage").await.expect(201);
    let refused = [
        grant(on_camera(&gate), "camera.manage").await,
        grant(on_project(&project), "camera.view_live").await,
        grant(on_project(&project), "project.manage").await,
        grant(on_cluster(), "user.manage").await,
        grant(on_cluster(), "camera.view_live").await,
    ];
    for answer in refused {
        answer.problem(ProblemCode::Forbidden);
    }
    let yard = text(&admin.post("/v1/cameras", camera("yard")).await.expect(201)["id"]);
    let refused = grant(on_camera(&yard), "camera.view_live").await;
    refused.problem(ProblemCode::NotFound);

    // Not even to a key that it made itself.
    let own = api
        .post("/v1/api_keys", json!({"name": "own"}))
        .await
        .expect(201);
    let body = json!({
        "principal": {"type": "api_key", "id": own["api_key"]["id"]},
        "object": on_cluster(),
        "actions": ["user.manage"],
    });
    api.post("/v1/grants", body)
        .await
        .problem(ProblemCode::Forbidden);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn grants_across_projects_need_the_cluster(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let (id, theirs) = controller.project("theirs").await;
    let gate = text(&admin.post("/v1/cameras", camera("gate")).await.expect(201)["id"]);
    let (ann, bob) = (user(admin).await, user(&theirs).await);
    let view: &[&str] = &["camera.view_live"];
    let default = controller.default_project().await;
    for object in [on_camera(&gate), on_project(&default)] {
        let refused = theirs
            .post("/v1/grants", to_user(&bob, &object, view))
            .await;
        refused.problem(ProblemCode::NotFound);
    }
    let refused = theirs
        .post("/v1/grants", to_user(&ann, &on_project(&id), view))
        .await;
    refused.problem(ProblemCode::NotFound);
    // Even a right on a camera of both projects does not let one project's key tie them together.
    let both = controller
        .key_in(
            Some(&id),
            &[
                (on_project(&id), &["user.manage"]),
                (on_camera(&gate), view),
            ],
        )
        .await;
    let refused = both
        .post("/v1/grants", to_user(&bob, &on_camera(&gate), view))
        .await;
    refused.problem(ProblemCode::NotFound);
    let tied = admin
        .post("/v1/grants", to_user(&bob, &on_camera(&gate), view))
        .await;
    let tied: Grant = tied.parse(201);
    assert_eq!(
        tied.project_id.to_string(),
        id,
        "of the principal's project"
    );
    theirs
        .delete(&format!("/v1/grants/{}", tied.id))
        .await
        .expect(204);
    controller.stop().await;
}
