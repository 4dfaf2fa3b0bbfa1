//! Camera groups over HTTP: a tree, and what is granted on it.

use headworks_types::{Camera, CameraGroup, ProblemCode};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Api, Controller, camera, on_camera, on_group, on_project, text};

async fn group(api: &Api, name: &str, parent: Option<&CameraGroup>) -> CameraGroup {
    let body = json!({"name": name, "parent_id": parent.map(|parent| parent.id)});
    api.post("/v1/camera_groups", body).await.parse(201)
}

async fn camera_in(api: &Api, name: &str, group: Option<&CameraGroup>) -> Camera {
    let mut body = camera(name);
    body["group_id"] = json!(group.map(|group| group.id));
    api.post("/v1/cameras", body).await.parse(201)
}

async fn names(api: &Api, path: &str) -> Vec<String> {
    let things = api.all(path, 2).await;
    things.iter().map(|thing| text(&thing["name"])).collect()
}

fn path(group: &CameraGroup) -> String {
    format!("/v1/camera_groups/{}", group.id)
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_tree_grows_moves_and_falls(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let site = group(api, "site", None).await;
    let house = group(api, "house", Some(&site)).await;
    let floor = group(api, "floor", Some(&house)).await;
    assert_eq!(floor.path, [site.id, house.id, floor.id]);
    let children = format!("/v1/camera_groups?parent_id={}", site.id);
    assert_eq!(names(api, &children).await, ["house"]);
    assert_eq!(
        api.get(&path(&floor)).await.parse::<CameraGroup>(200),
        floor
    );

    let under_itself = json!({"parent_id": floor.id});
    for wrong in [&site, &house, &floor] {
        let refused = api.patch(&path(wrong), under_itself.clone()).await;
        let expected = if wrong.id == floor.id {
            "is the"
        } else {
            "below"
        };
        let problem = refused.problem(ProblemCode::Invalid);
        assert_eq!(problem.errors[0].pointer, "/parent_id");
        assert!(problem.errors[0].detail.contains(expected));
    }
    let moved = api.patch(&path(&house), json!({"parent_id": null})).await;
    assert_eq!(moved.parse::<CameraGroup>(200).path, [house.id]);
    let below: CameraGroup = api.get(&path(&floor)).await.parse(200);
    assert_eq!(below.path, [house.id, floor.id], "what is below goes along");

    camera_in(api, "gate", Some(&floor)).await;
    for full in [&house, &floor] {
        api.delete(&path(full)).await.problem(ProblemCode::Conflict);
    }
    api.delete(&path(&site)).await.expect(204);
    api.get(&path(&site)).await.problem(ProblemCode::NotFound);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn groups_nest_sixteen_deep(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let mut deepest = group(api, "1", None).await;
    for level in 2..=16 {
        deepest = group(api, &level.to_string(), Some(&deepest)).await;
    }
    let body = json!({"name": "17", "parent_id": deepest.id});
    let refused = api.post("/v1/camera_groups", body).await;
    assert_eq!(refused.pointers(ProblemCode::Invalid), ["/parent_id"]);
    // Nor by a move of what has something below it.
    let two = group(api, "two", None).await;
    group(api, "one", Some(&two)).await;
    let fifteenth = json!({"parent_id": deepest.path[14]});
    let refused = api.patch(&path(&two), fifteenth).await;
    assert_eq!(refused.pointers(ProblemCode::Invalid), ["/parent_id"]);
    let fourteenth = json!({"parent_id": deepest.path[13]});
    api.patch(&path(&two), fourteenth).await.expect(200);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_grant_on_a_group_reaches_everything_below(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let site = group(api, "site", None).await;
    let floor = group(api, "floor", Some(&site)).await;
    let other = group(api, "other", None).await;
    let gate = camera_in(api, "gate", Some(&site)).await;
    camera_in(api, "hall", Some(&floor)).await;
    camera_in(api, "yard", Some(&other)).await;
    camera_in(api, "lost", None).await;
    let view: &[&str] = &["camera.view_live"];
    let on_site = on_group(&site.id.to_string());
    let viewer = controller.key(&[(on_site, view)]).await;
    assert_eq!(names(&viewer, "/v1/cameras").await, ["gate", "hall"]);
    assert_eq!(names(&viewer, "/v1/camera_groups").await, ["site", "floor"]);
    viewer
        .get(&path(&other))
        .await
        .problem(ProblemCode::NotFound);
    viewer
        .delete(&path(&site))
        .await
        .problem(ProblemCode::Forbidden);
    for (below, seen) in [
        (&site, &["gate", "hall"][..]),
        (&floor, &["hall"]),
        (&other, &[]),
    ] {
        let list = format!("/v1/cameras?group_id={}", below.id);
        assert_eq!(names(&viewer, &list).await, seen);
    }
    let all = format!("/v1/cameras?group_id={}", site.id);
    assert_eq!(names(api, &all).await, ["gate", "hall"]);

    // What is moved away is seen no more, and what is moved in is.
    let floor_path = path(&floor);
    let there = json!({"parent_id": other.id});
    api.patch(&floor_path, there).await.expect(200);
    assert_eq!(names(&viewer, "/v1/cameras").await, ["gate"]);
    let out = json!({"group_id": null});
    let gate_path = format!("/v1/cameras/{}", gate.id);
    api.patch(&gate_path, out).await.expect(200);
    assert!(names(&viewer, "/v1/cameras").await.is_empty());
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn who_moves_something_manages_both_places(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let (here, there) = (
        group(admin, "here", None).await,
        group(admin, "there", None).await,
    );
    let gate = camera_in(admin, "gate", Some(&here)).await;
    let gate_path = format!("/v1/cameras/{}", gate.id);
    let manage: &[&str] = &["camera.manage"];
    let on = |group: &CameraGroup| on_group(&group.id.to_string());
    let view: &[&str] = &["camera.view_live"];
    let cases: [Vec<(Value, &[&str])>; 3] = [
        // Else it would get to see what it may not: there it may.
        vec![
            (on_camera(&gate.id.to_string()), manage),
            (on(&there), manage),
        ],
        vec![(on(&here), manage), (on(&there), view)],
        vec![(on(&here), manage)],
    ];
    for grants in cases {
        let api = controller.key(&grants).await;
        let refused = api.patch(&gate_path, json!({"group_id": there.id})).await;
        assert!(
            [403, 404].contains(&refused.status.as_u16()),
            "{}",
            refused.text
        );
        let refused = api.patch(&gate_path, json!({"group_id": null})).await;
        assert!(
            [403, 404].contains(&refused.status.as_u16()),
            "{}",
            refused.text
        );
    }
    let both = controller
        .key(&[(on(&here), manage), (on(&there), manage)])
        .await;
    let moved = both.patch(&gate_path, json!({"group_id": there.id})).await;
    assert_eq!(moved.parse::<Camera>(200).group_id, Some(there.id));
    // It makes cameras in its groups, one or many, and nowhere else.
    camera_in(&both, "new", Some(&here)).await;
    let mut inside = camera("inside");
    inside["group_id"] = json!(here.id);
    let items = json!({"items": [inside, camera("outside")]});
    let result = both
        .post("/v1/cameras:bulk_create", items)
        .await
        .expect(200);
    let outcome = |index: usize| text(&result["results"][index]["outcome"]);
    assert_eq!(
        (outcome(0), outcome(1)),
        ("created".to_owned(), "failed".to_owned())
    );
    assert_eq!(result["results"][1]["problem"]["code"], "forbidden");
    both.post("/v1/cameras", camera("outside"))
        .await
        .problem(ProblemCode::Forbidden);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn trees_of_projects_do_not_touch(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let (_, theirs) = controller.project("theirs").await;
    let ours = group(admin, "ours", None).await;
    let own = group(&theirs, "own", None).await;
    let into_ours = json!({"name": "x", "parent_id": ours.id});
    let refused = theirs.post("/v1/camera_groups", into_ours).await;
    refused.problem(ProblemCode::NotFound);
    theirs
        .get(&path(&ours))
        .await
        .problem(ProblemCode::NotFound);
    let mut body = camera("x");
    body["group_id"] = json!(ours.id);
    theirs
        .post("/v1/cameras", body)
        .await
        .problem(ProblemCode::NotFound);
    // Not even who manages both ties them.
    let refused = admin
        .patch(&path(&own), json!({"parent_id": ours.id}))
        .await;
    refused.problem(ProblemCode::Forbidden);
    let project = controller.default_project().await;
    let manager = controller
        .key(&[(on_project(&project), &["camera.manage"])])
        .await;
    let seen = names(&manager, "/v1/camera_groups").await;
    assert_eq!(seen, ["ours"]);
    controller.stop().await;
}
