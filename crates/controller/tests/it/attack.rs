//! What strangers try, whatever the operation. Tokens and passwords: `auth_attack`; who may do
//! what: `openapi`.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use headworks_bootstrap::TrustedProxies;
use headworks_controller::RateLimitConfig;
use headworks_types::ProblemCode;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    harness::{
        ALL_ON_PROJECT, Api, Controller, camera, config, on_camera, on_project, published, text,
    },
    openapi::{Operation, World, document, operations},
};

const VIEW: &[&str] = &["camera.view_live"];

impl World {
    /// The same requests about things that never were.
    fn of_ghosts(&self) -> Self {
        let ghost = |id: &String| match id.split_once('_') {
            Some((prefix, number)) if number.len() == 32 => {
                format!("{prefix}_{}", uuid::Uuid::now_v7().simple())
            }
            // A signing key.
            _ => "AAAAAAAAAAAAAAAA".to_owned(),
        };
        let ids = self.ids.iter().map(|(name, id)| match *name {
            // A stranger's own project is no secret, and these are none of anybody's.
            "provider" | "file" => (*name, id.clone()),
            _ => (*name, ghost(id)),
        });
        let ids: BTreeMap<_, _> = ids.collect();
        let replaced = |body: &Value| {
            let mut text = body.to_string();
            for (name, id) in &self.ids {
                text = text.replace(id.as_str(), &ids[name]);
            }
            serde_json::from_str(&text).expect("stays JSON")
        };
        let bodies = self.bodies.iter();
        let bodies = bodies.map(|(id, body)| (*id, replaced(body))).collect();
        Self {
            ids,
            bodies,
            edge: self.edge.clone(),
        }
    }

    /// The answer to a request, without what differs from request to request by right.
    async fn seen(&self, api: &Api, operation: &Operation) -> (u16, String) {
        let answer = self.request(api, operation).await;
        let mut seen = answer.text;
        for (name, id) in &self.ids {
            seen = seen.replace(id.as_str(), name);
        }
        if let Ok(Value::Object(mut problem)) = serde_json::from_str(&seen) {
            problem.remove("request_id");
            seen = Value::Object(problem).to_string();
        }
        (answer.status.as_u16(), seen)
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_not_ours_looks_like_what_is_not_there(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let world = World::make(&controller).await;
    let ghosts = world.of_ghosts();
    let (_, stranger) = controller.project("theirs").await;
    let mine = published("mine");
    let mine = controller.admin.post("/v1/cameras", mine).await.expect(201);
    let neighbour = controller
        .key(&[(on_camera(&text(&mine["id"])), &["camera.manage"])])
        .await;
    let mut compared = 0;
    for operation in operations(&document()) {
        let about = |id: &String| {
            let body = world.bodies.get(operation.id.as_str());
            operation.path.contains('{') || body.is_some_and(|body| body.to_string().contains(id))
        };
        let is_about_us = world.ids.values().any(about) || operation.id == "access_explain";
        if !is_about_us || operation.id == "camera_bulk_create" {
            continue;
        }
        for (who, api) in [("a stranger", &stranger), ("a neighbour", &neighbour)] {
            let ours = world.seen(api, &operation).await;
            let ghost = ghosts.seen(api, &operation).await;
            assert_eq!(ours, ghost, "{}, {who}", operation.id);
            compared += 1;
        }
    }
    assert!(compared > 80, "{compared} answers were compared");
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn no_body_sets_what_its_operation_does_not_name(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let mut world = World::make(&controller).await;
    let mut asked = 0;
    for extra in ["id", "created_at", "is_admin", "__proto__"] {
        for body in world.bodies.values_mut() {
            *body = json!({});
        }
        for operation in operations(&document()) {
            let Some(body) = world.bodies.get_mut(operation.id.as_str()) else {
                continue;
            };
            *body = json!({extra: "x"});
            if operation.id.starts_with("auth_") {
                // For people who have signed in; `auth_attack` has them.
                continue;
            }
            let refused = world.request(&controller.admin, &operation).await;
            let problem = refused.problem(ProblemCode::Malformed);
            assert!(!problem.errors.is_empty(), "{}", operation.id);
            asked += 1;
        }
    }
    assert!(asked > 150, "{asked} bodies were sent");
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_idempotency_key_of_somebody_else_opens_nothing(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let body = json!({"name": "ci"});
    let post = async |api: &Api| {
        let headers = [("idempotency-key", "seen-in-a-log")];
        api.send(Method::POST, "/v1/api_keys", Some(body.clone()), &headers)
            .await
    };
    let first = post(&controller.admin).await.expect(201);
    // In the same project, without the right and with it.
    let powerless = controller.key(&[]).await;
    let refused = post(&powerless).await;
    refused.problem(ProblemCode::Forbidden);
    assert!(!refused.text.contains("hwak_"), "{}", refused.text);
    let project = controller.default_project().await;
    let equal = controller
        .key(&[(on_project(&project), ALL_ON_PROJECT)])
        .await;
    let theirs = post(&equal).await.expect(201);
    assert_ne!(theirs["secret"], first["secret"]);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn texts_are_neither_sql_nor_headers(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let sql = "x'; DROP TABLE camera; --";
    let mut body = camera(sql);
    body["external_id"] = json!("' OR '1'='1");
    let made = api.post("/v1/cameras", body).await.expect(201);
    assert_eq!(made["name"], sql);
    let count = async |query: &str| {
        let page = api.get(&format!("/v1/cameras?{query}")).await.expect(200);
        page["items"].as_array().map(Vec::len)
    };
    assert_eq!(
        count("external_id=%27%20OR%20%271%27%3D%271").await,
        Some(1)
    );
    assert_eq!(count("external_id=%27%20OR%201%3D1%20--").await, Some(0));
    assert_eq!(count("external_id=%25").await, Some(0), "no pattern");
    let forged = URL_SAFE_NO_PAD.encode("cam_' OR 1=1 --");
    let refused = api.get(&format!("/v1/cameras?page_token={forged}")).await;
    refused.problem(ProblemCode::Malformed);
    for list in ["audit?actor=", "audit?action=", "audit?object="] {
        let page = api
            .get(&format!("/v1/{list}%27%20OR%20%271%27%3D%271"))
            .await;
        assert_eq!(page.expect(200)["items"], json!([]), "{list}");
    }

    let line = "a\r\nset-cookie: sid=1";
    for (path, field) in [
        ("/v1/cameras", "name"),
        ("/v1/cameras", "external_id"),
        ("/v1/users", "name"),
        ("/v1/api_keys", "name"),
        ("/v1/user_groups", "name"),
        ("/v1/camera_groups", "name"),
    ] {
        let mut body = match path {
            "/v1/cameras" => camera("gate"),
            _ => json!({"name": "gate"}),
        };
        body[field] = json!(line);
        let answer = api.post(path, body).await;
        assert_eq!(answer.pointers(ProblemCode::Invalid), [format!("/{field}")]);
    }
    for path in ["/v1/cameras/", "/v1/x", "/v1/signing_keys/"] {
        let answer = api.get(&format!("{path}%0d%0aset-cookie:%20sid=1")).await;
        answer.problem(ProblemCode::NotFound);
        assert!(!answer.headers.contains_key("set-cookie"));
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn bodies_without_bottom_or_end_are_refused(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let json = [("content-type", "application/json")];
    let post = async |api: &Api, path: &str, body: String| {
        api.send_raw(Method::POST, path, body, &json).await
    };
    let depth = 10_000;
    let deep = |open: &str, close: &str| {
        let (open, close) = (open.repeat(depth), close.repeat(depth));
        format!("{{\"name\": \"a\", \"labels\": {open}1{close}, \"source\": {open}1{close}}}")
    };
    for body in [deep("[", "]"), deep("{\"a\":", "}")] {
        let refused = post(&controller.admin, "/v1/cameras", body.clone()).await;
        refused.problem(ProblemCode::Malformed);
        // Whoever shows no credential is not read at all.
        let refused = post(&controller.anonymous(), "/v1/cameras", body.clone()).await;
        refused.problem(ProblemCode::Unauthenticated);
        // Signing in reads what anybody sends.
        let refused = post(&controller.anonymous(), "/v1/auth:sign_in", body).await;
        refused.problem(ProblemCode::Malformed);
    }
    let endless = format!("{{\"name\": \"{}\"}}", "x".repeat(1 << 20));
    for path in ["/v1/cameras", "/v1/users", "/v1/grants"] {
        let refused = post(&controller.admin, path, endless.clone()).await;
        refused.problem(ProblemCode::TooLarge);
    }
    let refused = post(&controller.anonymous(), "/v1/auth:sign_in", endless).await;
    refused.problem(ProblemCode::TooLarge);
    controller.stop().await;
}

/// Lists cameras, as somebody who says to be elsewhere.
async fn cameras_from(api: &Api, forwarded: &str) -> Option<usize> {
    let headers = [
        ("x-forwarded-for", forwarded),
        ("forwarded", "for=10.9.0.1"),
    ];
    let page = api.send(Method::GET, "/v1/cameras", None, &headers).await;
    page.expect(200)["items"].as_array().map(Vec::len)
}

#[sqlx::test(migrations = "../../migrations")]
async fn nobody_is_elsewhere_by_saying_so(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let gate = text(
        &admin
            .post("/v1/cameras", published("gate"))
            .await
            .expect(201)["id"],
    );
    let yard = text(
        &admin
            .post("/v1/cameras", published("yard"))
            .await
            .expect(201)["id"],
    );
    let key = controller.key(&[(on_camera(&yard), VIEW)]).await;
    let grant = json!({
        "principal": {"type": "api_key", "id": controller.key_id(&key).await},
        "object": on_camera(&gate),
        "actions": VIEW,
        "conditions": {"networks": ["10.9.0.0/16"]},
    });
    admin.post("/v1/grants", grant).await.expect(201);
    for forwarded in ["10.9.0.1", "10.9.0.1, 10.9.0.1", "127.0.0.1, 10.9.0.1"] {
        assert_eq!(cameras_from(&key, forwarded).await, Some(1));
        let headers = [("x-forwarded-for", forwarded), ("x-real-ip", "10.9.0.1")];
        let path = format!("/v1/cameras/{gate}");
        let answer = key.send(Method::GET, &path, None, &headers).await;
        answer.problem(ProblemCode::NotFound);
    }

    // Behind a proxy the right-most stranger counts, not what was there before it.
    let mut behind = config(&pool);
    behind.trusted_proxies =
        serde_json::from_value::<TrustedProxies>(json!("127.0.0.0/8")).expect("parses");
    behind.rate_limit = RateLimitConfig {
        failures_per_minute: 1,
        failures_burst: 3,
        ..RateLimitConfig::default()
    };
    let proxied = Controller::start_with(&pool, behind, admin.secret()).await;
    let here = proxied.admin.with_key(Some(key.secret()));
    assert_eq!(cameras_from(&here, "203.0.113.9, 10.9.0.1").await, Some(2));
    assert_eq!(cameras_from(&here, "10.9.0.1, 203.0.113.9").await, Some(1));
    // A guesser is one, whatever it writes in front.
    let wrong = proxied.admin.with_key(Some("hwak_0_0"));
    let guess = async |forwarded: &str| {
        let headers = [("x-forwarded-for", forwarded)];
        let answer = wrong.send(Method::GET, "/v1/cameras", None, &headers).await;
        answer.status.as_u16()
    };
    let mut statuses = Vec::new();
    for n in 0..4 {
        statuses.push(guess(&format!("198.51.100.{n}, 203.0.113.77")).await);
    }
    assert_eq!(statuses, [401, 401, 401, 429]);
    proxied.stop().await;
    controller.stop().await;
}
