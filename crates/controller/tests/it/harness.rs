//! A real controller on a test's own database, and a client that shows everything of an answer.

use std::{net::IpAddr, time::Duration};

use headworks_bootstrap::{Tasks, TrustedProxies, tls::Files};
use headworks_controller::{Config, Service};
use headworks_types::{Problem, ProblemCode, Secret, SignedIn};
use reqwest::{
    Method, StatusCode,
    header::{HeaderMap, HeaderValue},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sqlx::{ConnectOptions, PgPool};

/// 32 bytes in base64.
pub(crate) const MASTER_KEY: &str = "aGVhZHdvcmtzLXRlc3QtbWFzdGVyLWtleS0wMTIzNDU=";

/// A running controller.
pub(crate) struct Controller {
    pub(crate) service: Service,
    pub(crate) tasks: Tasks,
    pub(crate) pool: PgPool,
    /// Signed in with the first admin key.
    pub(crate) admin: Api,
}

/// A user who has signed in.
pub(crate) struct Person {
    pub(crate) id: String,
    /// With the access token.
    pub(crate) api: Api,
    pub(crate) refresh: String,
}

/// The password of every [`Person`].
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A signed-in client.
#[derive(Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    base: String,
    key: Option<String>,
}

/// An answer with everything in it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

/// What a controller on this database is told.
pub(crate) fn config(pool: &PgPool) -> Config {
    Config {
        listen: "127.0.0.1:0".to_owned(),
        edge_listen: Some("127.0.0.1:0".to_owned()),
        tls: Files::default(),
        trusted_proxies: TrustedProxies::default(),
        database_url: Some(Secret::new(pool.connect_options().to_url_lossy().as_str())),
        database_connections: 5,
        database_pooled: false,
        database_wait: Duration::from_secs(10),
        master_key: Some(Secret::new(MASTER_KEY)),
        signing_key_rotation: Duration::from_secs(30 * 86_400),
        second_master_key: None,
        public_url: None,
        request_timeout: Duration::from_secs(10),
        lease_renew: Duration::from_secs(2),
        lease_suspect: Duration::from_secs(6),
        lease_dead: Duration::from_secs(10),
        audit_retention: Duration::from_secs(3600),
        connections_per_address: 2000,
        rate_limit: headworks_controller::RateLimitConfig::default(),
        zones: headworks_controller::Zones::default(),
        oidc: std::collections::BTreeMap::new(),
    }
}

impl Controller {
    /// Starts one on an empty database.
    pub(crate) async fn start(pool: &PgPool) -> Self {
        let tasks = Tasks::new();
        let service = Service::start(config(pool), tasks.clone())
            .await
            .expect("starts");
        let key = service.admin_key().expect("the database was empty");
        let admin = Api::new(&service, Some(key.expose()));
        Self {
            service,
            tasks,
            pool: pool.clone(),
            admin,
        }
    }

    /// Starts another one on the same database, whose first admin key is `key`.
    pub(crate) async fn start_with(pool: &PgPool, config: Config, key: &str) -> Self {
        let tasks = Tasks::new();
        let service = Service::start(config, tasks.clone()).await.expect("starts");
        let admin = Api::new(&service, Some(key));
        Self {
            service,
            tasks,
            pool: pool.clone(),
            admin,
        }
    }

    /// Stops it, so that its database can be dropped.
    pub(crate) async fn stop(self) {
        self.tasks.shutdown(Duration::from_secs(10)).await;
    }

    /// A client without a key.
    pub(crate) fn anonymous(&self) -> Api {
        Api::new(&self.service, None)
    }

    /// A client of the edges' listener, without a certificate.
    pub(crate) fn edges(&self, key_of: Option<&Api>) -> Api {
        let http = reqwest::Client::builder().tls_danger_accept_invalid_certs(true);
        Api {
            http: http.build().expect("makes a client"),
            base: format!("https://{}", self.service.edge_addr()),
            key: key_of.and_then(|api| api.key.clone()),
        }
    }

    /// Returns when so many transactions wait for others to end.
    pub(crate) async fn waiting(&self, transactions: i64) {
        let waited = async {
            loop {
                let waiting = sqlx::query_scalar!(
                    r#"SELECT count(*) AS "count!" FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'"#
                );
                if waiting.fetch_one(&self.pool).await.expect("looks") >= transactions {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waited)
            .await
            .expect("somebody waits");
    }

    /// The id of the key that the client signs in with.
    pub(crate) async fn key_id(&self, api: &Api) -> String {
        let lookup = api.secret().split('_').nth(1).expect("has a lookup");
        let keys = self.admin.all("/v1/api_keys", 1000).await;
        let key = keys.iter().find(|key| key["lookup"] == lookup);
        text(&key.expect("is there")["id"])
    }

    /// A client with a new key of the default project that has these grants: `(object, actions)`.
    pub(crate) async fn key(&self, grants: &[(Value, &[&str])]) -> Api {
        self.key_in(None, grants).await
    }

    /// As [`Controller::key`], in a project.
    pub(crate) async fn key_in(&self, project: Option<&str>, grants: &[(Value, &[&str])]) -> Api {
        let body = json!({"name": "test", "project_id": project});
        let created = self.admin.post("/v1/api_keys", body).await.expect(201);
        let id = created["api_key"]["id"].as_str().expect("has an id");
        for (object, actions) in grants {
            let body = json!({
                "principal": {"type": "api_key", "id": id},
                "object": object,
                "actions": actions,
            });
            self.admin.post("/v1/grants", body).await.expect(201);
        }
        self.admin.with_key(created["secret"].as_str())
    }

    /// A new user of the default project, signed in, with these grants: `(object, actions)`.
    pub(crate) async fn person(&self, email: &str, grants: &[(Value, &[&str])]) -> Person {
        let user = json!({"name": email, "email": email, "password": "chosen by others"});
        let id = text(&self.admin.post("/v1/users", user).await.expect(201)["id"]);
        for (object, actions) in grants {
            let principal = json!({"type": "user", "id": id});
            let grant = json!({"principal": principal, "object": object, "actions": actions});
            self.admin.post("/v1/grants", grant).await.expect(201);
        }
        let ask = json!({
            "email": email, "password": "chosen by others", "new_password": PASSWORD,
        });
        let answer = self.anonymous().post("/v1/auth:sign_in", ask).await;
        let signed_in: SignedIn = answer.parse(200);
        Person {
            id,
            api: self.admin.with_key(Some(signed_in.access_token.expose())),
            refresh: signed_in.refresh_token.expose().to_owned(),
        }
    }

    /// The id of the project that every database begins with.
    pub(crate) async fn default_project(&self) -> String {
        let page = self.admin.get("/v1/projects?limit=1").await.expect(200);
        text(&page["items"][0]["id"])
    }

    /// A new project with a key that may do everything in it.
    pub(crate) async fn project(&self, name: &str) -> (String, Api) {
        let project = self.admin.post("/v1/projects", json!({"name": name})).await;
        let id = text(&project.expect(201)["id"]);
        let grants = [(on_project(&id), ALL_ON_PROJECT)];
        let key = self.key_in(Some(&id), &grants).await;
        (id, key)
    }
}

/// Everything that can be granted on a project.
pub(crate) const ALL_ON_PROJECT: &[&str] = &[
    "camera.view_live",
    "camera.view_audio",
    "camera.view_recording",
    "camera.snapshot",
    "camera.ptz",
    "camera.publish",
    "camera.manage",
    "recording.export",
    "recording.delete",
    "user.manage",
    "project.manage",
    "audit.read",
];

/// A grant's object.
pub(crate) fn on_project(id: &str) -> Value {
    json!({"type": "project", "id": id})
}

/// A grant's object.
pub(crate) fn on_camera(id: &str) -> Value {
    json!({"type": "camera", "id": id})
}

/// A grant's object.
pub(crate) fn on_group(id: &str) -> Value {
    json!({"type": "camera_group", "id": id})
}

/// A grant's object.
pub(crate) fn on_cluster() -> Value {
    json!({"type": "cluster"})
}

/// A pulled camera to be.
pub(crate) fn camera(name: &str) -> Value {
    json!({"name": name, "source": {"type": "pull", "url": "rtsp://10.0.0.1/stream"}})
}

/// A camera that is published to us, to be created.
pub(crate) fn published(name: &str) -> Value {
    json!({"name": name, "source": {"type": "publish"}})
}

/// The text in a JSON value.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("is a text").to_owned()
}

impl Api {
    fn new(service: &Service, key: Option<&str>) -> Self {
        Self {
            http: reqwest::Client::new(),
            base: format!("http://{}", service.local_addr()),
            key: key.map(str::to_owned),
        }
    }

    /// The same client with another key.
    pub(crate) fn with_key(&self, key: Option<&str>) -> Self {
        Self {
            key: key.map(str::to_owned),
            ..self.clone()
        }
    }

    /// The same client at another address of this machine.
    pub(crate) fn at_address(&self, address: [u8; 4]) -> Self {
        let http = reqwest::Client::builder().local_address(IpAddr::from(address));
        Self {
            http: http.build().expect("makes a client"),
            ..self.clone()
        }
    }

    /// The key it signs in with.
    pub(crate) fn secret(&self) -> &str {
        self.key.as_deref().expect("has a key")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, &[]).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body), &[]).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, Some(body), &[]).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None, &[]).await
    }

    /// Any request with a JSON body.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let body = body.map(|json| json.to_string());
        let kind = [("content-type", "application/json")];
        let kind = if body.is_some() { &kind[..] } else { &[] };
        let headers = [kind, headers].concat();
        self.send_raw(method, path, body.unwrap_or_default(), &headers)
            .await
    }

    /// Any request at all.
    pub(crate) async fn send_raw(
        &self,
        method: Method,
        path: &str,
        body: impl Into<reqwest::Body>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .body(body);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        for (name, value) in headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("is a header value");
            request = request.header(*name, value);
        }
        let answer = request.send().await.expect("is answered");
        Answer {
            status: answer.status(),
            headers: answer.headers().clone(),
            text: answer.text().await.expect("has a body"),
        }
    }

    /// The events, as soon as they are as wanted: one may have to wait for the end of somebody
    /// else's transaction.
    pub(crate) async fn events(&self, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let wait = async {
            loop {
                let events = self.all("/v1/events", 1000).await;
                if wanted(&events) {
                    return events;
                }
                tokio::task::yield_now().await;
            }
        };
        let limit = Duration::from_secs(10);
        tokio::time::timeout(limit, wait)
            .await
            .expect("the events come")
    }

    /// All items of a list, page by page.
    pub(crate) async fn all(&self, path: &str, limit: u32) -> Vec<Value> {
        let mut items = Vec::new();
        let mut token = String::new();
        loop {
            let glue = if path.contains('?') { '&' } else { '?' };
            let path = format!("{path}{glue}limit={limit}{token}");
            let page = self.get(&path).await.expect(200);
            items.extend(page["items"].as_array().expect("has items").iter().cloned());
            match page["next_page_token"].as_str() {
                Some(next) => token = format!("&page_token={next}"),
                None => return items,
            }
        }
    }
}

impl Answer {
    /// The JSON body of an answer with this status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&self.text).expect("is JSON")
    }

    /// As [`Answer::expect`], as one of our types.
    #[track_caller]
    pub(crate) fn parse<T: DeserializeOwned>(&self, status: u16) -> T {
        serde_json::from_value(self.expect(status)).expect("has the type")
    }

    /// The problem of this code: checks everything that all problems have in common.
    #[track_caller]
    pub(crate) fn problem(&self, code: ProblemCode) -> Problem {
        assert_eq!(self.status, code.status(), "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem: Problem = serde_json::from_str(&self.text).expect("is a problem");
        assert_eq!(problem.code, code, "{}", self.text);
        assert_eq!(problem.status, code.status());
        assert!(problem.detail.is_some(), "{}", self.text);
        assert_eq!(
            problem.request_id.as_deref(),
            self.headers["x-request-id"].to_str().ok()
        );
        problem
    }

    /// The code of a problem, whichever it is.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        let problem: Value = serde_json::from_str(&self.text).expect("is JSON");
        text(&problem["code"])
    }

    /// The pointers of an invalid request.
    #[track_caller]
    pub(crate) fn pointers(&self, code: ProblemCode) -> Vec<String> {
        let errors = self.problem(code).errors;
        errors.into_iter().map(|field| field.pointer).collect()
    }

    /// The entity tag.
    #[track_caller]
    pub(crate) fn etag(&self) -> &str {
        self.headers["etag"].to_str().expect("is text")
    }
}
