//! What bounds a playback token: who issued it, and how long they and whoever watches may.

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use headworks_bootstrap::Clock;
use headworks_types::PlaybackToken;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    harness::{Api, Controller, on_camera, on_project, text},
    playback_token::{TOKENS, new_camera, verified},
};

const VIEW: &[&str] = &["camera.view_live"];

async fn ann(api: &Api) -> String {
    let ann = api.post("/v1/users", json!({"name": "Ann"})).await;
    text(&ann.expect(201)["id"])
}

async fn allow(api: &Api, user: &str, camera: &str, conditions: Value) -> String {
    let body = json!({
        "principal": {"type": "user", "id": user}, "object": on_camera(camera), "actions": VIEW,
        "conditions": conditions,
    });
    text(&api.post("/v1/grants", body).await.expect(201)["id"])
}

/// Now, in whole seconds.
fn now() -> DateTime<Utc> {
    let now = Clock::system().now();
    now.with_nanosecond(0).expect("is a time")
}

/// A weekly schedule from an hour ago until two minutes from now, and when that is. By the clock of a
/// zone where it is noon, so that midnight is far away.
fn window() -> (Value, DateTime<Utc>) {
    let end = now().with_second(0).expect("is a time") + TimeDelta::minutes(2);
    let behind = i64::from(end.hour()) - 12;
    let zone = format!(
        "Etc/GMT{}{}",
        if behind < 0 { '-' } else { '+' },
        behind.abs()
    );
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let to = format!("12:{:02}", end.minute());
    let window = json!({"days": days, "from": "11:00", "to": to});
    (
        json!({"schedule": {"zone": zone, "windows": [window]}}),
        end,
    )
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_token_ends_with_what_it_rests_on(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let gate = new_camera(api, "gate").await;
    let soon = now() + TimeDelta::minutes(2);
    let (schedule, close) = window();
    for (conditions, end) in [(json!({"not_after": soon}), soon), (schedule, close)] {
        let ann = ann(api).await;
        let bound = allow(api, &ann, &gate, conditions.clone()).await;
        let ask = json!({"user_id": ann, "camera_ids": [gate]});
        let token: PlaybackToken = api.post(TOKENS, ask.clone()).await.parse(201);
        let claims = verified(api, &token).await;
        assert_eq!(claims.exp, end.timestamp(), "{conditions}");
        assert_eq!(claims.sxp, Some(end.timestamp()), "{conditions}");
        assert_eq!((token.expires_at, token.watch_until), (end, end));
        // Another grant goes on; and one that denies it from then on ends it all the same.
        allow(api, &ann, &gate, json!({})).await;
        let token: PlaybackToken = api.post(TOKENS, ask.clone()).await.parse(201);
        let claims = verified(api, &token).await;
        assert_eq!((claims.exp - claims.iat, claims.sxp), (300, None));
        let path = format!("/v1/grants/{bound}");
        api.delete(&path).await.expect(204);
        let deny = json!({
            "principal": {"type": "user", "id": ann}, "object": on_camera(&gate),
            "actions": VIEW, "effect": "deny", "conditions": {"not_before": end},
        });
        api.post("/v1/grants", deny).await.expect(201);
        let token: PlaybackToken = api.post(TOKENS, ask).await.parse(201);
        assert_eq!((token.expires_at, token.watch_until), (end, end));
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_token_ends_with_who_issued_it(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let gate = new_camera(api, "gate").await;
    let ann = ann(api).await;
    allow(api, &ann, &gate, json!({})).await;
    let soon = now() + TimeDelta::minutes(2);
    let body = json!({"name": "backend", "expires_at": soon});
    let created = api.post("/v1/api_keys", body).await.expect(201);
    let id = text(&created["api_key"]["id"]);
    let backend = api.with_key(created["secret"].as_str());
    let project = on_project(&controller.default_project().await);
    let grant = json!({
        "principal": {"type": "api_key", "id": id}, "object": project,
        "actions": ["user.manage", "camera.view_live"],
    });
    api.post("/v1/grants", grant).await.expect(201);
    let ask = json!({"user_id": ann, "camera_ids": [gate]});
    let token: PlaybackToken = backend.post(TOKENS, ask).await.parse(201);
    let claims = verified(api, &token).await;
    assert_eq!((claims.sub, claims.by), (ann.clone(), Some(id.clone())));
    assert_eq!((token.expires_at, token.watch_until), (soon, soon));
    let own: PlaybackToken = backend
        .post(TOKENS, json!({"camera_ids": [gate]}))
        .await
        .parse(201);
    let claims = verified(api, &own).await;
    assert_eq!((claims.sub, claims.by), (id, None), "nothing is said twice");
    // With nothing else that is special, a camera and `?token=` it still fits into what FFmpeg takes
    // of an RTMP URL.
    let hear = json!({
        "principal": {"type": "user", "id": ann}, "object": on_camera(&gate),
        "actions": ["camera.view_audio"],
    });
    api.post("/v1/grants", hear).await.expect(201);
    let ask = json!({"user_id": ann, "camera_ids": [gate]});
    let token: PlaybackToken = api.post(TOKENS, ask).await.parse(201);
    let length = token.token.expose().len();
    assert!(length <= 511 - 36 - 7, "{length}");
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_new_password_ends_what_is_watched(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let ended = async |user: &str| {
        let ended = sqlx::query_scalar!(
            r#"WITH gone AS (DELETE FROM revocation WHERE kind = 'subject' RETURNING *)
               SELECT count(*) AS "count!" FROM gone WHERE value = $1 AND ends_sessions"#,
            user
        );
        ended.fetch_one(&pool).await.expect("counts") == 1
    };
    let ann = controller.person("ann@example.com", &[]).await;
    ended(&ann.id).await;
    let path = format!("/v1/users/{}", ann.id);
    let named = admin.patch(&path, json!({"name": "Anna"})).await;
    named.expect(200);
    assert!(!ended(&ann.id).await);
    let password = json!({"password": "chosen by others"});
    admin.patch(&path, password).await.expect(200);
    assert!(ended(&ann.id).await, "by an administrator");

    let bob = controller.person("bob@example.com", &[]).await;
    ended(&bob.id).await;
    let out = bob
        .api
        .post("/v1/auth:sign_out_everywhere", json!({}))
        .await;
    out.expect(204);
    assert!(ended(&bob.id).await, "by signing out everywhere");

    let eve = controller.person("eve@example.com", &[]).await;
    ended(&eve.id).await;
    let change = json!({"password": crate::harness::PASSWORD, "new_password": "another password"});
    eve.api
        .post("/v1/auth:change_password", change)
        .await
        .expect(200);
    assert!(ended(&eve.id).await, "by their own");
    controller.stop().await;
}
