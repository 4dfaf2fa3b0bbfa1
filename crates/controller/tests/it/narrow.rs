//! Whatever takes a right away takes it from tokens that are out, at once, and from those who watch.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use headworks_bootstrap::Clock;
use headworks_types::ProblemCode;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    edge_cluster::new_node,
    harness::{Api, Controller, camera, on_camera, on_group, text},
    session::{complete, opened},
};

/// A user, a camera, and what can stand between them.
struct Stage {
    user: String,
    /// The user is in it.
    team: String,
    /// The user is not in it.
    club: String,
    role: String,
    camera: String,
    /// The camera is in it.
    floor: String,
    /// The floor is in it.
    building: String,
    /// Nothing is in it.
    yard: String,
}

impl Stage {
    async fn make(admin: &Api) -> Self {
        let made = async |path: &str, body: Value| {
            let answer = admin.post(&format!("/v1/{path}"), body).await;
            text(&answer.expect(201)["id"])
        };
        let name = json!({"name": "x"});
        let user = made("users", name.clone()).await;
        let team = made("user_groups", name.clone()).await;
        let members = format!("/v1/user_groups/{team}/members");
        let member = json!({"user_id": user});
        admin.post(&members, member).await.expect(201);
        let building = made("camera_groups", name.clone()).await;
        let floor = json!({"name": "x", "parent_id": building});
        let floor = made("camera_groups", floor).await;
        let mut gate = camera("gate");
        gate["group_id"] = json!(floor);
        let unique = Uuid::now_v7().to_string();
        Self {
            club: made("user_groups", name.clone()).await,
            role: made(
                "roles",
                json!({"name": unique, "actions": [WATCH, "camera.ptz"]}),
            )
            .await,
            camera: made("cameras", gate).await,
            yard: made("camera_groups", name).await,
            user,
            team,
            floor,
            building,
        }
    }

    /// A grant to watch, of the user on the camera unless it is changed.
    fn grant(&self, change: &Value) -> Value {
        let mut grant = json!({
            "principal": {"type": "user", "id": self.user},
            "object": on_camera(&self.camera),
            "actions": [WATCH],
        });
        for (name, value) in change.as_object().expect("is an object") {
            grant[name] = value.clone();
        }
        if !grant["role"].is_null() {
            grant["actions"] = Value::Null;
        }
        grant
    }
}

const WATCH: &str = "camera.view_live";

/// What takes the right away.
type Taking = (Method, String, Option<Value>);

/// What is taken away how: its name, the grants that there are before, and what is asked then.
type Case = (
    &'static str,
    fn(&Stage) -> Vec<Value>,
    fn(&Stage, &str) -> Taking,
);

fn group(id: &str) -> Value {
    json!({"type": "user_group", "id": id})
}

fn plain(stage: &Stage) -> Vec<Value> {
    vec![stage.grant(&json!({}))]
}

const CASES: &[Case] = &[
    ("a grant is deleted", plain, |_, grant| {
        (Method::DELETE, format!("/v1/grants/{grant}"), None)
    }),
    ("a deny comes", plain, |stage, _| {
        let deny = stage.grant(&json!({"effect": "deny"}));
        (Method::POST, "/v1/grants".to_owned(), Some(deny))
    }),
    (
        "a role is narrowed",
        |stage| vec![stage.grant(&json!({"role": stage.role}))],
        |stage, _| {
            let change = json!({"actions": ["camera.ptz"]});
            (
                Method::PATCH,
                format!("/v1/roles/{}", stage.role),
                Some(change),
            )
        },
    ),
    (
        "a member leaves",
        |stage| vec![stage.grant(&json!({"principal": group(&stage.team)}))],
        |stage, _| {
            let member = format!("/v1/user_groups/{}/members/{}", stage.team, stage.user);
            (Method::DELETE, member, None)
        },
    ),
    (
        "a group is deleted",
        |stage| vec![stage.grant(&json!({"principal": group(&stage.team)}))],
        |stage, _| {
            (
                Method::DELETE,
                format!("/v1/user_groups/{}", stage.team),
                None,
            )
        },
    ),
    (
        "a member joins what is denied",
        |stage| {
            let deny = json!({"principal": group(&stage.club), "effect": "deny"});
            vec![stage.grant(&json!({})), stage.grant(&deny)]
        },
        |stage, _| {
            let member = json!({"user_id": stage.user});
            let members = format!("/v1/user_groups/{}/members", stage.club);
            (Method::POST, members, Some(member))
        },
    ),
    (
        "a camera leaves its group",
        |stage| vec![stage.grant(&json!({"object": on_group(&stage.floor)}))],
        |stage, _| {
            let change = json!({"group_id": null});
            (
                Method::PATCH,
                format!("/v1/cameras/{}", stage.camera),
                Some(change),
            )
        },
    ),
    (
        "a camera goes where it is denied",
        |stage| {
            let deny = json!({"object": on_group(&stage.yard), "effect": "deny"});
            vec![stage.grant(&json!({})), stage.grant(&deny)]
        },
        |stage, _| {
            let change = json!({"group_id": stage.yard});
            (
                Method::PATCH,
                format!("/v1/cameras/{}", stage.camera),
                Some(change),
            )
        },
    ),
    (
        "a camera group is moved",
        |stage| vec![stage.grant(&json!({"object": on_group(&stage.building)}))],
        |stage, _| {
            let change = json!({"parent_id": stage.yard});
            (
                Method::PATCH,
                format!("/v1/camera_groups/{}", stage.floor),
                Some(change),
            )
        },
    ),
    ("a user is disabled", plain, |stage, _| {
        let change = json!({"enabled": false});
        (
            Method::PATCH,
            format!("/v1/users/{}", stage.user),
            Some(change),
        )
    }),
    ("a user is deleted", plain, |stage, _| {
        (Method::DELETE, format!("/v1/users/{}", stage.user), None)
    }),
];

/// What is revoked: kind, value, and whether sessions end.
async fn revoked(pool: &PgPool) -> Vec<(String, String, bool)> {
    let rows = sqlx::query!("SELECT kind, value, ends_sessions FROM revocation");
    let rows = rows.fetch_all(pool).await.expect("lists").into_iter();
    rows.map(|row| (row.kind, row.value, row.ends_sessions))
        .collect()
}

/// Up to when tokens of the subject open nothing any more.
async fn narrowed(pool: &PgPool, subject: &str) -> Option<DateTime<Utc>> {
    let until = sqlx::query_scalar!(
        "SELECT max(issued_before) FROM revocation WHERE kind = 'subject' AND value = $1",
        subject
    );
    until.fetch_one(pool).await.expect("looks")
}

/// Waits until it is revoked.
async fn is_revoked(pool: &PgPool, what: &str, wanted: impl Fn(&(String, String, bool)) -> bool) {
    let wait = async {
        while !revoked(pool).await.iter().any(&wanted) {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
    assert!(waited.is_ok(), "{what}: {:?}", revoked(pool).await);
}

/// Waits until the session is ended, by itself or with all of its subject.
async fn is_ended(pool: &PgPool, what: &str, session: &str, subject: &str) {
    is_revoked(pool, what, |(kind, value, ends)| {
        *ends && (kind == "session" && value == session || kind == "subject" && value == subject)
    })
    .await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn whoever_loses_a_right_loses_tokens_and_sessions(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    for (number, (name, grants, taking)) in (1..).zip(CASES) {
        let stage = Stage::make(admin).await;
        let mut first = String::new();
        for grant in grants(&stage) {
            let granted = text(&admin.post("/v1/grants", grant).await.expect(201)["id"]);
            first = if first.is_empty() { granted } else { first };
        }
        let (_, edge) = new_node(&controller, &format!("edge-{number}")).await;
        let camera = stage.camera.parse().expect("is an id");
        let session = opened(number, camera, &stage.user);
        let id = session.id.to_string();
        let told = edge
            .session_report(&complete(Uuid::nil(), 1, vec![session]))
            .await;
        assert!(told.expect("is answered").taken, "{name}");
        let watches = revoked(&pool)
            .await
            .iter()
            .all(|(_, value, _)| *value != id);
        assert!(watches, "{name}");
        let before = narrowed(&pool, &stage.user).await;
        let (method, path, body) = taking(&stage, &first);
        let answer = admin.send(method, &path, body, &[]).await;
        assert!(answer.status.is_success(), "{name}: {}", answer.text);
        // What was issued before opens nothing from the moment on at which it is taken.
        let after = narrowed(&pool, &stage.user).await;
        assert!(after > before, "{name}: {before:?}, {after:?}");
        is_ended(&pool, name, &id, &stage.user).await;
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn nobody_else_is_bothered(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let (stage, other) = (Stage::make(admin).await, Stage::make(admin).await);
    let by_role = stage.grant(&json!({"role": stage.role}));
    admin.post("/v1/grants", by_role).await.expect(201);
    let grant = other.grant(&json!({"object": on_group(&other.building)}));
    admin.post("/v1/grants", grant).await.expect(201);
    // A new name, more members of what is denied nothing, and places that nothing is granted on.
    let role = format!("/v1/roles/{}", stage.role);
    admin
        .patch(&role, json!({"name": "another"}))
        .await
        .expect(200);
    let members = format!("/v1/user_groups/{}/members", stage.club);
    admin
        .post(&members, json!({"user_id": stage.user}))
        .await
        .expect(201);
    let camera = format!("/v1/cameras/{}", stage.camera);
    admin
        .patch(&camera, json!({"group_id": stage.yard}))
        .await
        .expect(200);
    let floor = format!("/v1/camera_groups/{}", stage.floor);
    admin
        .patch(&floor, json!({"name": "ground floor"}))
        .await
        .expect(200);
    assert_eq!(revoked(&pool).await, []);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_ends_by_itself_ends_tokens_and_sessions(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let stage = Stage::make(admin).await;
    let soon = Clock::system().now() + TimeDelta::seconds(3);
    let until = json!({"conditions": {"not_after": soon}});
    admin
        .post("/v1/grants", stage.grant(&until))
        .await
        .expect(201);
    let key = json!({"name": "x", "expires_at": soon});
    let key = admin.post("/v1/api_keys", key).await.expect(201);
    let secret = admin.with_key(key["secret"].as_str());
    let key = text(&key["api_key"]["id"]);
    let principal = json!({"principal": {"type": "api_key", "id": key}});
    admin
        .post("/v1/grants", stage.grant(&principal))
        .await
        .expect(201);
    let ask = json!({"camera_ids": [stage.camera]});
    secret
        .post("/v1/playback_tokens", ask.clone())
        .await
        .expect(201);
    let (_, edge) = new_node(&controller, "edge-1").await;
    let camera = stage.camera.parse().expect("is an id");
    let sessions = [opened(1, camera, &stage.user), opened(2, camera, &key)];
    let ids = sessions.clone().map(|session| session.id.to_string());
    let told = edge
        .session_report(&complete(Uuid::nil(), 1, sessions.into()))
        .await;
    assert!(told.expect("is answered").taken);
    assert!(Clock::system().now() < soon, "too slow to see anything");
    assert_eq!(revoked(&pool).await, [], "both watch");
    for (subject, session) in [&stage.user, &key].into_iter().zip(&ids) {
        let tokens = |(kind, value, ends): &(String, String, bool)| {
            kind == "subject" && value == subject && !ends
        };
        is_revoked(&pool, subject, tokens).await;
        is_ended(&pool, subject, session, subject).await;
    }
    let refused = secret.post("/v1/playback_tokens", ask).await;
    refused.problem(ProblemCode::Unauthenticated);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn time_takes_tokens_also_from_those_who_do_not_watch(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let stage = Stage::make(admin).await;
    let bob = json!({"name": "Bob"});
    let bob = text(&admin.post("/v1/users", bob).await.expect(201)["id"]);
    let club = format!("/v1/user_groups/{}/members", stage.club);
    let member = json!({"user_id": bob});
    admin.post(&club, member).await.expect(201);
    let soon = Clock::system().now() + TimeDelta::seconds(2);
    let ends = json!({"principal": group(&stage.team), "conditions": {"not_after": soon}});
    let begins = json!({
        "principal": group(&stage.club), "effect": "deny", "conditions": {"not_before": soon},
    });
    for grant in [ends, begins] {
        let grant = stage.grant(&grant);
        admin.post("/v1/grants", grant).await.expect(201);
    }
    for who in [&stage.user, &bob] {
        let wait = async {
            loop {
                if narrowed(&pool, who)
                    .await
                    .is_some_and(|until| until >= soon)
                {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
        assert!(waited.is_ok(), "{who}: {:?}", revoked(&pool).await);
    }
    controller.stop().await;
}
