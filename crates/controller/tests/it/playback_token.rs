//! Playback tokens over HTTP: who gets one, and what it says.

use headworks_types::{Action, Jwks, PlaybackClaims, PlaybackToken, ProblemCode};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    edge_cluster::{Cluster, gate},
    harness::{Api, Controller, camera, on_camera, on_cluster, on_project, text},
};

pub(crate) const TOKENS: &str = "/v1/playback_tokens";

/// What a token says, if it is signed by the controller.
pub(crate) async fn verified(api: &Api, token: &PlaybackToken) -> PlaybackClaims {
    let jwks: Jwks = api
        .with_key(None)
        .get("/.well-known/jwks.json")
        .await
        .parse(200);
    let token = token.token.expose();
    let header = jsonwebtoken::decode_header(token).expect("has a header");
    assert_eq!(header.typ.as_deref(), Some("hwplay+jwt"));
    assert_eq!(header.alg, Algorithm::EdDSA);
    let kid = header.kid.expect("names its key");
    let key = jwks
        .keys
        .iter()
        .find(|key| key.kid == kid)
        .expect("is published");
    let mut rules = Validation::new(Algorithm::EdDSA);
    rules.set_audience(&["headworks-edge"]);
    let key = DecodingKey::from_ed_components(&key.x).expect("is a key");
    jsonwebtoken::decode(token, &key, &rules)
        .expect("is signed")
        .claims
}

pub(crate) async fn new_camera(api: &Api, name: &str) -> String {
    text(&api.post("/v1/cameras", camera(name)).await.expect(201)["id"])
}

async fn grant_to_user(api: &Api, user: &str, object: &Value, action: &str) {
    let body = json!({
        "principal": {"type": "user", "id": user}, "object": object, "actions": [action],
    });
    api.post("/v1/grants", body).await.expect(201);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_user_gets_what_was_granted_and_no_more(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let (gate, yard) = (new_camera(api, "gate").await, new_camera(api, "yard").await);
    let ann = text(
        &api.post("/v1/users", json!({"name": "Ann"}))
            .await
            .expect(201)["id"],
    );
    grant_to_user(api, &ann, &on_camera(&gate), "camera.view_live").await;
    grant_to_user(api, &ann, &on_camera(&yard), "camera.manage").await;
    let ask = |cameras: &[&str]| json!({"user_id": ann, "camera_ids": cameras});

    let token: PlaybackToken = api.post(TOKENS, ask(&[&gate])).await.parse(201);
    let claims = verified(api, &token).await;
    assert_eq!(claims.sub, ann);
    assert_eq!(claims.cams[0].to_string(), gate);
    assert_eq!(
        (claims.exp - claims.iat, claims.sxp),
        (300, None),
        "what is usual is not said"
    );
    assert_eq!(claims.exp, token.expires_at.timestamp());
    assert_eq!(claims.iat + 14_400, token.watch_until.timestamp());
    assert_eq!(claims.jti.as_ref(), Some(&token.token_id));
    assert!(token.cameras[0].urls.is_none(), "it is on no node");

    let refused = api.post(TOKENS, ask(&[&gate, &yard])).await;
    let detail = refused.problem(ProblemCode::Forbidden).detail;
    assert!(detail.expect("has words").contains(&yard));
    let nothing = "cam_00000000000000000000000000000000";
    api.post(TOKENS, ask(&[nothing]))
        .await
        .problem(ProblemCode::NotFound);

    grant_to_user(
        api,
        &ann,
        &on_project(&controller.default_project().await),
        "camera.view_live",
    )
    .await;
    api.post(TOKENS, ask(&[&gate, &yard])).await.expect(201);

    let path = format!("/v1/users/{ann}");
    api.patch(&path, json!({"enabled": false}))
        .await
        .expect(200);
    api.post(TOKENS, ask(&[&gate]))
        .await
        .problem(ProblemCode::Forbidden);
    api.delete(&path).await.expect(204);
    api.post(TOKENS, ask(&[&gate]))
        .await
        .problem(ProblemCode::NotFound);
    let issued = |event: &&Value| event["kind"] == "playback_token.issued";
    api.events(|events| events.iter().filter(issued).count() == 2)
        .await;
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_key_gets_what_it_may_watch_itself(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let (gate, yard) = (
        new_camera(admin, "gate").await,
        new_camera(admin, "yard").await,
    );
    let ask = |cameras: &[&str]| json!({"camera_ids": cameras});
    let viewer = controller
        .key(&[(on_camera(&gate), &["camera.view_live"])])
        .await;
    let token: PlaybackToken = viewer.post(TOKENS, ask(&[&gate])).await.parse(201);
    assert!(verified(admin, &token).await.sub.starts_with("key_"));
    viewer
        .post(TOKENS, ask(&[&gate, &yard]))
        .await
        .problem(ProblemCode::NotFound);
    // To manage a camera is to see it, not to watch it.
    let manager = controller
        .key(&[(on_camera(&gate), &["camera.manage"])])
        .await;
    manager
        .post(TOKENS, ask(&[&gate]))
        .await
        .problem(ProblemCode::Forbidden);
    // Nor does it allow to act for a user.
    let ann = text(
        &admin
            .post("/v1/users", json!({"name": "Ann"}))
            .await
            .expect(201)["id"],
    );
    let body = json!({"user_id": ann, "camera_ids": [gate]});
    viewer
        .post(TOKENS, body.clone())
        .await
        .problem(ProblemCode::Forbidden);
    let (_, stranger) = controller.project("theirs").await;
    stranger
        .post(TOKENS, body)
        .await
        .problem(ProblemCode::NotFound);
    stranger
        .post(TOKENS, ask(&[&gate]))
        .await
        .problem(ProblemCode::NotFound);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_token_is_for_one_project(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let (_, theirs) = controller.project("theirs").await;
    let (gate, yard) = (
        new_camera(api, "gate").await,
        new_camera(&theirs, "yard").await,
    );
    let body = json!({"camera_ids": [gate, yard]});
    let refused = api.post(TOKENS, body).await;
    assert_eq!(refused.pointers(ProblemCode::Invalid), ["/camera_ids/1"]);
    // A grant on the cluster reaches into every project.
    let bob = text(
        &theirs
            .post("/v1/users", json!({"name": "Bob"}))
            .await
            .expect(201)["id"],
    );
    let body = json!({"user_id": bob, "camera_ids": [gate]});
    api.post(TOKENS, body.clone())
        .await
        .problem(ProblemCode::NotFound);
    grant_to_user(api, &bob, &on_cluster(), "camera.view_live").await;
    api.post(TOKENS, body).await.expect(201);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_asked_for_has_limits(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let gate = new_camera(api, "gate").await;
    for (body, pointer) in [
        (json!({"camera_ids": []}), "/camera_ids"),
        (json!({"camera_ids": [gate, gate]}), "/camera_ids/1"),
        (
            json!({"camera_ids": [gate], "expires_in_seconds": 601}),
            "/expires_in_seconds",
        ),
        (
            json!({"camera_ids": [gate], "expires_in_seconds": 0}),
            "/expires_in_seconds",
        ),
        (
            json!({"camera_ids": [gate], "watch_seconds": 43_201}),
            "/watch_seconds",
        ),
        (
            json!({"camera_ids": [gate], "watch_seconds": 299}),
            "/watch_seconds",
        ),
    ] {
        let refused = api.post(TOKENS, body).await;
        assert_eq!(refused.pointers(ProblemCode::Invalid), [pointer]);
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_token_comes_with_the_places_to_use_it(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let (edge, _alive) = cluster.living_edge("edge-1").await;
    let gate = cluster.camera(gate()).await;
    let placed = |camera: &headworks_types::Camera| camera.status.node_id == Some(edge.id);
    cluster.camera_when(&gate, "it is placed", placed).await;
    let ask = serde_json::from_value(json!({"camera_ids": [gate.id]})).expect("parses");
    let token = cluster
        .admin
        .playback_token_issue(&ask)
        .await
        .expect("is issued");
    let place = &token.cameras[0];
    assert_eq!((place.camera_id, place.node_id), (gate.id, Some(edge.id)));
    let hls = place.urls.as_ref().expect("has URLs").hls.as_str();
    let expected = format!("http://edge-1:8081/live/{}/index.m3u8?token=", gate.id);
    assert_eq!(hls.strip_prefix(&expected), Some(token.token.expose()));

    // FFmpeg takes 1023 characters of a path, and cuts what stands behind the RTMP application
    // after 511: there stand the camera (36), `?token=` (7) and the token.
    let urls = place.urls.as_ref().expect("has URLs");
    let rtmp = urls.rtmp.as_ref().expect("the edge has RTMP").as_str();
    let stream = rtmp.strip_prefix("rtmp://edge-1:1935/live/");
    let stream = stream.expect("has the form").len();
    let length = token.token.expose().len();
    assert!(length <= 400, "{length}");
    assert_eq!(stream, 36 + 7 + length);
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_token_says_what_it_was_asked_to(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let gate = new_camera(api, "gate").await;
    let body = json!({
        "camera_ids": [gate], "viewer_id": "alice", "ip": "192.0.2.7", "max_sessions": 2,
        "origin": "https://shop.example", "watch_seconds": 3600,
        "actions": ["camera.view_live"],
    });
    let token: PlaybackToken = api.post(TOKENS, body).await.parse(201);
    let claims = verified(api, &token).await;
    assert_eq!(claims.vid.as_deref(), Some("alice"));
    assert_eq!(claims.ip.expect("has one").to_string(), "192.0.2.7/32");
    assert_eq!(claims.max, Some(2));
    assert_eq!(claims.org.as_deref(), Some("https://shop.example"));
    assert_eq!(claims.sxp, Some(claims.iat + 3600));
    let ann = api
        .post("/v1/users", json!({"name": "Ann"}))
        .await
        .expect(201);
    for (change, pointer) in [
        (
            json!({"viewer_id": "x", "user_id": ann["id"]}),
            "/viewer_id",
        ),
        (json!({"viewer_id": ""}), "/viewer_id"),
        (json!({"ip": "here"}), "/ip"),
        (json!({"origin": "https://a.example/x"}), "/origin"),
        (json!({"max_sessions": 0}), "/max_sessions"),
        (json!({"actions": []}), "/actions"),
        (json!({"actions": ["user.manage"]}), "/actions/0"),
    ] {
        let mut body = json!({"camera_ids": [gate]});
        for (name, value) in change.as_object().expect("an object") {
            body[name] = value.clone();
        }
        let refused = api.post(TOKENS, body).await;
        assert_eq!(refused.pointers(ProblemCode::Invalid), [pointer]);
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn nobody_issues_more_than_they_may_do_themselves(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let gate = new_camera(api, "gate").await;
    let ann = text(
        &api.post("/v1/users", json!({"name": "Ann"}))
            .await
            .expect(201)["id"],
    );
    grant_to_user(api, &ann, &on_camera(&gate), "camera.view_live").await;
    let project = on_project(&controller.default_project().await);
    let manager = controller.key(&[(project.clone(), &["user.manage"])]).await;
    let body = json!({"user_id": ann, "camera_ids": [gate]});
    let refused = manager.post(TOKENS, body.clone()).await;
    assert!(
        [403, 404].contains(&refused.status.as_u16()),
        "{}",
        refused.text
    );
    let both = controller
        .key(&[(project, &["user.manage", "camera.view_live"])])
        .await;
    both.post(TOKENS, body).await.expect(201);
    let asks_more = json!({"camera_ids": [gate], "actions": ["camera.manage"]});
    both.post(TOKENS, asks_more)
        .await
        .problem(ProblemCode::Forbidden);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn sound_is_in_a_token_if_everybody_may_hear_everything(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let (gate, yard) = (new_camera(api, "gate").await, new_camera(api, "yard").await);
    let ann = text(
        &api.post("/v1/users", json!({"name": "Ann"}))
            .await
            .expect(201)["id"],
    );
    let project = on_project(&controller.default_project().await);
    grant_to_user(api, &ann, &project, "camera.view_live").await;
    grant_to_user(api, &ann, &on_camera(&gate), "camera.view_audio").await;
    let see = [Action::CameraViewLive];
    let hear = [Action::CameraViewLive, Action::CameraViewAudio];
    let issued = async |api: &Api, body: Value| {
        let token: PlaybackToken = api.post(TOKENS, body).await.parse(201);
        verified(api, &token).await.act
    };
    let ask = |cameras: &[&str]| json!({"user_id": ann, "camera_ids": cameras});
    assert_eq!(issued(api, ask(&[&gate])).await, hear);
    assert_eq!(issued(api, ask(&[&yard])).await, see);
    assert_eq!(issued(api, ask(&[&gate, &yard])).await, see, "not of all");
    assert_eq!(issued(api, json!({"camera_ids": [gate, yard]})).await, hear);
    let silent = json!({"camera_ids": [gate], "actions": ["camera.view_live"]});
    assert_eq!(issued(api, silent).await, see, "as was asked for");

    // The issuer must hear, too.
    let may = &["user.manage", "camera.view_live"];
    let manager = controller.key(&[(project.clone(), may)]).await;
    assert_eq!(issued(&manager, ask(&[&gate])).await, see);
    let mut loud = ask(&[&gate]);
    loud["actions"] = json!(["camera.view_live", "camera.view_audio"]);
    let refused = manager.post(TOKENS, loud.clone()).await;
    refused.problem(ProblemCode::Forbidden);
    assert_eq!(issued(api, loud.clone()).await, hear);
    loud["camera_ids"] = json!([yard]);
    let refused = api.post(TOKENS, loud).await;
    let detail = refused.problem(ProblemCode::Forbidden).detail;
    let detail = detail.expect("has words");
    assert!(detail.contains("camera.view_audio"), "{detail}");
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_group_is_heard_where_nothing_below_is_denied(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let group = json!({"name": "site"});
    let group = text(&api.post("/v1/camera_groups", group).await.expect(201)["id"]);
    let mut below = camera("gate");
    below["group_id"] = json!(group);
    let gate = text(&api.post("/v1/cameras", below).await.expect(201)["id"]);
    let ann = text(
        &api.post("/v1/users", json!({"name": "Ann"}))
            .await
            .expect(201)["id"],
    );
    let project = on_project(&controller.default_project().await);
    for action in ["camera.view_live", "camera.view_audio"] {
        grant_to_user(api, &ann, &project, action).await;
    }
    let hears = async || {
        let ask = json!({"user_id": ann, "camera_group_ids": [group]});
        let token: PlaybackToken = api.post(TOKENS, ask).await.parse(201);
        let act = verified(api, &token).await.act;
        act.contains(&Action::CameraViewAudio)
    };
    assert!(hears().await);
    let deny = json!({"effect": "deny", "principal": {"type": "user", "id": ann},
        "object": on_camera(&gate), "actions": ["camera.view_audio"]});
    api.post("/v1/grants", deny).await.expect(201);
    assert!(!hears().await);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_issued_after_a_revocation_counts(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let gate = new_camera(api, "gate").await;
    let ann = text(
        &api.post("/v1/users", json!({"name": "Ann"}))
            .await
            .expect(201)["id"],
    );
    grant_to_user(api, &ann, &on_camera(&gate), "camera.view_live").await;
    let body = json!({"user_id": ann, "camera_ids": [gate]});
    let revoked = api
        .post(&format!("/v1/users/{ann}:revoke_sessions"), json!({}))
        .await;
    revoked.expect(200);
    let until = sqlx::query_scalar!("SELECT issued_before FROM revocation");
    let until = until.fetch_one(&pool).await.expect("is there");
    let token: PlaybackToken = api.post(TOKENS, body).await.parse(201);
    let claims = verified(api, &token).await;
    assert!(
        claims.iat > until.timestamp(),
        "not refused with the second it is of"
    );
    assert!(claims.iat <= until.timestamp() + 2, "nor far in the future");
    controller.stop().await;
}

/// A grant to watch, from one network only.
async fn grant_from(api: &Api, principal: Value, camera: &str, effect: &str, network: &str) {
    let body = json!({
        "principal": principal, "object": on_camera(camera), "actions": ["camera.view_live"],
        "effect": effect, "conditions": {"networks": [network]},
    });
    api.post("/v1/grants", body).await.expect(201);
}

#[sqlx::test(migrations = "../../migrations")]
async fn networks_of_a_grant_are_those_of_the_viewer(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let gate = new_camera(api, "gate").await;
    let bob = json!({"name": "Bob"});
    let bob = text(&api.post("/v1/users", bob).await.expect(201)["id"]);
    let principal = json!({"type": "user", "id": bob});
    grant_from(api, principal.clone(), &gate, "allow", "10.0.0.0/8").await;
    let ask = |ip: Value| json!({"user_id": bob, "camera_ids": [gate], "ip": ip});
    // From where Bob will watch nobody knows, and it may be from anywhere.
    for ip in [
        json!(null),
        json!("192.0.2.7"),
        json!("10.0.0.0/7"),
        json!("0.0.0.0/0"),
    ] {
        let refused = api.post(TOKENS, ask(ip)).await;
        refused.problem(ProblemCode::Forbidden);
    }
    for ip in ["10.1.2.3/32", "10.1.0.0/16", "10.0.0.0/8"] {
        let token: PlaybackToken = api.post(TOKENS, ask(json!(ip))).await.parse(201);
        let bound = verified(api, &token).await.ip.expect("is bound");
        assert_eq!(bound.to_string(), ip);
    }
    // Denied in some of it is denied.
    grant_from(api, principal, &gate, "deny", "10.1.0.0/16").await;
    for (ip, status) in [("10.0.0.0/8", 403), ("10.1.2.3", 403), ("10.2.0.0/16", 201)] {
        let answer = api.post(TOKENS, ask(json!(ip))).await;
        assert_eq!(answer.status, status, "{ip}: {}", answer.text);
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_program_is_not_where_its_viewers_are(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let gate = new_camera(api, "gate").await;
    let program = controller.key(&[]).await;
    let principal = json!({"type": "api_key", "id": controller.key_id(&program).await});
    grant_from(api, principal, &gate, "allow", "127.0.0.0/8").await;
    let ask = |ip: Value| json!({"viewer_id": "ann", "camera_ids": [gate], "ip": ip});
    for ip in [json!(null), json!("192.0.2.7")] {
        let refused = program.post(TOKENS, ask(ip)).await;
        refused.problem(ProblemCode::Forbidden);
    }
    program
        .post(TOKENS, ask(json!("127.0.0.9")))
        .await
        .expect(201);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn who_may_watch_here_only_gets_a_token_for_here_only(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let (gate, yard) = (new_camera(api, "gate").await, new_camera(api, "yard").await);
    let free = [(on_camera(&yard), &["camera.view_live"][..])];
    let ann = controller.person("ann@example.com", &free).await;
    let principal = json!({"type": "user", "id": ann.id});
    grant_from(api, principal, &gate, "allow", "127.0.0.0/8").await;
    let get = async |cameras: Value| {
        let token = ann.api.post(TOKENS, json!({"camera_ids": cameras})).await;
        verified(api, &token.parse::<PlaybackToken>(201)).await.ip
    };
    let bound = get(json!([gate, yard])).await.expect("is bound");
    assert_eq!(bound.to_string(), "127.0.0.1/32");
    assert_eq!(get(json!([yard])).await, None, "that is allowed everywhere");
    let elsewhere = json!({"camera_ids": [gate], "ip": "192.0.2.7"});
    let refused = ann.api.post(TOKENS, elsewhere).await;
    refused.problem(ProblemCode::Forbidden);
    controller.stop().await;
}

/// No token need exist to be revoked, and every edge has all that are.
#[sqlx::test(migrations = "../../migrations")]
async fn a_project_revokes_only_so_many_tokens(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let revoke = async |token: &str| {
        let body = json!({"token_id": token});
        api.post("/v1/playback_tokens:revoke", body).await
    };
    let project = revoke("token-1").await.expect(200)["project_id"].clone();
    let project: headworks_types::ProjectId = text(&project).parse().expect("is a project");
    sqlx::query!(
        "INSERT INTO revocation (kind, value, project_id, ends_sessions, issued_before, expires_at)
         SELECT 'token', 'token-' || n, $1, true, clock_timestamp(),
                clock_timestamp() + interval '1 hour'
         FROM generate_series(2, 2000) AS n",
        project.uuid()
    )
    .execute(&pool)
    .await
    .expect("inserts");
    revoke("one-more").await.problem(ProblemCode::Conflict);
    revoke("token-1").await.expect(200);
    sqlx::query!("UPDATE revocation SET expires_at = clock_timestamp() WHERE value = 'token-2'")
        .execute(&pool)
        .await
        .expect("expires");
    revoke("one-more").await.expect(200);
    controller.stop().await;
}
