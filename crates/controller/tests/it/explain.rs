//! Explanations over HTTP.

use headworks_types::{AccessExplanation, ProblemCode};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Api, Controller, camera, on_camera, on_project, text};

async fn explain(api: &Api, query: &str) -> AccessExplanation {
    let path = format!("/v1/access:explain?{query}");
    api.get(&path).await.parse(200)
}

async fn grant(api: &Api, user: &str, rest: Value) -> String {
    let mut body = rest;
    body["principal"] = json!({"type": "user", "id": user});
    text(&api.post("/v1/grants", body).await.expect(201)["id"])
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_grants_that_decide_are_named(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let project = on_project(&controller.default_project().await);
    let gate = text(&api.post("/v1/cameras", camera("gate")).await.expect(201)["id"]);
    let ann = text(
        &api.post("/v1/users", json!({"name": "Ann"}))
            .await
            .expect(201)["id"],
    );
    let query = format!("user={ann}&camera={gate}&action=camera.ptz");
    let nothing = explain(api, &query).await;
    assert!(!nothing.allowed && nothing.grants.is_empty(), "{nothing:?}");

    let by_role = json!({"object": project, "role": "operator"});
    let by_role = grant(api, &ann, by_role).await;
    let other = json!({"object": project, "actions": ["camera.manage"]});
    grant(api, &ann, other).await;
    let yes = explain(api, &query).await;
    assert!(yes.allowed, "{yes:?}");
    assert_eq!(yes.grants.len(), 1, "of other actions is not spoken");
    assert_eq!(yes.grants[0].grant.id.to_string(), by_role);
    assert!(yes.grants[0].decides && yes.grants[0].holds);
    assert!(yes.reason.starts_with("Yes: ") && yes.reason.contains(&by_role));

    let deny = json!({
        "object": on_camera(&gate), "effect": "deny", "actions": ["camera.ptz"],
        "conditions": {
            "schedule": {
                "zone": "Europe/Paris",
                "windows": [{"days": ["sat", "sun"], "from": "22:00", "to": "06:00"}],
            },
            "networks": ["10.0.0.0/8"],
        },
    });
    let deny = grant(api, &ann, deny).await;
    // A Saturday night in Paris, from inside and outside; and the day after.
    let night = format!("{query}&at=2031-07-05T21:30:00Z");
    let no = explain(api, &format!("{night}&address=10.1.2.3")).await;
    assert!(!no.allowed && no.reason.contains(&deny), "{no:?}");
    let decides: Vec<_> = no.grants.iter().map(|about| about.decides).collect();
    assert_eq!(decides, [false, true]);
    assert!(!explain(api, &night).await.allowed, "an unknown address");
    for (elsewhere, why) in [
        (format!("{night}&address=203.0.113.9"), "address"),
        (
            format!("{query}&at=2031-07-06T04:30:00Z&address=10.1.2.3"),
            "hour",
        ),
    ] {
        let yes = explain(api, &elsewhere).await;
        assert!(yes.allowed && !yes.grants[1].holds, "{yes:?}");
        assert!(yes.grants[1].words.contains(why), "{yes:?}");
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_keeps_somebody_from_everything_is_said(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let project = controller.default_project().await;
    let gate = text(&api.post("/v1/cameras", camera("gate")).await.expect(201)["id"]);
    let ann = text(
        &api.post("/v1/users", json!({"name": "Ann"}))
            .await
            .expect(201)["id"],
    );
    let role = json!({"object": on_project(&project), "role": "viewer"});
    grant(api, &ann, role).await;
    let user = format!("/v1/users/{ann}");
    api.patch(&user, json!({"enabled": false}))
        .await
        .expect(200);
    let about = format!("camera={gate}&action=camera.view_live");
    let no = explain(api, &format!("user={ann}&{about}")).await;
    assert!(!no.allowed && no.reason.contains("disabled"), "{no:?}");

    let body = json!({"name": "ci", "scopes": ["camera.ptz"]});
    let key = api.post("/v1/api_keys", body).await.expect(201);
    let key = text(&key["api_key"]["id"]);
    let no = explain(api, &format!("api_key={key}&{about}")).await;
    assert!(!no.allowed && no.reason.contains("scope"), "{no:?}");

    for (query, code) in [
        (about.clone(), ProblemCode::Malformed),
        (
            format!("user={ann}&api_key={key}&{about}"),
            ProblemCode::Malformed,
        ),
        (
            format!("user={ann}&camera={gate}&action=camera.fly"),
            ProblemCode::Malformed,
        ),
    ] {
        let path = format!("/v1/access:explain?{query}");
        api.get(&path).await.problem(code);
    }
    let (_, theirs) = controller.project("theirs").await;
    let path = format!("/v1/access:explain?user={ann}&{about}");
    theirs.get(&path).await.problem(ProblemCode::NotFound);
    let bob = text(
        &theirs
            .post("/v1/users", json!({"name": "Bob"}))
            .await
            .expect(201)["id"],
    );
    let path = format!("/v1/access:explain?user={bob}&{about}");
    theirs.get(&path).await.problem(ProblemCode::NotFound);
    controller.stop().await;
}
