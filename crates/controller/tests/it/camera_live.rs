//! Addresses that lead players to the best edge: where they lead, and who is let through.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use headworks_bootstrap::Clock;
use headworks_types::{
    CameraUpdate, PlaybackClaims, PlaybackKeyCreate, PlaybackTokenRevoke, Problem, ProblemCode,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Method, Response, redirect::Policy};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::camera_playback::World;

async fn ask(world: &World, path: &str, headers: &[(&str, &str)]) -> Response {
    let http = reqwest::Client::builder().redirect(Policy::none());
    let http = http.build().expect("makes a client");
    let url = world.cluster.base.join(path).expect("is a URL");
    let mut request = http.request(Method::GET, url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("is answered")
}

/// Where it leads.
#[track_caller]
fn location(answer: &Response) -> &str {
    assert_eq!(answer.status(), 307);
    answer.headers()["location"].to_str().expect("is text")
}

async fn problem(answer: Response) -> Problem {
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    answer.json().await.expect("is a problem")
}

#[sqlx::test(migrations = "../../migrations")]
async fn players_are_led_to_the_best_edge(pool: PgPool) {
    let world = Box::pin(World::new(&pool)).await;
    let id = world.gate.id;
    let playback = world.playback(json!({})).await;
    let (best, token) = (&playback.edges[0].name, playback.token.expose());
    for (path, file) in [
        (format!("/watch/{id}"), "watch"),
        (format!("/live/{id}/watch"), "watch"),
        (format!("/live/{id}/index.m3u8"), "index.m3u8"),
        (format!("/live/{id}/stream.flv"), "stream.flv"),
        (format!("/live/{id}/stream.ts"), "stream.ts"),
    ] {
        let answer = ask(&world, &format!("{path}?token={token}"), &[]).await;
        let expected = format!("http://{best}:8081/live/{id}/{file}?token={token}");
        assert_eq!(location(&answer), expected);
        let headers = answer.headers();
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["referrer-policy"], "no-referrer");
        assert_eq!(headers["access-control-allow-origin"], "*");
    }
    let hls = format!("/live/{id}/index.m3u8");
    let paris = format!("http://edge-3:8081{hls}?token={token}");
    let asked = format!("{hls}?_HLS_msn=3&zone=paris&token={token}&a=%26b");
    let answer = ask(&world, &asked, &[]).await;
    assert_eq!(location(&answer), format!("{paris}&_HLS_msn=3&a=%26b"));
    // By the viewer's address, which the proxy tells.
    let proxied = ("x-forwarded-for", "10.2.0.7");
    let answer = ask(&world, &format!("{hls}?token={token}"), &[proxied]).await;
    assert_eq!(location(&answer), paris);
    // Redirects lose headers, so the token moves into the address.
    let bearer = format!("Bearer {token}");
    let headers = [proxied, ("authorization", &*bearer)];
    assert_eq!(location(&ask(&world, &hls, &headers).await), paris);
    let answer = ask(&world, &format!("/live/{id}/other?token={token}"), &[]).await;
    assert_eq!(answer.status(), 404);
    world.cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn who_may_watch_is_told_why_there_is_nothing(pool: PgPool) {
    let world = Box::pin(World::new(&pool)).await;
    let playback = world.playback(json!({})).await;
    let path = format!("/watch/{}?token={}", world.gate.id, playback.token.expose());
    let off = CameraUpdate {
        enabled: Some(false),
        ..CameraUpdate::default()
    };
    let changed = world.cluster.admin.camera_update(world.gate.id, &off).await;
    changed.expect("is changed");
    let told = problem(ask(&world, &path, &[]).await).await;
    assert_eq!(told.code, ProblemCode::Conflict);
    world.cluster.stop().await;
}

/// A customer who signs tokens.
struct Customer {
    kid: String,
    key: EncodingKey,
}

impl Customer {
    /// With a key that is registered with these bounds.
    async fn new(world: &World, bounds: Value) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("makes a key");
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("is a key");
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let new = json!({
            "name": "shop", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": x}, "bounds": bounds,
        });
        let new: PlaybackKeyCreate = serde_json::from_value(new).expect("parses");
        let made = world.cluster.admin.playback_key_create(&new).await;
        Self {
            kid: made.expect("is made").id.to_string(),
            key: EncodingKey::from_ed_der(document.as_ref()),
        }
    }

    fn sign(&self, claims: &impl serde::Serialize) -> String {
        self.sign_as("hwplay+jwt", claims)
    }

    fn sign_as(&self, typ: &str, claims: &impl serde::Serialize) -> String {
        let header = Header {
            typ: Some(typ.to_owned()),
            kid: Some(self.kid.clone()),
            ..Header::new(Algorithm::EdDSA)
        };
        jsonwebtoken::encode(&header, claims, &self.key).expect("signs")
    }
}

/// Opens the camera for a minute.
fn claims(world: &World) -> PlaybackClaims {
    let now = Clock::system().now().timestamp();
    let claims = json!({
        "aud": "headworks-edge", "sub": "ann", "iat": now, "exp": now + 60,
        "cams": [world.gate.id], "jti": "t-1",
    });
    serde_json::from_value(claims).expect("parses")
}

/// The words for whoever is refused: always the same.
async fn refused(world: &World, path: &str) -> Option<String> {
    let problem = problem(ask(world, path, &[]).await).await;
    assert_eq!(problem.code, ProblemCode::Unauthenticated, "{path}");
    problem.detail
}

#[sqlx::test(migrations = "../../migrations")]
async fn who_has_no_good_token_learns_nothing(pool: PgPool) {
    let world = Box::pin(World::new(&pool)).await;
    let id = world.gate.id;
    let shop = Customer::new(&world, json!({"whole_project": true})).await;
    let narrow = json!({
        "camera_ids": [id], "max_expires_in_seconds": 60, "max_watch_seconds": 600,
    });
    let narrow = Customer::new(&world, narrow).await;
    let hls = |token: &str| format!("/live/{id}/index.m3u8?token={token}");
    let good = shop.sign(&claims(&world));
    location(&ask(&world, &hls(&good), &[]).await);
    location(&ask(&world, &hls(&narrow.sign(&claims(&world))), &[]).await);

    let changed = |change: fn(&mut PlaybackClaims)| {
        let mut claims = claims(&world);
        change(&mut claims);
        claims
    };
    let bad: [fn(&mut PlaybackClaims); 9] = [
        |claims| (claims.iat, claims.exp) = (claims.iat - 90, claims.exp - 90),
        |claims| claims.iat += 30,
        |claims| claims.nbf = Some(claims.iat + 30),
        |claims| claims.exp = claims.iat + 601,
        |claims| claims.sxp = Some(claims.iat + 43_201),
        |claims| claims.aud = "headworks-api".to_owned(),
        |claims| claims.cams = vec![uuid::Uuid::from_u128(1).into()],
        |claims| claims.act = vec![],
        |claims| claims.jti = Some("a\0b".to_owned()),
    ];
    let mut tokens: Vec<_> = bad
        .into_iter()
        .map(|bad| shop.sign(&changed(bad)))
        .collect();
    tokens.push(shop.sign_as("JWT", &claims(&world)));
    tokens.push(narrow.sign(&changed(|claims| claims.exp += 1)));
    tokens.push(narrow.sign(&changed(|claims| claims.sxp = Some(claims.iat + 601))));
    // Signed by somebody else than it says.
    let forged = Customer {
        kid: shop.kid.clone(),
        key: narrow.key.clone(),
    };
    tokens.push(forged.sign(&claims(&world)));
    let unknown = Customer {
        kid: "no\u{1}body".to_owned(),
        ..forged
    };
    tokens.push(unknown.sign(&claims(&world)));
    tokens.extend(["", "a.b.c", "hwak_0_0"].map(str::to_owned));
    tokens.push("a".repeat(9000));

    let words = refused(&world, &format!("/watch/{id}")).await;
    for token in &tokens {
        assert_eq!(refused(&world, &hls(token)).await, words);
    }
    let nothing = "/live/cam_00000000000000000000000000000001/stream.ts";
    assert_eq!(refused(&world, nothing).await, words);
    assert_eq!(
        refused(&world, &format!("{nothing}?token={good}")).await,
        words
    );

    // What was revoked counts at once.
    let admin = &world.cluster.admin;
    let playback = world.playback(json!({})).await;
    location(&ask(&world, &hls(playback.token.expose()), &[]).await);
    for token_id in ["t-1", &*playback.token_id] {
        let revoke = PlaybackTokenRevoke {
            token_id: token_id.to_owned(),
            project_id: None,
        };
        admin
            .playback_token_revoke(&revoke)
            .await
            .expect("is revoked");
    }
    for token in [&*good, playback.token.expose()] {
        assert_eq!(refused(&world, &hls(token)).await, words);
    }
    world.cluster.stop().await;
}
