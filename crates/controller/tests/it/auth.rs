//! People sign in and out, over HTTP.

use headworks_types::{Auth, ProblemCode, SignedIn, User};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Answer, Api, Controller, PASSWORD, on_camera, on_cluster, text};

async fn sign_in(api: &Api, email: &str, password: &str) -> Answer {
    let ask = json!({"email": email, "password": password});
    api.post("/v1/auth:sign_in", ask).await
}

async fn refresh(api: &Api, token: &str) -> Answer {
    let ask = json!({"refresh_token": token});
    api.post("/v1/auth:refresh", ask).await
}

fn with_access(api: &Api, signed_in: &SignedIn) -> Api {
    api.with_key(Some(signed_in.access_token.expose()))
}

#[track_caller]
fn refused(answer: &Answer) {
    answer.problem(ProblemCode::Unauthenticated);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_first_password_is_changed_when_signing_in(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let (admin, anyone) = (&controller.admin, controller.anonymous());
    let body = json!({"name": "Ann", "email": "Ann@Example.com", "password": "chosen by others"});
    let answer = admin.post("/v1/users", body).await;
    assert!(!answer.text.contains("chosen"), "{}", answer.text);
    let user: User = answer.parse(201);
    assert_eq!(user.email.as_deref(), Some("ann@example.com"));
    assert!(user.has_password && user.must_change_password);

    let answer = sign_in(&anyone, "ann@example.com", "chosen by others").await;
    answer.problem(ProblemCode::PasswordChangeRequired);
    let ask = |new: &str| json!({"email": "aNN@example.com", "password": "chosen by others", "new_password": new});
    for bad in ["short", "Ann@example.com", "chosen by others"] {
        let answer = anyone.post("/v1/auth:sign_in", ask(bad)).await;
        assert_eq!(
            answer.pointers(ProblemCode::Invalid),
            ["/new_password"],
            "{bad}"
        );
    }
    let answer = anyone.post("/v1/auth:sign_in", ask(PASSWORD)).await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    let signed_in: SignedIn = answer.parse(200);
    let me: Auth = with_access(&anyone, &signed_in)
        .get("/v1/auth")
        .await
        .parse(200);
    assert_eq!((me.name.as_str(), me.email), ("Ann", user.email.clone()));
    assert!(me.sign_in_id.is_some());

    refused(&sign_in(&anyone, "ann@example.com", "chosen by others").await);
    sign_in(&anyone, "ANN@example.com", PASSWORD)
        .await
        .expect(200);
    let path = format!("/v1/users/{}", user.id);
    let user: User = admin.get(&path).await.parse(200);
    assert!(!user.must_change_password && user.last_signed_in_at.is_some());
    let found = admin.all("/v1/users?email=Ann%40example.com", 10).await;
    assert_eq!(found[0]["id"], user.id.to_string());
    assert!(
        admin
            .all("/v1/users?email=bob%40example.com", 10)
            .await
            .is_empty()
    );
    let events = admin
        .events(|events| {
            events
                .iter()
                .filter(|e| e["kind"] == "user.signed_in")
                .count()
                == 2
        })
        .await;
    let all = Value::from(events).to_string();
    assert!(all.contains("user.password_changed"), "{all}");
    for secret in [
        "chosen by",
        PASSWORD,
        "argon2",
        "hwrt_",
        signed_in.access_token.expose(),
    ] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn who_cannot_sign_in_is_not_told_why(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let (admin, anyone) = (&controller.admin, controller.anonymous());
    controller.person("ann@example.com", &[]).await;
    let bob = controller.person("bob@example.com", &[]).await;
    let path = format!("/v1/users/{}", bob.id);
    admin
        .patch(&path, json!({"enabled": false}))
        .await
        .expect(200);
    let body = json!({"name": "Cid", "email": "cid@example.com"});
    admin.post("/v1/users", body).await.expect(201);
    let mut answers = Vec::new();
    for (email, password) in [
        ("ann@example.com", "wrong password"),
        ("bob@example.com", PASSWORD),
        ("cid@example.com", PASSWORD),
        ("dan@example.com", PASSWORD),
    ] {
        let answer = sign_in(&anyone, email, password).await;
        let mut problem = answer.problem(ProblemCode::Unauthenticated);
        problem.request_id = None;
        answers.push(problem);
    }
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_person_may_do_what_they_and_their_groups_are_granted(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let camera = crate::harness::camera("gate");
    let gate = text(&admin.post("/v1/cameras", camera).await.expect(201)["id"]);
    let view: &[&str] = &["camera.view_live"];
    let ann = controller
        .person("ann@example.com", &[(on_camera(&gate), view)])
        .await;
    let seen = ann.api.all("/v1/cameras", 10).await;
    assert_eq!(seen[0]["id"], *gate);
    ann.api
        .get("/v1/users")
        .await
        .problem(ProblemCode::Forbidden);
    let me: Auth = ann.api.get("/v1/auth").await.parse(200);
    assert_eq!(me.cameras, [headworks_types::Action::CameraViewLive]);
    assert!(me.cluster.is_empty() && me.projects.is_empty());

    let root: &[&str] = &["user.manage"];
    let bob = controller
        .person("bob@example.com", &[(on_cluster(), root)])
        .await;
    let body = json!({"name": "Cid"});
    let created = bob.api.post("/v1/users", body).await;
    let cid = text(&created.expect(201)["id"]);
    let events = admin
        .events(|events| events.iter().any(|e| e["subject"] == *cid))
        .await;
    let event = events.iter().find(|event| event["subject"] == *cid);
    assert_eq!(event.expect("is there")["actor"], *bob.id);
    let of_key: Auth = admin.get("/v1/auth").await.parse(200);
    assert_eq!((of_key.name.as_str(), of_key.sign_in_id), ("admin", None));
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_refresh_token_works_once(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let anyone = controller.anonymous();
    let ann = controller.person("ann@example.com", &[]).await;
    let second: SignedIn = refresh(&anyone, &ann.refresh).await.parse(200);
    let third: SignedIn = refresh(&anyone, second.refresh_token.expose())
        .await
        .parse(200);
    let api = with_access(&anyone, &third);
    api.get("/v1/auth").await.expect(200);
    let other: SignedIn = sign_in(&anyone, "ann@example.com", PASSWORD)
        .await
        .parse(200);

    // A thief has the first one, or its owner: nobody knows who is who.
    refused(&refresh(&anyone, &ann.refresh).await);
    refused(&refresh(&anyone, third.refresh_token.expose()).await);
    refused(&api.get("/v1/auth").await);
    let reused = |events: &[Value]| {
        let kind = "refresh_token.reused";
        events.iter().filter(|event| event["kind"] == kind).count()
    };
    let events = controller.admin.events(|events| reused(events) > 0).await;
    assert_eq!(reused(&events), 1, "it is said once");
    // Another sign-in of the same user is another matter.
    refresh(&anyone, other.refresh_token.expose())
        .await
        .expect(200);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn of_two_at_once_with_one_refresh_token_none_keeps_it(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let anyone = controller.anonymous();
    let ann = controller.person("ann@example.com", &[]).await;
    let (a, b) = tokio::join!(
        refresh(&anyone, &ann.refresh),
        refresh(&anyone, &ann.refresh)
    );
    let (won, lost) = if a.status == 200 { (a, b) } else { (b, a) };
    refused(&lost);
    let won: SignedIn = won.parse(200);
    refused(&with_access(&anyone, &won).get("/v1/auth").await);
    refused(&refresh(&anyone, won.refresh_token.expose()).await);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn nothing_works_after_signing_out(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let anyone = controller.anonymous();
    let ann = controller.person("ann@example.com", &[]).await;
    let again: SignedIn = sign_in(&anyone, "ann@example.com", PASSWORD)
        .await
        .parse(200);
    ann.api
        .post("/v1/auth:sign_out", json!({}))
        .await
        .expect(204);
    refused(&ann.api.get("/v1/auth").await);
    refused(&refresh(&anyone, &ann.refresh).await);
    let api = with_access(&anyone, &again);
    api.get("/v1/auth").await.expect(200);

    let third: SignedIn = sign_in(&anyone, "ann@example.com", PASSWORD)
        .await
        .parse(200);
    api.post("/v1/auth:sign_out_everywhere", json!({}))
        .await
        .expect(204);
    for signed_in in [&again, &third] {
        refused(&with_access(&anyone, signed_in).get("/v1/auth").await);
        refused(&refresh(&anyone, signed_in.refresh_token.expose()).await);
    }
    let key = controller.key(&[]).await;
    let answer = key.post("/v1/auth:sign_out", json!({})).await;
    answer.problem(ProblemCode::Forbidden);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_disabled_or_deleted_user_is_out_at_once(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let (admin, anyone) = (&controller.admin, controller.anonymous());
    let ann = controller.person("ann@example.com", &[]).await;
    let path = format!("/v1/users/{}", ann.id);
    admin
        .patch(&path, json!({"enabled": false}))
        .await
        .expect(200);
    refused(&ann.api.get("/v1/auth").await);
    refused(&refresh(&anyone, &ann.refresh).await);
    refused(&sign_in(&anyone, "ann@example.com", PASSWORD).await);
    // To be let in again is not to be signed in again.
    admin
        .patch(&path, json!({"enabled": true}))
        .await
        .expect(200);
    refused(&ann.api.get("/v1/auth").await);
    refused(&refresh(&anyone, &ann.refresh).await);
    let again: SignedIn = sign_in(&anyone, "ann@example.com", PASSWORD)
        .await
        .parse(200);
    admin.delete(&path).await.expect(204);
    refused(&with_access(&anyone, &again).get("/v1/auth").await);
    refused(&refresh(&anyone, again.refresh_token.expose()).await);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_sign_in_ends_after_its_time(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let anyone = controller.anonymous();
    let ann = controller.person("ann@example.com", &[]).await;
    let update = "UPDATE sign_in SET idle_until = clock_timestamp()";
    sqlx::raw_sql(update).execute(&pool).await.expect("is idle");
    refused(&refresh(&anyone, &ann.refresh).await);
    ann.api.get("/v1/auth").await.expect(200);
    let update = "UPDATE sign_in SET idle_until = clock_timestamp() + interval '1 day',
                                     expires_at = clock_timestamp() + interval '1 hour'";
    sqlx::raw_sql(update).execute(&pool).await.expect("is old");
    let last: SignedIn = refresh(&anyone, &ann.refresh).await.parse(200);
    let left = last.refresh_until - last.expires_at;
    assert!(
        left <= chrono::TimeDelta::minutes(51),
        "not beyond the whole time: {left}"
    );
    let update = "UPDATE sign_in SET expires_at = clock_timestamp()";
    sqlx::raw_sql(update).execute(&pool).await.expect("is over");
    refused(&refresh(&anyone, last.refresh_token.expose()).await);
    refused(&with_access(&anyone, &last).get("/v1/auth").await);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn who_changes_their_password_is_signed_out_elsewhere(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let anyone = controller.anonymous();
    let ann = controller.person("ann@example.com", &[]).await;
    let other: SignedIn = sign_in(&anyone, "ann@example.com", PASSWORD)
        .await
        .parse(200);
    let change = async |old: &str, new: &str| {
        let ask = json!({"password": old, "new_password": new});
        ann.api.post("/v1/auth:change_password", ask).await
    };
    let wrong = change("wrong password", "another password").await;
    assert_eq!(wrong.pointers(ProblemCode::Invalid), ["/password"]);
    for bad in ["short", "ANN@example.com", PASSWORD] {
        let answer = change(PASSWORD, bad).await;
        assert_eq!(
            answer.pointers(ProblemCode::Invalid),
            ["/new_password"],
            "{bad}"
        );
    }
    let new: SignedIn = change(PASSWORD, "another password").await.parse(200);
    for api in [&ann.api, &with_access(&anyone, &other)] {
        refused(&api.get("/v1/auth").await);
    }
    refused(&refresh(&anyone, &ann.refresh).await);
    with_access(&anyone, &new).get("/v1/auth").await.expect(200);
    refused(&sign_in(&anyone, "ann@example.com", PASSWORD).await);
    sign_in(&anyone, "ann@example.com", "another password")
        .await
        .expect(200);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_email_names_one_user_of_the_installation(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let (_, theirs) = controller.project("theirs").await;
    let user = |email: &str| json!({"name": "x", "email": email});
    theirs
        .post("/v1/users", user("ann@example.com"))
        .await
        .expect(201);
    let admin = &controller.admin;
    let taken = admin.post("/v1/users", user("ANN@example.com")).await;
    taken.problem(ProblemCode::Conflict);
    let bob = admin
        .post("/v1/users", user("bob@example.com"))
        .await
        .expect(201);
    let path = format!("/v1/users/{}", text(&bob["id"]));
    let taken = admin
        .patch(&path, json!({"email": "Ann@example.com"}))
        .await;
    taken.problem(ProblemCode::Conflict);
    let none: User = admin.patch(&path, json!({"email": null})).await.parse(200);
    assert_eq!(none.email, None);
    let answer = admin
        .patch(&path, json!({"password": "chosen by others"}))
        .await;
    assert_eq!(answer.pointers(ProblemCode::Invalid), ["/password"]);
    for (body, pointer) in [
        (json!({"name": "x", "email": "x"}), "/email"),
        (
            json!({"name": "x", "password": "chosen by others"}),
            "/password",
        ),
        (
            json!({"name": "x", "email": "c@d.ef", "password": "short"}),
            "/password",
        ),
    ] {
        let answer = admin.post("/v1/users", body).await;
        assert_eq!(answer.pointers(ProblemCode::Invalid), [pointer]);
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_administrator_gives_another_first_password(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let (admin, anyone) = (&controller.admin, controller.anonymous());
    let ann = controller.person("ann@example.com", &[]).await;
    let path = format!("/v1/users/{}", ann.id);
    let change = json!({"password": "chosen by others"});
    let user: User = admin.patch(&path, change).await.parse(200);
    assert!(user.must_change_password);
    refused(&ann.api.get("/v1/auth").await);
    refused(&sign_in(&anyone, "ann@example.com", PASSWORD).await);
    let answer = sign_in(&anyone, "ann@example.com", "chosen by others").await;
    answer.problem(ProblemCode::PasswordChangeRequired);
    let user: User = admin
        .patch(&path, json!({"password": null}))
        .await
        .parse(200);
    assert!(!user.has_password && !user.must_change_password);
    refused(&sign_in(&anyone, "ann@example.com", "chosen by others").await);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn nobody_becomes_who_may_do_more(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let default = crate::harness::on_project(&controller.default_project().await);
    let manager = controller.key(&[(default, &["user.manage"])]).await;
    let root: &[&str] = &["node.manage"];
    let boss = controller
        .person("boss@example.com", &[(on_cluster(), root)])
        .await;
    let path = format!("/v1/users/{}", boss.id);
    for change in [
        json!({"password": "chosen by others"}),
        json!({"email": "mine@example.com"}),
        json!({"enabled": false}),
    ] {
        let answer = manager.patch(&path, change).await;
        answer.problem(ProblemCode::Forbidden);
    }
    manager.delete(&path).await.problem(ProblemCode::Forbidden);
    manager
        .patch(&path, json!({"name": "Boss"}))
        .await
        .expect(200);
    boss.api.get("/v1/nodes").await.expect(200);

    // Nor by a group.
    let group = manager
        .post("/v1/user_groups", json!({"name": "ops"}))
        .await
        .expect(201);
    let group = text(&group["id"]);
    let may_manage_nodes = json!({
        "principal": {"type": "user_group", "id": group}, "object": on_cluster(),
        "actions": ["node.manage"],
    });
    controller
        .admin
        .post("/v1/grants", may_manage_nodes)
        .await
        .expect(201);
    let ann = controller.person("ann@example.com", &[]).await;
    let members = format!("/v1/user_groups/{group}/members");
    let body = json!({"user_id": ann.id});
    let answer = manager.post(&members, body.clone()).await;
    answer.problem(ProblemCode::Forbidden);
    let named = json!({"external_id": "everybody"});
    let answer = manager
        .patch(&format!("/v1/user_groups/{group}"), named)
        .await;
    answer.problem(ProblemCode::Forbidden);
    ann.api
        .get("/v1/nodes")
        .await
        .problem(ProblemCode::Forbidden);
    controller.admin.post(&members, body).await.expect(201);
    ann.api.get("/v1/nodes").await.expect(200);
    // Nor lifts what a group is denied by letting somebody out of it.
    let deny = json!({
        "principal": {"type": "user_group", "id": group}, "object": on_cluster(),
        "effect": "deny", "actions": ["audit.read"],
    });
    controller.admin.post("/v1/grants", deny).await.expect(201);
    let out = manager.delete(&format!("{members}/{}", ann.id)).await;
    out.problem(ProblemCode::Forbidden);
    let gone = manager.delete(&format!("/v1/user_groups/{group}")).await;
    gone.problem(ProblemCode::Forbidden);
    let of_ann = format!("/v1/users/{}", ann.id);
    let answer = manager.patch(&of_ann, json!({"enabled": false})).await;
    answer.problem(ProblemCode::Forbidden);
    controller.stop().await;
}
