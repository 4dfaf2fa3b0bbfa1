//! People sign in with an OpenID provider: a real one, and ones that lie.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Json, Router, extract::State, routing};
use headworks_bootstrap::Tasks;
use headworks_controller::{Config, OidcConfig};
use headworks_testkit::OidcProvider;
use headworks_types::{Auth, OidcBegun, ProblemCode, SignedIn};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::net::TcpListener;
use url::Url;

use crate::{
    auth_attack::Key,
    harness::{Answer, Api, Controller, config, text},
};

const BACK: &str = "https://app.example.com/signed-in?from=corp";

/// A controller that knows a provider as `corp`.
async fn start(pool: &PgPool, provider: impl Fn(&Value) -> Value) -> Controller {
    start_with(pool, |corp| vec![("corp", provider(corp))]).await
}

/// One that knows these providers.
async fn start_with(
    pool: &PgPool,
    providers: impl Fn(&Value) -> Vec<(&'static str, Value)>,
) -> Controller {
    // Its project exists when it has run once.
    let first = Controller::start(pool).await;
    let (key, project) = (
        first.admin.secret().to_owned(),
        first.default_project().await,
    );
    first.stop().await;
    let corp = json!({
        "client_id": OidcProvider::CLIENT, "client_secret": OidcProvider::SECRET,
        "project_id": project, "redirect_uris": [BACK],
        "groups_claim": "groups", "create_users": true,
    });
    let providers = providers(&corp).into_iter().map(|(name, provider)| {
        let provider: OidcConfig = serde_json::from_value(provider).expect("is a provider");
        (name.to_owned(), provider)
    });
    let config = Config {
        oidc: providers.collect(),
        ..config(pool)
    };
    Controller::start_with(pool, config, &key).await
}

fn with(config: &Value, change: Value) -> Value {
    let mut config = config.clone();
    let Value::Object(change) = change else {
        panic!("is an object")
    };
    for (name, value) in change {
        config[name] = value;
    }
    config
}

async fn begin(api: &Api) -> OidcBegun {
    let answer = api
        .post("/v1/auth/oidc/corp:begin", json!({"redirect_uri": BACK}))
        .await;
    answer.parse(200)
}

async fn complete(api: &Api, state: &str, code: &str) -> Answer {
    let ask = json!({"state": state, "code": code});
    api.post("/v1/auth/oidc/corp:complete", ask).await
}

/// What a browser comes back with.
fn returned(url: &str) -> BTreeMap<String, String> {
    assert!(url.starts_with(BACK), "{url}");
    let url = Url::parse(url).expect("is a URL");
    url.query_pairs().into_owned().collect()
}

/// Sends a browser with somebody before it to the provider and back.
async fn come_back(provider: &OidcProvider, api: &Api, who: &str) -> (String, String) {
    let begun = begin(api).await;
    let url = provider
        .visit(begun.authorization_url.as_str(), who)
        .expect("comes back");
    let returned = returned(&url);
    assert_eq!(
        returned["state"],
        begun.state.expose(),
        "as the client has to check"
    );
    (returned["state"].clone(), returned["code"].clone())
}

async fn sign_in(provider: &OidcProvider, api: &Api, who: &str) -> SignedIn {
    let (state, code) = come_back(provider, api, who).await;
    complete(api, &state, &code).await.parse(200)
}

async fn me(api: &Api, signed_in: &SignedIn) -> Auth {
    let api = api.with_key(Some(signed_in.access_token.expose()));
    api.get("/v1/auth").await.parse(200)
}

async fn groups_of(controller: &Controller, user: &str) -> Vec<String> {
    let groups = controller
        .admin
        .all(&format!("/v1/users/{user}/user_groups"), 10)
        .await;
    groups.iter().map(|group| text(&group["name"])).collect()
}

#[sqlx::test(migrations = "../../migrations")]
async fn people_come_from_a_real_provider(pool: PgPool) {
    let provider = OidcProvider::start(BACK).expect("starts");
    let issuer = provider.issuer();
    let controller = start(&pool, |corp| with(corp, json!({"issuer": issuer}))).await;
    let api = controller.anonymous();
    let list = api.get("/v1/auth/oidc").await.expect(200);
    assert_eq!(list["items"], json!([{"name": "corp"}]));
    // Somebody here has the email already: that proves nothing.
    let other = controller.person("ann@example.com", &[]).await;
    for name in ["night", "day", "hand"] {
        let group = json!({"name": name, "external_id": name});
        controller
            .admin
            .post("/v1/user_groups", group)
            .await
            .expect(201);
    }
    let claims = json!({
        "name": "Ann", "email": "ann@example.com", "email_verified": true,
        "groups": ["night", "unknown"],
    });
    provider.describe("ann", &claims).expect("says so");
    let first = sign_in(&provider, &api, "ann").await;
    let ann = me(&api, &first).await;
    assert_eq!((ann.name.as_str(), &ann.email), ("Ann", &None));
    let id = text(&serde_json::to_value(ann.principal).expect("serializes")["id"]);
    assert_ne!(id, other.id);
    assert_eq!(groups_of(&controller, &id).await, ["night"]);

    // Groups follow the provider, but for those that somebody here has said.
    let hand = controller
        .admin
        .all("/v1/user_groups?external_id=hand", 1)
        .await;
    let members = format!("/v1/user_groups/{}/members", text(&hand[0]["id"]));
    controller
        .admin
        .post(&members, json!({"user_id": id}))
        .await
        .expect(201);
    let claims = with(&claims, json!({"groups": ["day"], "name": "Anna"}));
    provider.describe("ann", &claims).expect("says so");
    let second = sign_in(&provider, &api, "ann").await;
    assert_eq!(
        me(&api, &second).await.principal,
        ann.principal,
        "she is the same"
    );
    assert_eq!(groups_of(&controller, &id).await, ["day", "hand"]);
    provider.describe("ann", &json!({})).expect("says so");
    sign_in(&provider, &api, "ann").await;
    assert_eq!(groups_of(&controller, &id).await, ["hand"]);

    // Somebody new whose email nobody has.
    let claims = json!({"email": "Bob@example.com", "email_verified": true});
    provider.describe("bob", &claims).expect("says so");
    let bob = me(&api, &sign_in(&provider, &api, "bob").await).await;
    assert_eq!(bob.email.as_deref(), Some("bob@example.com"));
    // Refreshing works, for a working day.
    let ask = json!({"refresh_token": second.refresh_token});
    let third: SignedIn = api.post("/v1/auth:refresh", ask).await.parse(200);
    assert!(third.refresh_until - third.expires_at <= chrono::TimeDelta::hours(12));

    controller
        .admin
        .patch(&format!("/v1/users/{id}"), json!({"enabled": false}))
        .await
        .expect(200);
    let (state, code) = come_back(&provider, &api, "ann").await;
    let refused = complete(&api, &state, &code).await;
    refused.problem(ProblemCode::Unauthenticated);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn who_loses_a_race_for_an_email_signs_in_without_it(pool: PgPool) {
    let provider = OidcProvider::start(BACK).expect("starts");
    let issuer = provider.issuer();
    let controller = start(&pool, |corp| with(corp, json!({"issuer": issuer}))).await;
    let api = controller.anonymous();
    let claims = json!({"name": "Ann", "email": "ann@example.com", "email_verified": true});
    provider.describe("ann", &claims).expect("says so");
    let (state, code) = come_back(&provider, &api, "ann").await;
    let other = json!({"name": "Other"});
    let other = controller.admin.post("/v1/users", other).await.expect(201);
    let id: headworks_types::UserId = text(&other["id"]).parse().expect("is an id");
    let mut held = pool.begin().await.expect("begins");
    let take = sqlx::query!(
        r#"UPDATE "user" SET email = 'ann@example.com' WHERE id = $1"#,
        id.uuid()
    );
    take.execute(&mut *held).await.expect("takes it");
    let taken = async {
        controller.waiting(1).await;
        held.commit().await.expect("has it");
    };
    let (answer, ()) = tokio::join!(complete(&api, &state, &code), taken);
    let ann = me(&api, &answer.parse(200)).await;
    assert_eq!((ann.name.as_str(), ann.email), ("Ann", None));
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn codes_and_states_work_once_and_together(pool: PgPool) {
    let provider = OidcProvider::start(BACK).expect("starts");
    let issuer = provider.issuer();
    let controller = start(&pool, |corp| with(corp, json!({"issuer": issuer}))).await;
    let api = controller.anonymous();
    let refused = async |state: &str, code: &str| {
        complete(&api, state, code)
            .await
            .problem(ProblemCode::Unauthenticated);
    };
    let (state, code) = come_back(&provider, &api, "ann").await;
    complete(&api, &state, &code).await.expect(200);
    refused(&state, &code).await;
    // A used code with a fresh state, and the other way round.
    let (fresh_state, fresh_code) = come_back(&provider, &api, "ann").await;
    refused(&fresh_state, &code).await;
    refused(&state, &fresh_code).await;
    // A code that was made for another sign-in: the provider sees that by PKCE.
    let (of_ann, _) = come_back(&provider, &api, "ann").await;
    let (_, of_eve) = come_back(&provider, &api, "eve").await;
    refused(&of_ann, &of_eve).await;
    refused("nonsense", &fresh_code).await;
    refused("x", "x").await;

    let bad = json!({"redirect_uri": "https://evil.example.com/"});
    let answer = api.post("/v1/auth/oidc/corp:begin", bad).await;
    assert_eq!(answer.pointers(ProblemCode::Invalid), ["/redirect_uri"]);
    let body = json!({"redirect_uri": BACK});
    let answer = api.post("/v1/auth/oidc/other:begin", body).await;
    answer.problem(ProblemCode::NotFound);
    // Failures are counted by address, and what was good is not.
    let failures = sqlx::query_scalar!("SELECT failures FROM sign_in_throttle");
    assert_eq!(failures.fetch_all(&pool).await.expect("counts"), [6]);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn only_known_people_come_where_nobody_is_created(pool: PgPool) {
    let provider = OidcProvider::start(BACK).expect("starts");
    let change = json!({"issuer": provider.issuer(), "create_users": false});
    let controller = start(&pool, |corp| with(corp, change.clone())).await;
    let api = controller.anonymous();
    let (state, code) = come_back(&provider, &api, "ann").await;
    complete(&api, &state, &code)
        .await
        .problem(ProblemCode::Forbidden);
    let admin = &controller.admin;
    assert!(admin.all("/v1/users", 10).await.is_empty());

    let ann = text(
        &admin
            .post("/v1/users", json!({"name": "Ann"}))
            .await
            .expect(201)["id"],
    );
    let link = format!("/v1/users/{ann}:link");
    let identity = json!({"provider": "corp", "subject": "ann"});
    let nowhere = json!({"provider": "nowhere", "subject": "ann"});
    let answer = admin.post(&link, nowhere).await;
    assert_eq!(answer.pointers(ProblemCode::Invalid), ["/provider"]);
    admin.post(&link, identity.clone()).await.expect(200);
    admin
        .post(&link, identity.clone())
        .await
        .problem(ProblemCode::Conflict);
    let signed_in = sign_in(&provider, &api, "ann").await;
    assert_eq!(me(&api, &signed_in).await.name, "Ann");
    // Nobody lets somebody else become who may do more than they.
    let view = json!({"principal": {"type": "user", "id": ann}, "object": {"type": "cluster"},
                      "actions": ["node.manage"]});
    admin.post("/v1/grants", view).await.expect(201);
    let default = crate::harness::on_project(&controller.default_project().await);
    let manager = controller.key(&[(default, &["user.manage"])]).await;
    let eve = json!({"provider": "corp", "subject": "eve"});
    manager
        .post(&link, eve)
        .await
        .problem(ProblemCode::Forbidden);

    let unlink = format!("/v1/users/{ann}:unlink");
    admin.post(&unlink, identity.clone()).await.expect(200);
    admin
        .post(&unlink, identity)
        .await
        .problem(ProblemCode::Conflict);
    let out = api.with_key(Some(signed_in.access_token.expose()));
    out.get("/v1/auth")
        .await
        .problem(ProblemCode::Unauthenticated);
    for (action, actor) in [
        ("user_link", controller.key_id(admin).await),
        ("user_unlink", controller.key_id(admin).await),
        ("auth_oidc_complete", ann.clone()),
    ] {
        let query = format!("/v1/audit?result=ok&action={action}");
        let records = admin.all(&query, 10).await;
        let [record] = &records[..] else {
            panic!("{action}: {records:?}");
        };
        assert_eq!(
            (&record["actor"], &record["object"]),
            (&json!(actor), &json!(ann))
        );
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_real_provider_knows_us_by_our_secret(pool: PgPool) {
    let provider = OidcProvider::start(BACK).expect("starts");
    let change = json!({"issuer": provider.issuer(), "client_secret": "another"});
    let controller = start(&pool, |corp| with(corp, change.clone())).await;
    let api = controller.anonymous();
    let (state, code) = come_back(&provider, &api, "ann").await;
    let answer = complete(&api, &state, &code).await;
    answer.problem(ProblemCode::Unavailable);
    assert!(!answer.text.contains("another"), "{}", answer.text);
    controller.stop().await;
}

/// A provider that says what the test wants: `nonce` is filled in where the claims have `true`.
struct Liar {
    issuer: String,
    tasks: Tasks,
    says: tokio::sync::watch::Sender<String>,
    key: Key,
}

impl Liar {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let issuer = format!("http://{}", listener.local_addr().expect("has one"));
        let key = Key::new("a");
        let description = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/keys"),
        });
        let keys = json!({"keys": [key.shown()]});
        let (says, heard) = tokio::sync::watch::channel(String::new());
        let token = async |State(heard): State<tokio::sync::watch::Receiver<String>>| {
            let token = heard.borrow().clone();
            Json(json!({"access_token": "x", "token_type": "Bearer", "id_token": token}))
        };
        let router = Router::new()
            .route(
                "/.well-known/openid-configuration",
                routing::get(async || Json(description)),
            )
            .route("/keys", routing::get(async || Json(keys)))
            .route("/token", routing::post(token))
            .with_state(heard);
        let tasks = Tasks::new();
        let stop = tasks.token();
        tasks.spawn("liar", async move {
            let served = axum::serve(listener, router);
            let _ = served.with_graceful_shutdown(stop.cancelled_owned()).await;
        });
        Self {
            issuer,
            tasks,
            says,
            key,
        }
    }

    /// Begins, and completes with an ID token of these claims.
    async fn sign_in(&self, api: &Api, typ: &str, change: Value) -> Answer {
        let begun = begin(api).await;
        let query: BTreeMap<_, _> = begun.authorization_url.query_pairs().into_owned().collect();
        assert_eq!(query["code_challenge_method"], "S256");
        let now = headworks_bootstrap::Clock::system().now().timestamp();
        let claims = json!({
            "iss": self.issuer, "sub": "ann", "aud": OidcProvider::CLIENT, "iat": now,
            "exp": now + 300, "nonce": query["nonce"],
        });
        let token = self.key.sign(typ, &with(&claims, change));
        self.says.send(token).expect("is heard");
        complete(api, begun.state.expose(), "any").await
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_provider_that_lies_signs_nobody_in(pool: PgPool) {
    let liar = Liar::start().await;
    let issuer = liar.issuer.clone();
    let controller = start(&pool, |corp| with(corp, json!({"issuer": issuer}))).await;
    let api = controller.anonymous();
    let now = headworks_bootstrap::Clock::system().now().timestamp();
    for change in [
        json!({"nonce": "of another sign-in"}),
        json!({"nonce": null}),
        json!({"aud": "somebody-else"}),
        json!({"aud": [OidcProvider::CLIENT, "somebody-else"], "azp": "somebody-else"}),
        json!({"iss": "https://id.example.com"}),
        json!({"exp": now - 120}),
        json!({"iat": now + 3600}),
        json!({"sub": ""}),
    ] {
        let answer = liar.sign_in(&api, "JWT", change.clone()).await;
        assert_eq!(answer.status, 401, "{change}: {}", answer.text);
    }
    liar.says.send("a.b.c".to_owned()).expect("is heard");
    let begun = begin(&api).await;
    let answer = complete(&api, begun.state.expose(), "any").await;
    answer.problem(ProblemCode::Unauthenticated);
    assert!(controller.admin.all("/v1/users", 10).await.is_empty());
    // It was for the lies: the truth is taken.
    liar.sign_in(&api, "JWT", json!({})).await.expect(200);
    controller.stop().await;
    liar.tasks
        .shutdown(std::time::Duration::from_secs(10))
        .await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_state_works_for_ten_minutes(pool: PgPool) {
    let liar = Liar::start().await;
    let issuer = liar.issuer.clone();
    let controller = start(&pool, |corp| with(corp, json!({"issuer": issuer}))).await;
    let api = controller.anonymous();
    // It is remembered until then and a little longer.
    liar.sign_in(&api, "JWT", json!({})).await.expect(200);
    let left = sqlx::query_scalar!(
        r#"SELECT extract(epoch FROM expires_at - clock_timestamp())::float8 AS "left!"
           FROM oidc_state"#
    );
    let left = left.fetch_one(&pool).await.expect("is remembered");
    assert!((500.0..=600.0).contains(&left), "{left}");
    controller.stop().await;
    liar.tasks
        .shutdown(std::time::Duration::from_secs(10))
        .await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_provider_that_is_away_is_no_reason_to_wait(pool: PgPool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let issuer = format!("http://{}", listener.local_addr().expect("has one"));
    drop(listener);
    let controller = start(&pool, |corp| with(corp, json!({"issuer": issuer}))).await;
    let body = json!({"redirect_uri": BACK});
    for _ in 0..2 {
        let api = controller.anonymous();
        let answer = api.post("/v1/auth/oidc/corp:begin", body.clone()).await;
        answer.problem(ProblemCode::Unavailable);
        assert!(answer.headers.contains_key("retry-after"));
    }
    controller.stop().await;
}

/// How often somebody was asked.
type Asked = Arc<AtomicUsize>;

/// A provider whose every answer is this one; it counts what it is asked.
async fn answers(
    tasks: &Tasks,
    answer: impl Fn(&str) -> axum::response::Response + Clone + Send + Sync + 'static,
) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let issuer = format!("http://{}", listener.local_addr().expect("has one"));
    let asked = Asked::default();
    let (count, own) = (Arc::clone(&asked), issuer.clone());
    let router = Router::new().fallback(move || {
        count.fetch_add(1, Ordering::Relaxed);
        let answer = answer(&own);
        async move { answer }
    });
    tasks.spawn(
        "provider",
        async move { axum::serve(listener, router).await },
    );
    (issuer, asked)
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_provider_leads_nowhere_else(pool: PgPool) {
    use axum::response::{IntoResponse as _, Redirect};

    let tasks = Tasks::new();
    let (elsewhere, asked) = answers(&tasks, |_| "a secret".into_response()).await;
    let redirect = answers(&tasks, move |_| {
        Redirect::temporary(&elsewhere).into_response()
    })
    .await;
    let metadata = answers(&tasks, |issuer| {
        let description = json!({
            "issuer": issuer, "authorization_endpoint": format!("{issuer}/in"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": "https://169.254.169.254/latest/meta-data",
        });
        Json(description).into_response()
    });
    let metadata = metadata.await;
    let endless = answers(&tasks, |_| vec![b' '; 2 << 20].into_response()).await;
    let all = [
        ("redirect", redirect),
        ("metadata", metadata),
        ("endless", endless),
    ];
    let controller = start_with(&pool, |corp| {
        let provider = |(name, (issuer, _)): &(&'static str, (String, Asked))| {
            (*name, with(corp, json!({"issuer": issuer})))
        };
        all.iter().map(provider).collect()
    });
    let controller = controller.await;
    for (name, (_, times)) in &all {
        let ask = json!({"redirect_uri": BACK});
        let path = format!("/v1/auth/oidc/{name}:begin");
        let refused = controller.anonymous().post(&path, ask).await;
        refused.problem(ProblemCode::Unavailable);
        assert_eq!(times.load(Ordering::Relaxed), 1, "{name}");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    controller.stop().await;
    tasks.shutdown(std::time::Duration::from_secs(10)).await;
}
