//! What goes right, or nearly, with secrets that count.

use std::net::TcpListener;

use headworks_testkit::{OidcProvider, Player, Publisher, RtmpServer, http};
use serde_json::json;

use super::run::{Run, text};
use crate::scene::SOON;

/// RFC 8410 §10.1.
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
";

/// A user with a password signs in, right and wrong, and uses a refresh token twice.
pub(super) fn people(run: &mut Run) {
    let (first, own) = (
        run.make("a first password"),
        run.make("a user's own password"),
    );
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
pub(super) fn from_a_provider(run: &mut Run) {
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
pub(super) fn nouns(run: &mut Run) {
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
pub(super) fn pushes(run: &mut Run, target: &RtmpServer) -> [(String, &'static str); 4] {
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
pub(super) fn viewers(run: &mut Run) -> Vec<Player> {
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
    run.seen
        .record(&media.expect("answers"), "a media playlist");
    led(run, text(&token["token"]));
    let urls = ["flv", "ts", "rtmp", "rtsp"].map(|name| text(&urls[name]).to_owned());
    let players = urls.iter().map(|url| Player::start(url).expect("starts"));
    players.collect()
}

/// The addresses that stay lead a viewer to an edge; where to is for him alone, as the token is.
fn led(run: &Run, token: &str) {
    let camera = run.id("camera_id");
    for path in [
        format!("/watch/{camera}"),
        format!("/live/{camera}/index.m3u8"),
    ] {
        let url = run.api(&format!("{path}?token={token}"));
        let answer = http::send("GET", &url, &[], b"").expect("answers");
        assert_eq!(answer.status, 307, "{path}");
    }
}

/// Publishers with a key that counts, and with one that does not.
pub(super) fn publishers(run: &mut Run, camera: &str) {
    let keys = format!("/v1/cameras/{camera}/stream_keys");
    let created = run.shown_once(&keys, &json!({"name": "encoder"}));
    let id = text(&created["stream_key"]["id"]).to_owned();
    run.ids.insert("stream_key_id", id);
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
