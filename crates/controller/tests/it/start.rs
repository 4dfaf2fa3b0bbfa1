//! How a controller starts, what it says when it cannot, and how it lives through an outage of its
//! database.

use std::time::Duration;

use headworks_bootstrap::{Clock, Tasks};
use headworks_controller::{Config, Service};
use headworks_testkit::{Postgres, PostgresOptions};
use headworks_types::{ProblemCode, Secret};
use sqlx::PgPool;

use crate::harness::{Controller, config};

async fn refusal(config: Config) -> String {
    let tasks = Tasks::new();
    let refused = Service::start(config, tasks.clone()).await;
    tasks.shutdown(Duration::from_secs(5)).await;
    let error = refused.err().expect("is refused");
    format!("{error:#}")
}

#[sqlx::test(migrations = false)]
async fn replicas_that_start_at_once_set_the_database_up_once(pool: PgPool) {
    let tasks = Tasks::new();
    let start = || Service::start(config(&pool), tasks.clone());
    let (a, b, c) = tokio::join!(start(), start(), start());
    let services = [a, b, c].map(|service| service.expect("starts"));
    let keys = services
        .iter()
        .filter(|service| service.admin_key().is_some());
    assert_eq!(keys.count(), 1);
    let again = Service::start(config(&pool), tasks.clone())
        .await
        .expect("starts");
    assert!(again.admin_key().is_none());

    let counts = sqlx::query!(
        r#"SELECT (SELECT count(*) FROM project) AS "projects!",
                  (SELECT count(*) FROM api_key) AS "keys!",
                  (SELECT count(*) FROM signing_key) AS "signing_keys!""#
    )
    .fetch_one(&pool)
    .await
    .expect("counts");
    assert_eq!(
        (counts.projects, counts.keys, counts.signing_keys),
        (1, 1, 1)
    );
    let token = again.join_token().await.expect("makes one");
    assert!(token.expose().starts_with("hwjt_"));
    tasks.shutdown(Duration::from_secs(10)).await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn who_lost_the_admin_key_gets_another(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let key = controller.service.new_admin_key().await;
    let key = key.expect("makes one");
    let path = format!("/v1/projects/{}", controller.default_project().await);
    let second = controller.admin.with_key(Some(key.expose()));
    for (api, name) in [(&second, "theirs"), (&controller.admin, "ours")] {
        api.get(&path).await.expect(200);
        let new = serde_json::json!({"name": name});
        api.post("/v1/projects", new).await.expect(201);
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_address_in_use_costs_nobody_the_admin_key(pool: PgPool) {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = taken.local_addr().expect("has an address").to_string();
    let busy = Config {
        listen: address.clone(),
        ..config(&pool)
    };
    let error = refusal(busy).await;
    assert!(
        error.contains(&address) && error.contains("controller.listen"),
        "{error}"
    );
    Controller::start(&pool).await.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn another_master_key_is_noticed(pool: PgPool) {
    Controller::start(&pool).await.stop().await;
    let other = Config {
        master_key: Some(Secret::new("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")),
        ..config(&pool)
    };
    let error = refusal(other).await;
    assert!(
        error.contains("the master key does not fit this database"),
        "{error}"
    );
}

#[sqlx::test(migrations = "../../migrations")]
async fn everything_wrong_with_the_configuration_is_said_at_once(pool: PgPool) {
    let wrong = Config {
        listen: "8080".to_owned(),
        database_url: None,
        master_key: None,
        lease_suspect: Duration::from_secs(1),
        ..config(&pool)
    };
    let found = wrong.validate();
    assert_eq!(found.len(), 4, "{found:?}");
    let error = refusal(wrong).await;
    for key in ["listen", "database_url", "master_key", "lease_dead"] {
        assert!(error.contains(&format!("controller.{key}")), "{error}");
    }
    let hasty = Config {
        lease_dead: Duration::from_millis(6_900),
        ..config(&pool)
    };
    let error = refusal(hasty).await;
    assert!(
        error.contains("controller.lease_dead: must be at least 7s"),
        "{error}"
    );
    let short = Config {
        master_key: Some(Secret::new("c2hvcnQ=")),
        ..config(&pool)
    };
    let error = refusal(short).await;
    assert!(
        error.contains("head -c 32 /dev/urandom | base64"),
        "{error}"
    );
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_unreachable_database_is_named_without_its_password(pool: PgPool) {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = closed.local_addr().expect("has an address").port();
    drop(closed);
    let away = |wait: u64, url: String| Config {
        database_url: Some(Secret::new(url)),
        database_wait: Duration::from_millis(wait),
        ..config(&pool)
    };
    let url = format!("postgres://hw:hidden-word@127.0.0.1:{port}/headworks");
    let began = Clock::system().monotonic();
    let error = refusal(away(500, url)).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(
        error.contains(&format!("127.0.0.1:{port}/headworks")),
        "{error}"
    );
    assert!(error.contains("refused"), "{error}");
    assert!(!error.contains("hidden-word"), "{error}");
    let error = refusal(away(500, "mysql://hw:hidden-word@host/x".to_owned())).await;
    assert!(error.contains("controller.database_url"), "{error}");
    assert!(!error.contains("hidden-word"), "{error}");
    // A database that is not there will not come by waiting.
    let mut config = config(&pool);
    let url = config.database_url.take().expect("has one");
    let url = url.expose().replace("_sqlx_test", "no_such");
    let began = Clock::system().monotonic();
    let error = refusal(away(60_000, url)).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(error.contains("does not exist"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_database_is_said_quickly_and_passes() {
    let data = tempfile::tempdir().expect("makes a directory");
    let options = PostgresOptions {
        durable: false,
        ..PostgresOptions::new(data.path())
    };
    let database = Postgres::start(&options).expect("starts");
    let pool = PgPool::connect_lazy(&database.url()).expect("is a URL");
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    api.get("/readyz").await.status.is_success();
    assert_eq!(api.get("/readyz").await.status, 200);
    api.get("/v1/cameras").await.expect(200);

    database.stop();
    let began = Clock::system().monotonic();
    api.get("/v1/cameras")
        .await
        .problem(ProblemCode::Unavailable);
    api.get("/readyz").await.problem(ProblemCode::Unavailable);
    assert!(
        began.elapsed() < Duration::from_secs(9),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(api.get("/livez").await.status, 200);

    let database = Postgres::start(&options).expect("starts again");
    let back = async {
        while api.get("/v1/cameras").await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), back)
        .await
        .expect("it is back");
    controller.stop().await;
    database.stop();
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_controller_is_not_ready_on_an_older_schema(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = controller.anonymous();
    assert_eq!(api.get("/readyz").await.status, 200);
    sqlx::raw_sql(
        "DELETE FROM _sqlx_migrations
         WHERE version = (SELECT max(version) FROM _sqlx_migrations)",
    )
    .execute(&pool)
    .await
    .expect("forgets one");
    let refused = api.get("/readyz").await.problem(ProblemCode::Unavailable);
    let detail = refused.detail.expect("says why");
    assert!(detail.contains("older"), "{detail}");
    controller.stop().await;
}
