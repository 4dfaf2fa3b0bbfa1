//! User groups over HTTP.

use headworks_types::{ProblemCode, UserGroup, UserGroupMember};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Api, Controller, text};

async fn user(api: &Api, name: &str) -> String {
    let user = api.post("/v1/users", json!({"name": name})).await;
    text(&user.expect(201)["id"])
}

fn names(things: &[Value]) -> Vec<String> {
    things.iter().map(|thing| text(&thing["name"])).collect()
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_group_lives(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let body = json!({"name": "Night", "external_id": "night", "labels": {"site": "lyon"}});
    let created: UserGroup = api.post("/v1/user_groups", body.clone()).await.parse(201);
    api.post("/v1/user_groups", body)
        .await
        .problem(ProblemCode::Conflict);
    let path = format!("/v1/user_groups/{}", created.id);
    let viewed = api.get(&path).await;
    assert_eq!(viewed.etag(), "\"1\"");
    assert_eq!(viewed.parse::<UserGroup>(200), created);
    let change = json!({"name": "Nights", "external_id": null});
    let changed: UserGroup = api.patch(&path, change).await.parse(200);
    assert_eq!(
        (changed.name.as_str(), changed.external_id),
        ("Nights", None)
    );
    assert_eq!(changed.labels, created.labels);
    let found = api.all("/v1/user_groups?labels=site%3Dlyon", 10).await;
    assert_eq!(names(&found), ["Nights"]);
    assert!(
        api.all("/v1/user_groups?external_id=night", 10)
            .await
            .is_empty()
    );
    let stale = [("if-match", "\"1\"")];
    let refused = api.send(Method::DELETE, &path, None, &stale).await;
    refused.problem(ProblemCode::PreconditionFailed);
    api.delete(&path).await.expect(204);
    api.get(&path).await.problem(ProblemCode::NotFound);
    let kinds = [
        "user_group.created",
        "user_group.updated",
        "user_group.deleted",
    ];
    api.events(|events| {
        let said = |kind| events.iter().any(|event| event["kind"] == kind);
        kinds.into_iter().all(said)
    })
    .await;
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn users_come_and_go(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let (ann, bob) = (user(api, "Ann").await, user(api, "Bob").await);
    let group = api.post("/v1/user_groups", json!({"name": "Night"})).await;
    let group = text(&group.expect(201)["id"]);
    let members = format!("/v1/user_groups/{group}/members");
    for id in [&ann, &bob, &ann] {
        let member: UserGroupMember = api.post(&members, json!({"user_id": id})).await.parse(201);
        assert_eq!(member.user_id.to_string(), *id);
    }
    assert_eq!(names(&api.all(&members, 1).await), ["Ann", "Bob"]);
    let of_ann = format!("/v1/users/{ann}/user_groups");
    assert_eq!(names(&api.all(&of_ann, 1).await), ["Night"]);
    let added = |events: &[Value]| {
        let kind = "user_group.member_added";
        events.iter().filter(|event| event["kind"] == kind).count()
    };
    let events = api.events(|events| added(events) >= 2).await;
    assert_eq!(
        added(&events),
        2,
        "who is in it already does not come again"
    );

    api.delete(&format!("{members}/{ann}")).await.expect(204);
    let gone = api.delete(&format!("{members}/{ann}")).await;
    gone.problem(ProblemCode::NotFound);
    assert_eq!(names(&api.all(&members, 10).await), ["Bob"]);
    api.delete(&format!("/v1/users/{bob}")).await.expect(204);
    assert!(api.all(&members, 10).await.is_empty());
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn groups_hold_users_of_their_own_project(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let (_, theirs) = controller.project("theirs").await;
    let stranger = user(&theirs, "Eve").await;
    let group = api.post("/v1/user_groups", json!({"name": "Night"})).await;
    let group = text(&group.expect(201)["id"]);
    let members = format!("/v1/user_groups/{group}/members");
    // The administrator sees both, and yet they do not meet.
    let answer = api.post(&members, json!({"user_id": stranger})).await;
    answer.problem(ProblemCode::NotFound);
    let ann = user(api, "Ann").await;
    api.post(&members, json!({"user_id": ann}))
        .await
        .expect(201);
    let own = json!({"user_id": stranger});
    theirs
        .post(&members, own)
        .await
        .problem(ProblemCode::NotFound);
    theirs.get(&members).await.problem(ProblemCode::NotFound);
    let path = format!("{members}/{ann}");
    theirs.delete(&path).await.problem(ProblemCode::NotFound);
    let of_ann = format!("/v1/users/{ann}/user_groups");
    theirs.get(&of_ann).await.problem(ProblemCode::NotFound);
    assert_eq!(names(&api.all(&members, 10).await), ["Ann"]);
    controller.stop().await;
}
