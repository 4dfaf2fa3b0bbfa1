//! Whose address counts: who is connected, or whom a trusted proxy names; everywhere the same.

use headworks_controller::{Config, RateLimitConfig};
use headworks_types::ProblemCode;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    audit::wait_for,
    harness::{Answer, Api, Controller, PASSWORD, config, on_project},
};

/// What a client writes, and what its proxy adds.
const SPOOFED: &str = "10.0.0.1, \u{e9}, 203.0.113.9";
const CLIENT: &str = "203.0.113.9";

/// A controller that believes these proxies.
async fn behind(pool: &PgPool, proxies: &str) -> Controller {
    let first = Controller::start(pool).await;
    let key = first.admin.secret().to_owned();
    first.stop().await;
    let config = Config {
        trusted_proxies: serde_json::from_value(proxies.into()).expect("parses"),
        rate_limit: RateLimitConfig {
            failures_per_minute: 1,
            failures_burst: 2,
            ..RateLimitConfig::default()
        },
        ..config(pool)
    };
    Controller::start_with(pool, config, &key).await
}

async fn ask(api: &Api, method: Method, path: &str, body: Option<Value>, from: &str) -> Answer {
    let body = body.map_or_else(String::new, |body| body.to_string());
    let kind = ("content-type", "application/json");
    api.send_raw(method, path, body, &[kind, ("x-forwarded-for", from)])
        .await
}

/// What the audit log says of the last request for this operation.
async fn address_of(api: &Api, query: &str) -> String {
    let found = wait_for(api, query, |found| !found.is_empty()).await;
    found[0]["address"].as_str().expect("is there").to_owned()
}

/// A key that may be used from one network only.
async fn bound(controller: &Controller, network: &str) -> Api {
    let key = controller.key(&[]).await;
    let id = controller.key_id(&key).await;
    let grant = json!({
        "principal": {"type": "api_key", "id": id},
        "object": on_project(&controller.default_project().await),
        "actions": ["camera.manage"],
        "conditions": {"networks": [network]},
    });
    controller.admin.post("/v1/grants", grant).await.expect(201);
    key
}

#[sqlx::test(migrations = "../../migrations")]
async fn nobody_is_believed_but_a_trusted_proxy(pool: PgPool) {
    let controller = behind(&pool, "192.0.2.0/24").await;
    let (admin, anonymous) = (&controller.admin, controller.anonymous());
    let get = async |api: &Api, from| ask(api, Method::GET, "/v1/cameras", None, from).await;
    let near = bound(&controller, "127.0.0.0/8").await;
    let far = bound(&controller, "203.0.113.0/24").await;
    get(&near, SPOOFED).await.expect(200);
    get(&far, SPOOFED).await.problem(ProblemCode::Forbidden);
    let refused = "action=camera_list&result=refused";
    assert_eq!(address_of(admin, refused).await, "127.0.0.1");
    let user = json!({"name": "Ann", "email": "ann@example.com", "password": PASSWORD});
    ask(admin, Method::POST, "/v1/users", Some(user), SPOOFED)
        .await
        .expect(201);
    assert_eq!(address_of(admin, "action=user_create").await, "127.0.0.1");
    // Another name in each request is the same guesser.
    let wrong = anonymous.with_key(Some("hwak_0_0"));
    for from in ["203.0.113.1", "203.0.113.2"] {
        get(&wrong, from)
            .await
            .problem(ProblemCode::Unauthenticated);
    }
    let third = get(&wrong, "203.0.113.3").await;
    third.problem(ProblemCode::TooManyRequests);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn whom_a_trusted_proxy_names_is_who_asks(pool: PgPool) {
    let controller = behind(&pool, "127.0.0.0/8").await;
    let (admin, anonymous) = (&controller.admin, controller.anonymous());
    let get = async |api: &Api, from| ask(api, Method::GET, "/v1/cameras", None, from).await;
    let near = bound(&controller, "127.0.0.0/8").await;
    let inside = bound(&controller, "10.0.0.0/8").await;
    let far = bound(&controller, "203.0.113.0/24").await;
    get(&far, SPOOFED).await.expect(200);
    get(&near, SPOOFED).await.problem(ProblemCode::Forbidden);
    get(&inside, SPOOFED).await.problem(ProblemCode::Forbidden);
    let refused = "action=camera_list&result=refused";
    assert_eq!(address_of(admin, refused).await, CLIENT);
    let user = json!({"name": "Ann", "email": "ann@example.com", "password": PASSWORD});
    ask(admin, Method::POST, "/v1/users", Some(user), SPOOFED)
        .await
        .expect(201);
    assert_eq!(address_of(admin, "action=user_create").await, CLIENT);
    let wrong = anonymous.with_key(Some("hwak_0_0"));
    for from in [CLIENT, SPOOFED] {
        get(&wrong, from)
            .await
            .problem(ProblemCode::Unauthenticated);
    }
    get(&wrong, CLIENT)
        .await
        .problem(ProblemCode::TooManyRequests);
    let other = get(&wrong, "203.0.113.8").await;
    other.problem(ProblemCode::Unauthenticated);
    controller.stop().await;
}
