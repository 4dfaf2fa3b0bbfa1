//! Who sees which camera.

use headworks_types::ProblemCode;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Api, Controller, camera, on_camera, on_cluster, on_project, text};

/// Grants, and the names of the cameras that they show.
type Case<'a> = (Vec<(Value, &'a [&'a str])>, &'a [&'a str]);

async fn names(api: &Api) -> Vec<String> {
    let cameras = api.all("/v1/cameras", 2).await;
    cameras.iter().map(|camera| text(&camera["name"])).collect()
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_list_holds_what_the_key_may_see(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let (id, theirs) = controller.project("theirs").await;
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(text(
            &admin.post("/v1/cameras", camera(name)).await.expect(201)["id"],
        ));
    }
    let d = text(&theirs.post("/v1/cameras", camera("d")).await.expect(201)["id"]);
    let default = controller.default_project().await;
    let view: &[&str] = &["camera.view_live"];
    let manage: &[&str] = &["camera.manage"];
    let cases: [Case<'_>; 6] = [
        (vec![(on_camera(&ids[1]), view)], &["b"]),
        (
            vec![(on_camera(&ids[1]), view), (on_camera(&ids[2]), manage)],
            &["b", "c"],
        ),
        (vec![(on_project(&default), view)], &["a", "b", "c"]),
        (
            vec![(on_project(&default), manage), (on_camera(&d), view)],
            &["a", "b", "c", "d"],
        ),
        (
            vec![(on_project(&id), view), (on_camera(&ids[0]), view)],
            &["a", "d"],
        ),
        (vec![(on_cluster(), manage)], &["a", "b", "c", "d"]),
    ];
    for (grants, seen) in cases {
        let api = controller.key(&grants).await;
        assert_eq!(names(&api).await, seen, "{grants:?}");
        for (name, id) in ["a", "b", "c", "d"]
            .iter()
            .zip([&ids[0], &ids[1], &ids[2], &d])
        {
            let status = if seen.contains(name) { 200 } else { 404 };
            let answer = api.get(&format!("/v1/cameras/{id}")).await;
            assert_eq!(answer.status, status, "{name} with {grants:?}");
        }
    }
    assert_eq!(names(&theirs).await, ["d"]);
    let nothing = controller.key(&[]).await;
    nothing
        .get("/v1/cameras")
        .await
        .problem(ProblemCode::Forbidden);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn to_see_a_camera_is_not_to_manage_it(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let gate = text(&admin.post("/v1/cameras", camera("gate")).await.expect(201)["id"]);
    let default = controller.default_project().await;
    let path = format!("/v1/cameras/{gate}");
    for object in [on_camera(&gate), on_project(&default), on_cluster()] {
        let viewer = controller.key(&[(object, &["camera.view_live"])]).await;
        let refused = viewer.patch(&path, json!({"name": "mine"})).await;
        refused.problem(ProblemCode::Forbidden);
        viewer.delete(&path).await.problem(ProblemCode::Forbidden);
        viewer
            .post("/v1/cameras", camera("x"))
            .await
            .problem(ProblemCode::Forbidden);
    }
    let (_, stranger) = controller.project("theirs").await;
    let refused = stranger.patch(&path, json!({"name": "mine"})).await;
    refused.problem(ProblemCode::NotFound);
    stranger.delete(&path).await.problem(ProblemCode::NotFound);
    // Who manages one camera manages no other, and makes none.
    let manager = controller
        .key(&[(on_camera(&gate), &["camera.manage"])])
        .await;
    manager
        .patch(&path, json!({"name": "ours"}))
        .await
        .expect(200);
    manager
        .post("/v1/cameras", camera("x"))
        .await
        .problem(ProblemCode::Forbidden);
    manager.delete(&path).await.expect(204);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_taken_away_is_gone_with_the_next_request(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let gate = text(&admin.post("/v1/cameras", camera("gate")).await.expect(201)["id"]);
    let viewer = controller
        .key(&[(on_camera(&gate), &["camera.view_live"])])
        .await;
    assert_eq!(names(&viewer).await, ["gate"]);
    let grants = admin.all(&format!("/v1/grants?camera_id={gate}"), 10).await;
    let grant = text(&grants[0]["id"]);
    admin
        .delete(&format!("/v1/grants/{grant}"))
        .await
        .expect(204);
    viewer
        .get("/v1/cameras")
        .await
        .problem(ProblemCode::Forbidden);
    let path = format!("/v1/cameras/{gate}");
    viewer.get(&path).await.problem(ProblemCode::Forbidden);
    controller.stop().await;
}
