//! What goes wrong: strangers, requests that cannot be understood, commands that fail.

use headworks_testkit::{Camera, Player, http};
use serde_json::{Value, json};

use super::run::Run;
use crate::scene::SOON;

/// Whoever knocks with something that is not good.
pub(super) fn strangers(run: &mut Run) {
    let wrong = run.make("what a stranger shows");
    for credential in [
        &*wrong,
        &format!("hwak_abc_{wrong}"),
        &format!("a.{wrong}.b"),
    ] {
        run.post_as(Some(credential), "/v1/users", &json!({}));
    }
    let camera = run.id("camera_id");
    for (path, token) in [
        ("index.m3u8", wrong.clone()),
        ("stream.flv", format!("eyJhbGciOiJub25lIn0.{wrong}.{wrong}")),
        (&*format!("s/{wrong}/video.m3u8"), String::new()),
    ] {
        let url = format!("{}/live/{camera}/{path}?token={token}", run.edge_http());
        run.seen
            .record(&http::get(&url).expect("answers"), "a stranger");
    }
    for url in run.play_urls(&camera, &wrong) {
        let mut player = Player::start(&url).expect("starts");
        player
            .wait_for(SOON, |seen| seen.ended)
            .expect("is refused");
    }
    let token = run.join_token();
    let (_, fingerprint) = token.split_once('.').expect("has a fingerprint");
    let mut edge = run.edge_with_token(&format!("hwjt_abc_{wrong}.{fingerprint}"));
    assert!(!edge.wait(SOON).expect("ends").success());
}

/// Bodies and queries with a secret as a value where it does not belong. Names are no secrets: which
/// one is unknown is told.
pub(super) fn malformed(run: &mut Run) {
    let it = run.make("what is malformed");
    let camera = run.id("camera_id");
    let restreams = format!("/v1/cameras/{camera}/restreams");
    let all = cameras(&it).into_iter().map(|body| ("/v1/cameras", body));
    let pushes = pushes(&it).into_iter().map(|body| (&*restreams, body));
    for (path, body) in all.chain(pushes).chain(others(&it, &camera)) {
        run.is_refused(&run.post(path, &body), path);
    }
    // Answered for each item.
    let items = json!({"cameras": cameras(&it)});
    run.post("/v1/cameras:bulk_create", &items);
    for body in [
        format!("{{\"name\": \"a\", \"credentials\": {{\"password\": \"{it}"),
        format!("{{\"name\": \"\\u{it}\"}}"),
        format!("{{\"name\": {it}}}"),
        format!("password={it}"),
        it.clone(),
    ] {
        run.post_raw("/v1/cameras", body.as_bytes());
    }
    for query in [
        "cameras?limit=",
        "cameras?page_token=",
        "cameras?labels=",
        "cameras?access_token=",
        "sessions?camera_id=",
        "audit?since=",
        "audit?result=",
        "access:explain?user=",
        "access:explain?address=",
    ] {
        run.is_refused(&run.get(&format!("/v1/{query}{it}")), query);
    }
}

fn cameras(it: &str) -> [Value; 8] {
    let url = |url: String| json!({"name": "a", "source": {"type": "pull", "url": url}});
    let published = json!({"type": "publish"});
    [
        json!({"name": "a", "source": it}),
        json!({"name": "a", "source": {"type": it}}),
        url(format!("rtsp://admin:{it}@127.0.0.1:99999/")),
        url(format!("rtsp://admin:{it}@127.0.0.1/")),
        json!({"name": "a", "source": published, "start": it}),
        json!({"name": "a", "source": published, "credentials": it}),
        json!({"credentials": {"username": "a", "password": [it]}}),
        json!({"name": "a", "source": published, "labels": {"password": [it]}}),
    ]
}

fn pushes(it: &str) -> [Value; 5] {
    let to = |url: &str, more: Value| {
        let mut body = json!({"name": "a", "url": url});
        let (body_fields, more) = (body.as_object_mut(), more.as_object());
        body_fields
            .expect("is one")
            .extend(more.expect("is one").clone());
        body
    };
    let good = "rtmp://a/b/c";
    [
        to(it, json!({})),
        to(&format!("rtmp://a:{it}@b/c/d"), json!({})),
        to(good, json!({"stream_key": [it]})),
        to(good, json!({"signing": {"type": "query", "query": [it]}})),
        to(good, json!({"signing": {"type": "tencent", "hash": it}})),
    ]
}

fn others(it: &str, camera: &str) -> Vec<(&'static str, Value)> {
    let import = |url: String| json!({"cameras": [], "target": {"name": "a", "url": url}});
    let of = |path, bodies: Vec<Value>| bodies.into_iter().map(move |body| (path, body));
    let users = vec![
        json!({"name": "a", "password": {"text": it}}),
        json!({"name": "a", "email": it, "password": it}),
    ];
    let sign_ins = vec![
        json!({"email": it, "password": it}),
        json!({"email": ["ann", it], "password": it}),
    ];
    let keys = vec![
        json!({"name": "a", "scopes": [it]}),
        json!({"name": "a", "expires_at": it}),
    ];
    let tokens = vec![
        json!({"camera_ids": [it]}),
        json!({"camera_ids": [camera], "ip": it, "origin": it}),
    ];
    let imports = vec![
        json!({"cameras": it, "target": {"signing": it}}),
        import(format!("rtmp://a:{it}@b:99999/{{name}}")),
        import(format!("rtmp://a/{{{it}")),
    ];
    let refresh = json!({"refresh_token": {"token": it}});
    let pem = json!({"name": "a", "pem": it, "bounds": {"camera_ids": [camera]}});
    let role = json!({"name": "a", "actions": [it]});
    of("/v1/users", users)
        .chain(of("/v1/auth:sign_in", sign_ins))
        .chain(of("/v1/api_keys", keys))
        .chain(of("/v1/playback_tokens", tokens))
        .chain(of("/v1/restreams:import", imports))
        .chain(of("/v1/auth:refresh", vec![refresh]))
        .chain(of("/v1/playback_keys", vec![pem]))
        .chain(of("/v1/roles", vec![role]))
        .collect()
}

/// What an operator does, right and wrong.
pub(super) fn commands(run: &mut Run, camera: &Camera) {
    let password = run.secret_file(&camera.login().expect("has one").password.clone());
    let key = run.admin_key_file();
    let wrong = run.make("a wrong key");
    let wrong = run.secret_file(&format!("hwak_abc_{wrong}"));
    let named = format!(
        "rtsp://admin:{}@127.0.0.1/",
        run.make("a password in a URL")
    );
    let (camera_id, url) = (run.id("camera_id"), camera.url());
    let create = [
        "camera",
        "create",
        "--name",
        "by command",
        "--username",
        "admin",
    ];
    let login = ["--password-file", &*password, "--json"];
    run.command(&key, &[&create[..], &login, &["--url", &url]].concat());
    // Who types it there has told it to the machine already; we do not tell it on.
    run.command(&key, &[&create[..], &login, &["--url", &named]].concat());
    run.command(&key, &["camera", "list"]);
    run.command(&key, &["stream-key", "list", &camera_id]);
    run.command(&key, &["restream", "list", "--json"]);
    run.command(&key, &["user", "list", "--json"]);
    run.command(&key, &["api-key", "list", "--json"]);
    run.command(
        &key,
        &[
            "sign-in",
            "--email",
            "ann@example.com",
            "--password-file",
            &password,
        ],
    );
    run.command(&wrong, &["camera", "list"]);
}
