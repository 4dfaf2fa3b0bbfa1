//! API keys over HTTP.

use headworks_types::{ApiKey, ApiKeyCreated, ProblemCode};
use serde_json::json;
use sqlx::PgPool;

use crate::harness::{ALL_ON_PROJECT, Controller, on_cluster, on_project, text};

#[sqlx::test(migrations = "../../migrations")]
async fn a_key_lives(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let created: ApiKeyCreated = api
        .post("/v1/api_keys", json!({"name": "ci"}))
        .await
        .parse(201);
    let secret = created.secret.expose();
    assert!(secret.starts_with(&format!("hwak_{}_", created.api_key.lookup)));
    let path = format!("/v1/api_keys/{}", created.api_key.id);
    let viewed = api.get(&path).await;
    assert!(!viewed.text.contains(secret), "shown once");
    assert_eq!(viewed.parse::<ApiKey>(200), created.api_key);

    let own = api.with_key(Some(secret));
    own.get("/v1/users").await.problem(ProblemCode::Forbidden);
    let revoked: ApiKey = own
        .post(&format!("{path}:revoke"), json!({}))
        .await
        .parse(200);
    assert!(revoked.revoked_at.is_some(), "a key may revoke itself");
    own.get("/v1/users")
        .await
        .problem(ProblemCode::Unauthenticated);
    let again: ApiKey = api
        .post(&format!("{path}:revoke"), json!({}))
        .await
        .parse(200);
    assert_eq!(again.revoked_at, revoked.revoked_at);
    assert_eq!(api.all("/v1/api_keys", 1).await.len(), 2);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn only_the_whole_secret_of_a_living_key_signs_in(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let soon = headworks_bootstrap::Clock::system().now() + chrono::TimeDelta::milliseconds(300);
    let body = json!({"name": "brief", "expires_at": soon});
    let created: ApiKeyCreated = api.post("/v1/api_keys", body).await.parse(201);
    let secret = created.secret.expose();
    let lookup = &created.api_key.lookup;
    let swapped = {
        let (other, mine) = (api.secret(), secret);
        let tail = other.rsplit_once('_').expect("has parts").1;
        assert_ne!(other, mine);
        format!("hwak_{lookup}_{tail}")
    };
    for bad in [
        "",
        "hwak",
        "hwak__",
        lookup,
        &secret[..secret.len() - 1],
        &secret.replace("hwak_", "hwsk_"),
        &swapped,
    ] {
        let refused = api.with_key(Some(bad)).get("/v1/users").await;
        refused.problem(ProblemCode::Unauthenticated);
        assert!(
            refused.headers["www-authenticate"]
                .to_str()
                .expect("is text")
                .contains("Bearer")
        );
    }
    let brief = api.with_key(Some(secret));
    let expires = async {
        while brief.get("/v1/users").await.status != 401 {
            tokio::task::yield_now().await;
        }
    };
    let limit = std::time::Duration::from_secs(10);
    tokio::time::timeout(limit, expires)
        .await
        .expect("it expires");
    let body = json!({"name": "late", "expires_at": "2020-01-01T00:00:00Z"});
    let refused = api.post("/v1/api_keys", body).await;
    assert_eq!(refused.pointers(ProblemCode::Invalid), ["/expires_at"]);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn secrets_of_keys_are_nowhere_in_the_database(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let key = [("idempotency-key", "1")];
    let body = Some(json!({"name": "ci"}));
    let answer = api
        .send(reqwest::Method::POST, "/v1/api_keys", body, &key)
        .await;
    let created: ApiKeyCreated = answer.parse(201);
    // The secret part may have underscores itself.
    let secret = created.secret.expose().splitn(3, '_').nth(2);
    let secret = secret.expect("has parts");
    let rows: Vec<String> = sqlx::query_scalar!(
        r#"SELECT row_to_json(k)::text AS "row!" FROM api_key k
           UNION ALL SELECT encode(body, 'escape') FROM idempotency
           UNION ALL SELECT row_to_json(e)::text FROM event e"#
    )
    .fetch_all(&controller.pool)
    .await
    .expect("reads");
    assert!(rows.len() > 3);
    assert!(rows.iter().all(|row| !row.contains(secret)));
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn keys_for_another_project_need_the_cluster(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let (id, theirs) = controller.project("theirs").await;
    let body = json!({"name": "x", "project_id": id});
    let created: ApiKeyCreated = controller.admin.post("/v1/api_keys", body).await.parse(201);
    assert_eq!(created.api_key.project_id.to_string(), id);
    let body = json!({"name": "x", "project_id": controller.default_project().await});
    let refused = theirs.post("/v1/api_keys", body).await;
    refused.problem(ProblemCode::NotFound);
    let created: ApiKeyCreated = theirs
        .post("/v1/api_keys", json!({"name": "x"}))
        .await
        .parse(201);
    assert_eq!(created.api_key.project_id.to_string(), id);
    let body = json!({"name": "x", "project_id": "prj_00000000000000000000000000000000"});
    let refused = controller.admin.post("/v1/api_keys", body).await;
    refused.problem(ProblemCode::NotFound);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn nobody_revokes_a_mightier_key_or_the_last_administrator(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let project = controller.default_project().await;
    let admin = text(&api.get("/v1/api_keys?limit=1").await.expect(200)["items"][0]["id"]);
    let users = controller
        .key(&[(on_project(&project), &["user.manage"])])
        .await;
    let revoke = format!("/v1/api_keys/{admin}:revoke");
    users
        .post(&revoke, json!({}))
        .await
        .problem(ProblemCode::Forbidden);
    api.post(&revoke, json!({}))
        .await
        .problem(ProblemCode::Conflict);
    let grants = api.all(&format!("/v1/grants?api_key_id={admin}"), 10).await;
    let grant = format!("/v1/grants/{}", text(&grants[0]["id"]));
    users.delete(&grant).await.problem(ProblemCode::Forbidden);
    api.delete(&grant).await.problem(ProblemCode::Conflict);

    let everything = [ALL_ON_PROJECT, &["node.manage"]].concat();
    let second = controller.key(&[(on_cluster(), &everything)]).await;
    second.post(&revoke, json!({})).await.expect(200);
    api.get("/v1/users")
        .await
        .problem(ProblemCode::Unauthenticated);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn of_two_last_grants_taken_away_at_once_one_stays(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let admin = text(&api.get("/v1/api_keys?limit=1").await.expect(200)["items"][0]["id"]);
    let again = json!({
        "principal": {"type": "api_key", "id": admin},
        "object": on_cluster(),
        "actions": ["user.manage"],
    });
    api.post("/v1/grants", again).await.expect(201);
    let grants = api.all(&format!("/v1/grants?api_key_id={admin}"), 10).await;
    let paths: Vec<_> = grants
        .iter()
        .map(|grant| format!("/v1/grants/{}", text(&grant["id"])))
        .collect();
    assert_eq!(paths.len(), 2);
    // Both get as far as they can while a third holds the grants.
    let mut tx = controller.pool.begin().await.expect("begins");
    sqlx::query!(r#"SELECT id FROM "grant" FOR UPDATE"#)
        .fetch_all(&mut *tx)
        .await
        .expect("locks");
    let release = async {
        controller.waiting(2).await;
        tx.rollback().await.expect("rolls back");
    };
    let (one, two, ()) = futures::join!(api.delete(&paths[0]), api.delete(&paths[1]), release);
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 409]);
    controller.stop().await;
}
