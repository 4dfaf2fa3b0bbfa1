//! Cameras over HTTP.

use headworks_types::{Camera, CameraState, Page, ProblemCode};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Controller, camera, text};

#[sqlx::test(migrations = "../../migrations")]
async fn a_camera_lives(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let body = json!({
        "name": "gate",
        "external_id": "gate-1",
        "labels": {"site": "lyon"},
        "source": {"type": "pull", "url": "rtsp://10.0.0.1:554/a?b=c", "transport": "udp"},
        "credentials": {"username": "root", "password": "p@ss:w/rd"},
        "start": "on_demand",
        "placement": {"site": "lyon"},
    });
    let created: Camera = api.post("/v1/cameras", body).await.parse(201);
    assert!(created.has_credentials);
    assert!(created.enabled);
    assert_eq!(created.status.state, CameraState::Unplaced);
    assert_eq!(created.status.epoch, 0);

    let path = format!("/v1/cameras/{}", created.id);
    let viewed = api.get(&path).await;
    assert_eq!(viewed.etag(), "\"1\"");
    assert_eq!(viewed.parse::<Camera>(200).name, "gate");

    let change = json!({"name": "gate 2", "external_id": null, "credentials": null});
    let changed = api.patch(&path, change).await;
    assert_eq!(changed.etag(), "\"2\"");
    let changed: Camera = changed.parse(200);
    assert_eq!(changed.name, "gate 2");
    assert_eq!(changed.external_id, None);
    assert!(!changed.has_credentials);
    assert_eq!(changed.labels, created.labels, "what is absent stays");
    assert!(changed.updated_at > created.updated_at);

    let disabled: Camera = api.patch(&path, json!({"enabled": false})).await.parse(200);
    assert_eq!(disabled.status.state, CameraState::Disabled);

    api.delete(&path).await.expect(204);
    api.get(&path).await.problem(ProblemCode::NotFound);
    api.delete(&path).await.problem(ProblemCode::NotFound);
    let left: Page<Camera> = api.get("/v1/cameras").await.parse(200);
    assert!(left.items.is_empty());
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn credentials_are_sealed_and_never_shown(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let mut body = camera("gate");
    body["credentials"] = json!({"username": "root-user", "password": "p@ss:w/rd"});
    let created = controller.admin.post("/v1/cameras", body).await;
    let id = text(&created.expect(201)["id"]);
    let viewed = controller.admin.get(&format!("/v1/cameras/{id}")).await;
    for answer in [created, viewed] {
        assert!(!answer.text.contains("p@ss"), "{}", answer.text);
        assert!(!answer.text.contains("root-user"), "{}", answer.text);
    }
    let sealed: Vec<u8> = sqlx::query_scalar!(r#"SELECT credentials AS "c!" FROM camera"#)
        .fetch_one(&controller.pool)
        .await
        .expect("is stored");
    let readable = String::from_utf8_lossy(&sealed);
    assert!(!readable.contains("p@ss") && !readable.contains("root-user"));
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn stored_credentials_do_not_follow_the_url_to_another_host(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let source = |url: &str| json!({"type": "pull", "url": url});
    let mut body = camera("gate");
    body["source"] = source("rtsp://10.0.0.1/a");
    body["credentials"] = json!({"username": "root", "password": "x"});
    let id = text(&api.post("/v1/cameras", body).await.expect(201)["id"]);
    let path = format!("/v1/cameras/{id}");
    for url in [
        "rtsp://10.0.0.2/a",
        "rtsp://10.0.0.1:8554/a",
        "rtmp://10.0.0.1/a",
        "http://10.0.0.1/a.flv",
    ] {
        let refused = api.patch(&path, json!({"source": source(url)})).await;
        assert_eq!(refused.pointers(ProblemCode::Invalid), ["/credentials"]);
        let change =
            json!({"source": source(url), "credentials": {"username": "a", "password": "b"}});
        api.patch(&path, change).await.expect(200);
        let change = json!({"source": source("rtsp://10.0.0.1/a"), "credentials": {"username": "a", "password": "b"}});
        api.patch(&path, change).await.expect(200);
    }
    let moved = api
        .patch(&path, json!({"source": source("rtsp://10.0.0.1/b")}))
        .await;
    assert_eq!(moved.expect(200)["has_credentials"], true);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn lists_are_filtered_by_labels_and_external_id(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    for (name, site, floor) in [("a", "lyon", "1"), ("b", "lyon", "2"), ("c", "nice", "1")] {
        let mut body = camera(name);
        body["labels"] = json!({"site": site, "floor": floor});
        body["external_id"] = json!(name);
        api.post("/v1/cameras", body).await.expect(201);
    }
    let names = async |query: &str| -> Vec<String> {
        let items = api.all(&format!("/v1/cameras{query}"), 50).await;
        items.iter().map(|camera| text(&camera["name"])).collect()
    };
    assert_eq!(names("").await, ["a", "b", "c"]);
    assert_eq!(names("?labels=site%3Dlyon").await, ["a", "b"]);
    assert_eq!(names("?labels=site%3Dlyon,floor%3D1").await, ["a"]);
    assert_eq!(names("?external_id=c").await, ["c"]);
    assert!(names("?external_id=d").await.is_empty());
    let refused = api.get("/v1/cameras?labels=site").await;
    assert_eq!(refused.pointers(ProblemCode::Malformed), ["/labels"]);
    for (name, value) in [
        ("labels", "a%3D%00"),
        ("external_id", "%00"),
        ("external_id", "a%0Ab"),
    ] {
        let refused = api.get(&format!("/v1/cameras?{name}={value}")).await;
        assert_eq!(
            refused.pointers(ProblemCode::Malformed),
            [format!("/{name}")]
        );
    }
    let refused = api.get("/v1/cameras?label=site%3Dlyon").await;
    refused.problem(ProblemCode::Malformed);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn pages_hold_each_camera_once_while_others_come_and_go(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    for index in 0..7 {
        let body = camera(&format!("camera {index}"));
        api.post("/v1/cameras", body).await.expect(201);
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = api
            .get(&format!("/v1/cameras?limit=3{token}"))
            .await
            .expect(200);
        let items = page["items"].as_array().expect("has items");
        seen.extend(items.iter().map(|camera| text(&camera["name"])));
        // The last one of the page goes, and a new one comes: neither moves the next page.
        let last = text(&items[items.len() - 1]["id"]);
        api.delete(&format!("/v1/cameras/{last}")).await.expect(204);
        if seen.len() < 7 {
            api.post("/v1/cameras", camera("late")).await.expect(201);
        }
        let Some(next) = page["next_page_token"].as_str() else {
            break;
        };
        token = format!("&page_token={next}");
    }
    let first: Vec<_> = (0..7).map(|index| format!("camera {index}")).collect();
    assert_eq!(seen[..7], first);
    assert!(seen[7..].iter().all(|name| name == "late"), "{seen:?}");
    for bad in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "page_token=x",
        "page_token=",
    ] {
        let name = bad.split('=').next().expect("has a name");
        let refused = api.get(&format!("/v1/cameras?{bad}")).await;
        assert_eq!(
            refused.pointers(ProblemCode::Malformed),
            [format!("/{name}")]
        );
    }
    let users = api.get("/v1/users?page_token=Y2FtXzAxOTBmM2MyYTFiMjdjM2Q4ZTRmNWE2YjdjOGQ5ZTBm");
    users.await.problem(ProblemCode::Malformed);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_stale_change_is_refused(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let id = text(&api.post("/v1/cameras", camera("gate")).await.expect(201)["id"]);
    let path = format!("/v1/cameras/{id}");
    let patch = async |tag: &str, name: &str| {
        let body = Some(json!({"name": name}));
        api.send(Method::PATCH, &path, body, &[("if-match", tag)])
            .await
    };
    assert_eq!(patch("\"1\"", "b").await.etag(), "\"2\"");
    patch("\"1\"", "c")
        .await
        .problem(ProblemCode::PreconditionFailed);
    patch("\"other\"", "c")
        .await
        .problem(ProblemCode::PreconditionFailed);
    patch("W/\"2\"", "c")
        .await
        .problem(ProblemCode::PreconditionFailed);
    patch("2", "c").await.problem(ProblemCode::Malformed);
    assert_eq!(patch("\"1\", \"2\"", "d").await.etag(), "\"3\"");
    assert_eq!(patch("*", "e").await.etag(), "\"4\"");
    let stale = [("if-match", "\"3\"")];
    let refused = api.send(Method::DELETE, &path, None, &stale).await;
    refused.problem(ProblemCode::PreconditionFailed);
    let fresh = [("if-match", "\"4\"")];
    api.send(Method::DELETE, &path, None, &fresh)
        .await
        .expect(204);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_wrong_with_a_camera_is_pointed_at(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let body = json!({
        "name": "",
        "labels": {"a b": "x"},
        "source": {"type": "pull", "url": "http://u:p@host/"},
    });
    let refused = api.post("/v1/cameras", body).await;
    let pointers = ["/name", "/labels/a b", "/source/url", "/source/format"];
    assert_eq!(refused.pointers(ProblemCode::Invalid), pointers);
    let id = text(&api.post("/v1/cameras", camera("gate")).await.expect(201)["id"]);
    let path = format!("/v1/cameras/{id}");
    let cases: [(Value, ProblemCode, &str); 4] = [
        (json!({"name": 7}), ProblemCode::Malformed, "/name"),
        (json!({"nam": "x"}), ProblemCode::Malformed, "/nam"),
        (
            json!({"placement": {"labels": {"a": 1}}}),
            ProblemCode::Malformed,
            "/placement/labels/a",
        ),
        (json!({"name": "x\u{0}"}), ProblemCode::Invalid, "/name"),
    ];
    for (change, code, pointer) in cases {
        assert_eq!(api.patch(&path, change).await.pointers(code), [pointer]);
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_external_id_is_unique_in_its_project(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let (_, other) = controller.project("other").await;
    let body = |name: &str, external_id: &str| {
        let mut body = camera(name);
        body["external_id"] = json!(external_id);
        body
    };
    let api = &controller.admin;
    api.post("/v1/cameras", body("a", "1")).await.expect(201);
    other.post("/v1/cameras", body("a", "1")).await.expect(201);
    let refused = api.post("/v1/cameras", body("b", "1")).await;
    let problem = refused.problem(ProblemCode::Conflict);
    assert!(
        problem
            .detail
            .expect("has words")
            .contains("external_id `1`")
    );
    let id = text(&api.post("/v1/cameras", body("b", "2")).await.expect(201)["id"]);
    let change = json!({"external_id": "1"});
    let refused = api.patch(&format!("/v1/cameras/{id}"), change).await;
    refused.problem(ProblemCode::Conflict);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_published_camera_has_no_credentials(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let mut body = camera("gate");
    body["credentials"] = json!({"username": "root", "password": "x"});
    let id = text(&api.post("/v1/cameras", body).await.expect(201)["id"]);
    let path = format!("/v1/cameras/{id}");
    let refused = api
        .patch(&path, json!({"source": {"type": "publish"}}))
        .await;
    assert_eq!(refused.pointers(ProblemCode::Invalid), ["/credentials"]);
    let change = json!({"source": {"type": "publish"}, "credentials": null});
    let changed: Camera = api.patch(&path, change).await.parse(200);
    assert_eq!(changed.status.state, CameraState::Unplaced);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn every_kind_of_source_is_kept_as_it_was_given(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    for source in [
        json!({
            "type": "pull", "url": "rtsps://10.0.0.1:322/1", "transport": "tcp",
            "tls_verify": false,
        }),
        json!({
            "type": "pull", "url": "rtmp://10.0.0.1/live/gate", "transport": "tcp",
            "tls_verify": true,
        }),
        json!({
            "type": "pull", "url": "https://10.0.0.1/live", "transport": "tcp", "format": "hls",
            "tls_verify": true,
        }),
        json!({"type": "publish"}),
        json!({"type": "file", "path": "demo/gate.mp4"}),
    ] {
        let body = json!({"name": "gate", "source": source});
        let created = api.post("/v1/cameras", body).await.expect(201);
        assert_eq!(created["source"], source);
        let path = format!("/v1/cameras/{}", text(&created["id"]));
        assert_eq!(api.get(&path).await.expect(200)["source"], source);
    }
    for (source, pointer) in [
        (
            json!({"type": "file", "path": "../etc/passwd"}),
            "/source/path",
        ),
        (
            json!({"type": "pull", "url": "srt://10.0.0.1:9000"}),
            "/source/url",
        ),
        (
            json!({"type": "pull", "url": "http://10.0.0.1/a"}),
            "/source/format",
        ),
    ] {
        let body = json!({"name": "gate", "source": source});
        let refused = api.post("/v1/cameras", body).await;
        assert_eq!(refused.pointers(ProblemCode::Invalid), [pointer]);
    }
    let file = json!({"type": "file", "path": "a"});
    let body = json!({
        "name": "gate", "source": file, "credentials": {"username": "a", "password": "b"},
    });
    let refused = api.post("/v1/cameras", body).await;
    assert_eq!(refused.pointers(ProblemCode::Invalid), ["/credentials"]);
    controller.stop().await;
}
