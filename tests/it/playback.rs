//! No token, no picture.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use headworks_testkit::http;
use headworks_types::{
    Action, CameraId, Grant, GrantCreate, GrantObject, PlaybackTokenCreate, Principal, ProblemCode,
    User, UserCreate,
};
use serde_json::{Value, json};

use crate::scene::{Api, Scene, camera};

fn user(api: &Api, camera: CameraId) -> (User, Grant) {
    let user = api.call(api.client.user_create(&UserCreate {
        name: "alice".to_owned(),
        external_id: None,
        labels: Default::default(),
        email: None,
        password: None,
        max_sessions: None,
    }));
    let grant = api.call(api.client.grant_create(&GrantCreate::allow(
        Principal::User { id: user.id },
        GrantObject::Camera { id: camera },
        vec![Action::CameraViewLive],
    )));
    (user, grant)
}

fn token_for(user: &User, camera: CameraId) -> PlaybackTokenCreate {
    PlaybackTokenCreate {
        user_id: Some(user.id),
        expires_in_seconds: 600,
        watch_seconds: 3600,
        ..PlaybackTokenCreate::for_cameras(vec![camera])
    }
}

/// The refusal of `GET url`: its status, and what the problem says.
fn refusal(url: &str) -> (u16, Value) {
    let answer = http::send("GET", url, &[], b"").expect("answers");
    assert!(answer.status >= 400, "{} for {url}", answer.status);
    let answer = answer.read().expect("ends");
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    (answer.status, answer.json().expect("is JSON"))
}

#[test]
fn every_door_asks_for_a_token_that_fits() {
    let (gate, yard) = (camera(), camera());
    let up = Scene::up();
    let (gate_id, yard_id) = (up.api.add_live(&gate), up.api.add_live(&yard));
    let (alice, _grant) = user(&up.api, gate_id);
    let issued = up.api.call(
        up.api
            .client
            .playback_token_issue(&token_for(&alice, gate_id)),
    );
    let token = issued.token.expose().to_owned();
    let error = up
        .api
        .attempt(
            up.api
                .client
                .playback_token_issue(&token_for(&alice, yard_id)),
        )
        .expect_err("she has no grant on it");
    assert_eq!(error.code(), Some(ProblemCode::Forbidden), "{error}");

    let parts: Vec<&str> = token.split('.').collect();
    let decoded = URL_SAFE_NO_PAD.decode(parts[1]).expect("is base64");
    let mut claims: Value = serde_json::from_slice(&decoded).expect("is JSON");
    claims["cams"] = json!([yard_id]);
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let more_cameras = format!("{}.{}.{}", parts[0], encode(&claims), parts[2]);
    let none = json!({"alg": "none", "typ": "hwplay+jwt"});
    let unsigned = format!("{}.{}.", encode(&none), parts[1]);

    for file in ["watch", "index.m3u8", "stream.flv"] {
        let url = |camera: CameraId, token: &str| {
            format!("{}/live/{camera}/{file}?token={token}", up.headworks.http())
        };
        let bare = url(gate_id, "").replace("?token=", "");
        assert_eq!(refusal(&bare).0, 401, "no token, {file}");
        for (why, token) in [
            ("empty", ""),
            ("nonsense", "a.b.c"),
            ("an API key", up.headworks.admin_key().expect("has one")),
            ("no signature", &*unsigned),
            ("more cameras", &*more_cameras),
        ] {
            assert_eq!(refusal(&url(gate_id, token)).0, 401, "{why}, {file}");
            assert_eq!(refusal(&url(yard_id, token)).0, 401, "{why}, {file}");
        }
        let (status, problem) = refusal(&url(yard_id, &token));
        assert_eq!((status, problem["code"].as_str()), (403, Some("forbidden")));
        let answer = http::send("GET", &url(gate_id, &token), &[], b"").expect("answers");
        assert_eq!(answer.status, 200, "{file}");
    }
}

#[test]
fn segments_are_guarded_without_the_token_in_their_urls() {
    let (gate, yard) = (camera(), camera());
    let up = Scene::up();
    let (gate_id, yard_id) = (up.api.add_live(&gate), up.api.add_live(&yard));
    let urls = up.api.urls(gate_id);
    let text = |url: &str| {
        let answer = http::get(url).and_then(http::Answer::ok).expect("is there");
        String::from_utf8(answer.body).expect("is text")
    };
    let children = |playlist: &str| -> Vec<String> {
        let uris = playlist
            .split("URI=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next());
        let lines = playlist
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty());
        uris.chain(lines).map(str::to_owned).collect()
    };
    let base = format!("{}/live/{gate_id}", up.headworks.http());
    let main = text(urls.hls.as_str());
    let media = children(&main).pop().expect("has a child");
    assert!(media.starts_with("s/") && !main.contains("token"), "{main}");
    let media = format!("{base}/{media}");
    let playlist = text(&media);
    let parts = children(&playlist);
    assert!(
        parts.len() >= 2 && !playlist.contains("token"),
        "{playlist}"
    );
    for part in parts {
        let url = format!("{}/{part}", media.rsplit_once('/').expect("has a path").0);
        assert_eq!(http::get(&url).expect("answers").status, 200, "{url}");
        // The ticket is good for this camera, and nobody else's is good for it.
        let other = url.replace(&gate_id.to_string(), &yard_id.to_string());
        let (status, _) = refusal(&other);
        assert!(matches!(status, 401 | 403), "{status} for {other}");
        let (before, after) = url.split_once("/s/").expect("has a ticket");
        let (ticket, file) = after.split_once('/').expect("has a file");
        let forged: String = ticket.chars().rev().collect();
        assert_eq!(refusal(&format!("{before}/s/{forged}/{file}")).0, 401);
    }
}

#[test]
fn answers_do_not_leak_tokens() {
    let gate = camera();
    let up = Scene::up();
    let urls = up.api.urls(up.api.add_live(&gate));
    for url in [&urls.page, &urls.hls, &urls.flv] {
        let answer = http::send("GET", url.as_str(), &[], b"").expect("answers");
        let header = |name: &str| {
            let mut headers = answer.headers.iter();
            headers
                .find(|(n, _)| n == name)
                .map(|(_, value)| value.as_str())
        };
        assert_eq!(header("referrer-policy"), Some("no-referrer"), "{url}");
        assert_eq!(header("cache-control"), Some("no-store"), "{url}");
    }
    let token = urls.hls.query().expect("has one").to_owned();
    let log = up.headworks.log();
    assert!(!log.contains(&token) && !log.contains("p@ss"), "{log}");
}
