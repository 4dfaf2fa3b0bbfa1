//! What is sent, and how answers and failures are read.

use std::time::Duration;

use axum::{
    Json,
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use headworks_client::{Client, Error};
use headworks_types::{
    Page, Problem, ProblemCode, Project, ProjectCreate, ProjectId, ProjectUpdate, Secret,
};
use uuid::Uuid;

use crate::server::Server;

fn project(number: u128) -> Project {
    let time = "2026-11-22T12:00:00Z".parse().expect("parses");
    Project {
        id: ProjectId::from(Uuid::from_u128(number)),
        name: number.to_string(),
        outbound_allow: Vec::new(),
        created_at: time,
        updated_at: time,
    }
}

fn create() -> ProjectCreate {
    ProjectCreate {
        name: "x".to_owned(),
    }
}

#[tokio::test]
async fn calls_carry_credential_key_and_etag() {
    let server =
        Server::start(|_| ([(header::ETAG, "\"2\"")], Json(project(1))).into_response()).await;
    let client = server.client().with_credential(Secret::new("hwak_a_b"));
    client
        .project_create(&create())
        .idempotency_key("k1")
        .await
        .expect("answers");
    let id = project(1).id;
    let change = ProjectUpdate::default();
    let tagged = client
        .project_update(id, &change)
        .if_match("\"1\"")
        .tagged()
        .await;
    assert_eq!(tagged.expect("answers").etag.as_deref(), Some("\"2\""));

    let asked = server.asked();
    assert_eq!(asked[0].headers["authorization"], "Bearer hwak_a_b");
    assert_eq!(asked[0].headers["idempotency-key"], "k1");
    assert_eq!(asked[0].headers["content-type"], "application/json");
    assert_eq!(asked[0].body, r#"{"name":"x"}"#.as_bytes());
    assert_eq!(asked[1].headers["if-match"], "\"1\"");
    assert!(!format!("{client:?}").contains("hwak_a_b"));
}

#[tokio::test]
async fn the_base_may_have_a_path() {
    let server = Server::start(|_| Json(project(1)).into_response()).await;
    for base in ["video", "video/"] {
        let base = server.url.join(base).expect("joins");
        let client = Client::new(base).expect("is HTTP");
        client.project_view(project(1).id).await.expect("answers");
    }
    for asked in server.asked() {
        assert_eq!(asked.path, format!("/video/v1/projects/{}", project(1).id));
    }
}

#[tokio::test]
async fn lists_follow_their_pages() {
    let server = Server::start(|asked| {
        let (item, next) = match asked.query.as_str() {
            "limit=1" => (1, Some("a/b".to_owned())),
            "limit=1&page_token=a%2Fb" => (2, None),
            other => panic!("{other}"),
        };
        Json(Page {
            items: vec![project(item)],
            next_page_token: next,
        })
        .into_response()
    })
    .await;
    let all = server
        .client()
        .project_list()
        .limit(1)
        .all()
        .await
        .expect("answers");
    assert_eq!(all, [project(1), project(2)]);
}

#[tokio::test]
async fn problems_are_handed_on() {
    let server = Server::start(|_| {
        let problem = Problem::new(ProblemCode::NotFound).with_detail("no such project");
        (StatusCode::NOT_FOUND, Json(problem)).into_response()
    })
    .await;
    let error = server
        .client()
        .project_view(project(1).id)
        .await
        .expect_err("is refused");
    assert_eq!(error.code(), Some(ProblemCode::NotFound));
    assert_eq!(error.to_string(), "no such project");
    assert!(!error.is_temporary());
}

#[tokio::test]
async fn foreign_answers_are_named() {
    let server = Server::start(|asked| match asked.method.as_str() {
        "GET" => "<html>hello</html>".into_response(),
        _ => (StatusCode::BAD_GATEWAY, "<html>oops</html>").into_response(),
    })
    .await;
    let client = server.client();
    let error = client.project_list().await.expect_err("is not JSON");
    assert!(
        matches!(error, Error::Unexpected { status: 200, .. }),
        "{error}"
    );
    let error = client
        .project_create(&create())
        .await
        .expect_err("is a proxy's");
    assert!(
        matches!(error, Error::Unexpected { status: 502, .. }),
        "{error}"
    );
    assert!(error.is_temporary());
    assert!(error.to_string().contains("<html>oops</html>"), "{error}");
}

#[tokio::test]
async fn credentials_do_not_follow_redirects() {
    let server = Server::start(|_| {
        let location = [(header::LOCATION, "http://127.0.0.1:1/elsewhere")];
        (StatusCode::TEMPORARY_REDIRECT, location).into_response()
    })
    .await;
    let error = server
        .client()
        .project_list()
        .await
        .expect_err("is not followed");
    assert!(
        matches!(error, Error::Unexpected { status: 307, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn nobody_listening_and_silence_are_told_apart() {
    let nobody = Client::new("http://127.0.0.1:1/".parse().expect("parses")).expect("is HTTP");
    let error = nobody.project_list().await.expect_err("nobody is there");
    assert_eq!(
        error.to_string(),
        "cannot reach http://127.0.0.1:1/: Connection refused (os error 111)"
    );
    assert!(error.is_temporary());

    let silent = Server::start(|_| {
        Response::new(Body::from_stream(futures::stream::pending::<
            Result<String, String>,
        >()))
    })
    .await;
    let client = silent.client().with_deadline(Duration::from_millis(50));
    let error = client.project_list().await.expect_err("says nothing");
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    let slow = silent
        .client()
        .project_list()
        .deadline(Duration::from_millis(50));
    let error = slow.await.expect_err("says nothing");
    assert_eq!(
        error.to_string(),
        format!("{} did not answer in time", silent.url)
    );
}

#[test]
fn other_schemes_are_refused() {
    let error = Client::new("ftp://host/".parse().expect("parses")).expect_err("is not HTTP");
    assert!(
        error
            .to_string()
            .contains("not an http:// or https:// address"),
        "{error}"
    );
}
