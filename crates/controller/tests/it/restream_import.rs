//! Many cameras pushed to one kind of target in one call.

use headworks_types::{ProblemCode, RestreamImportOutcome, RestreamImportResult};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Api, Controller, camera, text};

fn target() -> Value {
    json!({
        "name": "cloud",
        "url": "rtmp://push.example.com/live/{external_id}-{index}",
        "signing": {"type": "alibaba", "primary_key": "hush"},
    })
}

fn item(name: &str, external_id: &str) -> Value {
    json!({
        "name": name, "external_id": external_id, "url": format!("rtsp://10.0.0.1/{external_id}"),
        "credentials": {"username": "root", "password": "hush"},
    })
}

async fn import(api: &Api, cameras: &Value, dry_run: bool) -> Vec<String> {
    let body = json!({"cameras": cameras, "target": target(), "dry_run": dry_run});
    let answer = api.post("/v1/restreams:import", body).await;
    assert!(!answer.text.contains("hush"), "{}", answer.text);
    let result: RestreamImportResult = answer.parse(200);
    let word = |outcome: &RestreamImportOutcome| match outcome {
        RestreamImportOutcome::Created {
            camera_created,
            restream,
        } => {
            format!("created {camera_created} {}", restream.url.path())
        }
        RestreamImportOutcome::Existing { restream } => format!("existing {}", restream.url.path()),
        RestreamImportOutcome::Valid {
            camera_created,
            url,
        } => {
            format!("valid {camera_created} {}", url.path())
        }
        RestreamImportOutcome::Failed { problem } => {
            let at = problem.errors.first().map_or("", |field| &field.pointer);
            format!("{} {at}", problem.code)
        }
    };
    result.results.iter().map(word).collect()
}

#[sqlx::test(migrations = "../../migrations")]
async fn one_call_pushes_many_cameras_and_may_be_repeated(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let there = text(&api.post("/v1/cameras", camera("there")).await.expect(201)["id"]);
    let mut named = camera("named");
    named["external_id"] = json!("n");
    api.post("/v1/cameras", named).await.expect(201);
    let cameras = json!([
        item("Gate", "a"),
        item("Door", "b"),
        item("whatever", "n"),
        {"camera_id": there},
        {"camera_id": "cam_00000000000000000000000000000001"},
        {"name": "", "url": "ftp://a/b"},
        item("twice", "a"),
        "no camera",
    ]);
    let failures = [
        "invalid /target/url",
        "not_found ",
        "invalid /cameras/5/name",
        "conflict ",
        "malformed /cameras/7",
    ];
    let dry = import(api, &cameras, true).await;
    assert_eq!(
        dry[..3],
        [
            "valid true /live/a-1",
            "valid true /live/b-2",
            "valid false /live/n-3"
        ]
    );
    assert_eq!(dry[3..], failures);
    assert_eq!(
        api.all("/v1/cameras", 50).await.len(),
        2,
        "nothing has happened"
    );

    let done = import(api, &cameras, false).await;
    assert_eq!(
        done[..3],
        [
            "created true /live/a-1",
            "created true /live/b-2",
            "created false /live/n-3"
        ]
    );
    assert_eq!(done[3..], failures);
    let again = import(api, &cameras, false).await;
    assert_eq!(
        again[..3],
        [
            "existing /live/a-1",
            "existing /live/b-2",
            "existing /live/n-3"
        ]
    );
    assert_eq!(again[3..], failures);
    assert_eq!(api.all("/v1/cameras", 50).await.len(), 4);
    assert_eq!(api.all("/v1/restreams", 2).await.len(), 3);
    let events = api
        .events(|events| {
            let created = events
                .iter()
                .filter(|event| event["kind"] == "restream.created");
            created.count() == 3
        })
        .await;
    let created = events
        .iter()
        .filter(|event| event["kind"] == "camera.created");
    assert_eq!(created.count(), 4);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn one_camera_under_two_names_is_in_the_list_twice(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let mut named = camera("named");
    named["external_id"] = json!("n");
    let id = text(&api.post("/v1/cameras", named).await.expect(201)["id"]);
    let by_id = json!({"camera_id": id, "stream_key": "k"});
    let target = json!({"name": "cloud", "url": "rtmp://push.example.com/live"});
    for cameras in [
        json!([by_id, item("named", "n")]),
        json!([item("named", "n"), by_id]),
    ] {
        let body = json!({"cameras": cameras, "target": target, "dry_run": true});
        let answer = api.post("/v1/restreams:import", body).await;
        let result: RestreamImportResult = answer.parse(200);
        assert!(
            matches!(
                &result.results[..],
                [
                    RestreamImportOutcome::Valid { .. },
                    RestreamImportOutcome::Failed { problem }
                ] if problem.code == ProblemCode::Conflict
            ),
            "{result:?}"
        );
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_target_that_is_wrong_for_all_is_refused(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let body = json!({
        "cameras": [],
        "target": {"name": "x", "url": "http://a/{what}", "signing": {"type": "tencent"}},
    });
    let refused = api.post("/v1/restreams:import", body).await;
    assert_eq!(
        refused.pointers(ProblemCode::Invalid),
        ["/cameras", "/target/url"]
    );
    controller.stop().await;
}

/// A thousand cameras are two handfuls of statements and a row each.
#[sqlx::test(migrations = "../../migrations")]
async fn a_thousand_cameras_are_imported(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let cameras: Vec<_> = (0..1000)
        .map(|n| item(&format!("camera {n}"), &format!("{n}")))
        .collect();
    let done = import(api, &json!(cameras), false).await;
    assert!(
        done.iter().all(|word| word.starts_with("created true")),
        "{:?}",
        done[0]
    );
    assert_eq!(done.len(), 1000);
    controller.stop().await;
}
