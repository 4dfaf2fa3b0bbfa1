//! Nothing secret is told to who must not know it: not in logs, traces, errors, answers, arguments
//! of processes, or in the clear in the database.
//!
//! Every secret that a user can give or gets is a canary. When everything has been done with them
//! that goes right and that goes wrong, all that can be seen from outside is searched for them. The
//! only exception is the answer that shows a secret once.

mod canary;
mod collector;
mod run;

use std::{fs, net::TcpListener};

use headworks_testkit::{Headworks, Launch, OidcProvider, Player, Publisher, RtmpServer, http};
use serde_json::{Value, json};

use crate::scene::SOON;
use canary::Canaries;
use run::{FIRST_PASSWORD, OWN_PASSWORD, Run};

/// RFC 8410 §10.1.
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
";

#[test]
fn no_secret_is_told() {
    let mut run = Run::start();
    let target = RtmpServer::start().expect("starts");
    let gate = run.camera();
    let door = run.published_camera();
    people(&mut run);
    from_a_provider(&mut run);
    nouns(&mut run);
    let pushes = pushes(&mut run, &target);
    let mut players = viewers(&mut run);
    publishers(&mut run, &door);
    strangers(&mut run);
    malformed(&mut run);
    commands(&mut run, &gate);
    for player in &mut players {
        player.wait_for_pictures(3, SOON).expect("plays");
    }
    run.wait_for_session();
    for (push, state) in pushes {
        run.wait_for_push(&push, state);
    }
    assert!(run.cmdlines().contains("libx264"), "an encoder runs");
    run.look_at_everything();
    run.end();
    let found = run.found();
    assert!(
        found.is_empty(),
        "{} leaks:\n{}",
        found.len(),
        found.join("\n")
    );
}

/// A user with a password signs in, right and wrong, and uses a refresh token twice.
fn people(run: &mut Run) {
    let (first, own) = (run.make(FIRST_PASSWORD), run.make(OWN_PASSWORD));
    let user = json!({"name": "Ann", "email": "ann@example.com", "password": first});
    run.create("user_id", "/v1/users", &user);
    let sign_in = |password: &str| json!({"email": "ann@example.com", "password": password});
    run.post("/v1/auth:sign_in", &sign_in(&first));
    let wrong = run.make("a wrong password");
    run.post("/v1/auth:sign_in", &sign_in(&wrong));
    let mut change = sign_in(&first);
    change["new_password"] = json!(own);
    let tokens = run.shown_once("/v1/auth:sign_in", &change);
    run.know_tokens(&tokens);
    let ask = json!({"refresh_token": tokens["refresh_token"]});
    let next = run.shown_once("/v1/auth:refresh", &ask);
    run.know_tokens(&next);
    run.post("/v1/auth:refresh", &ask);
    run.post_as(
        next["access_token"].as_str(),
        "/v1/users",
        &json!({"name": "Bob"}),
    );
}

/// Somebody comes from an OpenID provider; somebody else brings a code that is none.
fn from_a_provider(run: &mut Run) {
    const BACK: &str = "http://127.0.0.1:9/signed-in";
    let provider = OidcProvider::start(BACK).expect("starts");
    run.know("the OIDC client secret", OidcProvider::SECRET);
    run.know("the OIDC client secret", "a+secret%3A+of+100%25");
    let project = run.get("/v1/projects")["items"][0]["id"].clone();
    run.restart_with(&format!(
        "[controller.oidc.corp]\nissuer = \"{}\"\nclient_id = \"{}\"\nclient_secret = \"{}\"\n\
         project_id = {project}\nredirect_uris = [\"{BACK}\"]\ncreate_users = true\n",
        provider.issuer(),
        OidcProvider::CLIENT,
        OidcProvider::SECRET,
    ));
    let mut begin = || {
        let begun = run.shown_once("/v1/auth/oidc/corp:begin", &json!({"redirect_uri": BACK}));
        run.know("a state", text(&begun["state"]));
        begun
    };
    let (good, bad) = (begin(), begin());
    let url = text(&good["authorization_url"]);
    let returned = provider.visit(url, "ben").expect("comes back");
    let returned: url::Url = returned.parse().expect("is a URL");
    let code = returned.query_pairs().find(|(name, _)| name == "code");
    let code = code.expect("has a code").1.into_owned();
    run.know("a code", &code);
    let complete = json!({"state": good["state"], "code": code});
    let tokens = run.shown_once("/v1/auth/oidc/corp:complete", &complete);
    run.know_tokens(&tokens);
    run.post("/v1/auth/oidc/corp:complete", &complete);
    let wrong = run.make("a wrong code");
    let complete = json!({"state": bad["state"], "code": wrong});
    run.post("/v1/auth/oidc/corp:complete", &complete);
    let begun = run.shown_once("/v1/auth/oidc/corp:begin", &json!({"redirect_uri": BACK}));
    run.know("a state", text(&begun["state"]));
    drop(provider);
    let complete = json!({"state": begun["state"], "code": wrong});
    run.post("/v1/auth/oidc/corp:complete", &complete);
}

/// One of everything else, so that there is something to look at.
fn nouns(run: &mut Run) {
    let key = json!({"name": "program"});
    let key = run.created_once("api_key_id", "/v1/api_keys", "api_key", &key);
    run.know_key("an API key", text(&key["secret"]));
    run.create(
        "camera_group_id",
        "/v1/camera_groups",
        &json!({"name": "site"}),
    );
    run.create(
        "user_group_id",
        "/v1/user_groups",
        &json!({"name": "night"}),
    );
    let role = json!({"name": "watcher", "actions": ["camera.view_live"]});
    run.create("role_id", "/v1/roles", &role);
    let grant = json!({
        "principal": {"type": "user", "id": run.id("user_id")},
        "object": {"type": "camera", "id": run.id("camera_id")},
        "actions": ["camera.view_live"],
    });
    run.create("grant_id", "/v1/grants", &grant);
    let key =
        json!({"name": "shop", "pem": PUBLIC_KEY, "bounds": {"camera_ids": [run.id("camera_id")]}});
    run.create("playback_key_id", "/v1/playback_keys", &key);
    run.post("/v1/signing_keys:rotate", &json!({}));
}

/// A push that goes, through an encoder, and pushes that fail in several ways.
fn pushes(run: &mut Run, target: &RtmpServer) -> [(String, &'static str); 4] {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        listener.local_addr().expect("has one")
    };
    let key = run.make("a target's stream key");
    let good = json!({
        "name": "good", "url": target.url("live", ""), "stream_key": key,
        "video": {"type": "h264", "preset": "ultrafast", "bitrate_kbit": 300, "gop": 15},
    });
    let signed = json!({
        "name": "signed", "url": format!("rtmp://{closed}/live/a"),
        "signing": {"type": "query", "query": format!("token={}", run.make("a signed query"))},
    });
    let refused = json!({
        "name": "refused", "url": target.url("nothing", "a"),
        "signing": {"type": "alibaba", "primary_key": &run.make("an Alibaba key")[..32]},
    });
    let login = json!({
        "name": "login", "url": format!("rtsp://{closed}/in"),
        "credentials": {"username": "me", "password": run.make("a target's password")},
    });
    let good = run.push(&good);
    run.ids.insert("restream_id", good.clone());
    [
        (good, "live"),
        (run.push(&signed), "failed"),
        (run.push(&refused), "failed"),
        (run.push(&login), "failed"),
    ]
}

/// A token opens what it can, by every protocol; a ticket is in the playlist.
fn viewers(run: &mut Run) -> Vec<Player> {
    let ask = json!({"camera_ids": [run.id("camera_id")], "user_id": run.id("user_id")});
    let token = run.shown_once("/v1/playback_tokens", &ask);
    run.know_token("a playback token", text(&token["token"]));
    let urls = &token["cameras"][0]["urls"];
    run.urls = urls.clone();
    let hls = http::get(text(&urls["hls"]))
        .and_then(http::Answer::ok)
        .expect("opens");
    let playlist = String::from_utf8(hls.body).expect("is text");
    let child = playlist
        .lines()
        .find(|line| line.starts_with("s/"))
        .expect("has a child");
    let ticket = child.split('/').nth(1).expect("has a ticket");
    run.know("a ticket", ticket);
    let (base, _) = text(&urls["hls"])
        .split_once("index")
        .expect("is a playlist");
    let media = http::get(&format!("{base}{child}")).and_then(http::Answer::ok);
    // The ticket stands in no answer but the first.
    run.record(&media.expect("answers"), "a media playlist");
    let urls = ["flv", "ts", "rtmp", "rtsp"].map(|name| text(&urls[name]).to_owned());
    let players = urls.iter().map(|url| Player::start(url).expect("starts"));
    players.collect()
}

/// Publishers with a key that counts, and with one that does not.
fn publishers(run: &mut Run, camera: &str) {
    let keys = format!("/v1/cameras/{camera}/stream_keys");
    let created = run.shown_once(&keys, &json!({"name": "encoder"}));
    let key = text(&created["secret"]);
    run.know_key("a stream key", key);
    let urls = &created["publish_urls"];
    for url in [text(&urls["rtmp"]["url"]), text(&urls["rtsp"])] {
        let publisher = Publisher::start(url).expect("starts");
        let (rest, secret) = key.rsplit_once('_').expect("has a secret");
        let wrong = url.replace(secret, &run.make("a wrong stream key"));
        assert!(wrong.contains(rest), "{wrong}");
        let mut stranger = Publisher::start(&wrong).expect("starts");
        stranger.wait_for_end(SOON).expect("is refused");
        run.wait_for_camera(camera, "live");
        publisher.stop(SOON).expect("stops");
        run.wait_for_camera(camera, "idle");
    }
}

/// Whoever knocks with something that is not good.
fn strangers(run: &mut Run) {
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
        run.record(&http::get(&url).expect("answers"), "a stranger");
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
fn malformed(run: &mut Run) {
    let it = run.make("what is malformed");
    let url = format!("rtsp://admin:{it}@127.0.0.1:99999/");
    let named = format!("rtsp://admin:{it}@127.0.0.1/");
    let bodies = [
        ("/v1/cameras", json!({"name": "a", "source": it})),
        ("/v1/cameras", json!({"name": "a", "source": {"type": it}})),
        (
            "/v1/cameras",
            json!({"name": "a", "source": {"type": "pull", "url": url}}),
        ),
        (
            "/v1/cameras",
            json!({"name": "a", "source": {"type": "pull", "url": named}}),
        ),
        (
            "/v1/cameras",
            json!({"name": "a", "source": {"type": "publish"}, "start": it}),
        ),
        (
            "/v1/cameras",
            json!({"name": "a", "source": {"type": "publish"}, "credentials": it}),
        ),
        (
            "/v1/cameras",
            json!({"credentials": {"username": "a", "password": [it]}}),
        ),
        (
            "/v1/cameras",
            json!({"name": "a", "labels": {"password": [it]}}),
        ),
        (
            "/v1/cameras:bulk_create",
            json!({"cameras": [{"name": {"a": it}}, it]}),
        ),
        ("/v1/users", json!({"name": "a", "password": {"text": it}})),
        (
            "/v1/users",
            json!({"name": "a", "email": it, "password": it}),
        ),
        ("/v1/auth:sign_in", json!({"email": it, "password": it})),
        (
            "/v1/auth:sign_in",
            json!({"email": ["ann", it], "password": it}),
        ),
        ("/v1/auth:refresh", json!({"refresh_token": {"token": it}})),
        ("/v1/api_keys", json!({"name": "a", "scopes": [it]})),
        ("/v1/api_keys", json!({"name": "a", "expires_at": it})),
        ("/v1/playback_tokens", json!({"camera_ids": [it]})),
        (
            "/v1/playback_tokens",
            json!({"camera_ids": [run.id("camera_id")], "ip": it, "origin": it}),
        ),
        (
            "/v1/playback_keys",
            json!({"name": "a", "pem": it, "bounds": {}}),
        ),
        (
            "/v1/restreams:import",
            json!({"cameras": it, "target": {"signing": it}}),
        ),
        (
            "/v1/restreams:import",
            json!({"cameras": [], "target": {"name": "a", "url": format!("rtmp://a:{it}@b:99999/{{name}}")}}),
        ),
        (
            "/v1/restreams:import",
            json!({"cameras": [], "target": {"name": "a", "url": format!("rtmp://a/{{{it}")}}),
        ),
        ("/v1/roles", json!({"name": "a", "actions": [it]})),
    ];
    for (path, body) in &bodies {
        run.is_refused(&run.post(path, body), path);
    }
    let restreams = format!("/v1/cameras/{}/restreams", run.id("camera_id"));
    for body in [
        json!({"name": "a", "url": it}),
        json!({"name": "a", "url": named}),
        json!({"name": "a", "url": "rtmp://a/b/c", "stream_key": [it]}),
        json!({"name": "a", "url": "rtmp://a/b/c", "signing": {"type": "query", "query": [it]}}),
        json!({"name": "a", "url": "rtmp://a/b/c", "signing": {"type": "tencent", "hash": it}}),
    ] {
        run.is_refused(&run.post(&restreams, &body), &restreams);
    }
    for body in [
        format!("{{\"name\": \"a\", \"credentials\": {{\"password\": \"{it}"),
        format!("{{\"name\": \"\\u{it}\"}}"),
        format!("{it}"),
        format!("{{\"name\": {it}}}"),
        format!("password={it}"),
    ] {
        run.post_raw("/v1/cameras", body.as_bytes());
    }
    for query in [
        format!("cameras?limit={it}"),
        format!("cameras?page_token={it}"),
        format!("cameras?labels={it}"),
        format!("cameras?state={it}"),
        format!("cameras?access_token={it}"),
        format!("sessions?camera_id={it}"),
        format!("audit?since={it}"),
        format!("audit?result={it}"),
        format!("access:explain?user={it}"),
        format!("access:explain?address={it}"),
    ] {
        run.is_refused(&run.get(&format!("/v1/{query}")), &query);
    }
}

/// What an operator does, right and wrong.
fn commands(run: &mut Run, camera: &headworks_testkit::Camera) {
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

/// Configurations that are wrong, with secrets in or beside what is wrong.
#[test]
fn a_wrong_configuration_is_told_without_its_secrets() {
    let mut canaries = Canaries::default();
    let it = canaries.make("a secret of the configuration");
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("headworks.toml");
    let log = directory.path().join("log");
    let launch = || Launch::default().log(&log);
    let nowhere = format!("postgres://me:{it}@127.0.0.1:1/a");
    let database = |url: &str| {
        launch()
            .env("HEADWORKS__CONTROLLER__MASTER_KEY", &it)
            .env("HEADWORKS__CONTROLLER__DATABASE_URL", url)
            .env("HEADWORKS__CONTROLLER__DATABASE_WAIT", "100ms")
    };
    let files = [
        format!("[controller]\nmaster_key = \"{it}\n"),
        format!("[controller]\nmaster_key = {it}\n"),
        format!("[controller]\nmaster_key = [\"{it}\"]\n"),
        format!("[controller]\ndatabase_url = {{ password = \"{it}\" }}\n"),
        format!("[controller]\nlisten = \"{it}\"\ndatabase_wait = \"{it}\"\n"),
        format!("[controller]\n\"master_key\" \"{it}\"\n"),
        format!("[controller.oidc.corp]\nclient_secret = \"{it}\"\nissuer = 1\n"),
    ];
    let starts = files.into_iter().map(|file| (file, launch())).chain([
        (String::new(), database(&nowhere)),
        (String::new(), database(&format!("postgres://{it}:port/"))),
        (String::new(), database(&it)),
    ]);
    for (file, launch) in starts {
        fs::write(&config, &file).expect("writes");
        let arguments = [
            "controller".into(),
            "--config".into(),
            config.clone().into(),
        ];
        let mut controller = Headworks::run(&arguments, &launch).expect("runs");
        let status = controller.wait(SOON).expect("ends");
        assert_eq!(status.code(), Some(1), "{file}: {}", controller.log());
        assert!(!controller.log().is_empty(), "it says why: {file}");
    }
    fs::remove_file(&config).expect("is removed");
    let found = canaries.found_in(directory.path());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is a text"))
}
