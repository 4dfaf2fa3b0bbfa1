//! Tokens that are not what they say.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use headworks_types::{Auth, Jwks, PLAYBACK_AUDIENCE, PLAYBACK_TYP, ProblemCode};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Answer, Controller, Person, on_camera, published, text};

/// A key whose private half the test has.
pub(crate) struct Key {
    kid: &'static str,
    signs: EncodingKey,
    public: Vec<u8>,
}

impl Key {
    pub(crate) fn new(kid: &'static str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("makes a key");
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("is a key");
        Self {
            kid,
            signs: EncodingKey::from_ed_der(document.as_ref()),
            public: pair.public_key().as_ref().to_vec(),
        }
    }

    /// Its public half as JSON Web Key.
    pub(crate) fn shown(&self) -> Value {
        let x = BASE64.encode(&self.public);
        json!({"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": x})
    }

    /// Makes it a key of the installation.
    async fn install(&self, pool: &PgPool, state: &str) {
        sqlx::query!(
            "INSERT INTO signing_key (kid, state, public, private)
             VALUES ($1, $2::text, $3, CASE WHEN $2 IN ('pending', 'active') THEN ''::bytea END)",
            self.kid,
            state,
            self.public
        )
        .execute(pool)
        .await
        .expect("inserts");
    }

    pub(crate) fn sign(&self, typ: &str, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(typ.to_owned());
        header.kid = Some(self.kid.to_owned());
        jsonwebtoken::encode(&header, claims, &self.signs).expect("signs")
    }
}

fn now() -> i64 {
    headworks_bootstrap::Clock::system().now().timestamp()
}

/// What a good token of the person says.
async fn claims(person: &Person) -> Value {
    let me: Auth = person.api.get("/v1/auth").await.parse(200);
    json!({
        "aud": "headworks-api", "sub": person.id, "sid": me.sign_in_id,
        "iat": now(), "exp": now() + 600,
    })
}

async fn present(controller: &Controller, token: &str) -> Answer {
    let api = controller.admin.with_key(Some(token));
    api.get("/v1/auth").await
}

const TYP: &str = "hwaccess+jwt";

#[sqlx::test(migrations = "../../migrations")]
async fn a_token_says_what_it_must_and_is_signed_by_us(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let ann = controller.person("ann@example.com", &[]).await;
    let bob = controller.person("bob@example.com", &[]).await;
    let (ours, revoked, foreign) = (Key::new("ours"), Key::new("revoked"), Key::new("foreign"));
    ours.install(&pool, "retiring").await;
    revoked.install(&pool, "revoked").await;
    let good = claims(&ann).await;
    let refused = async |what: &str, token: &str| {
        let answer = present(&controller, token).await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.text);
        answer.problem(ProblemCode::Unauthenticated);
    };
    // An unknown key is looked for in the database; the pause between two looks is over by then.
    let wait = async { while present(&controller, &ours.sign(TYP, &good)).await.status != 200 {} };
    let limit = std::time::Duration::from_secs(10);
    tokio::time::timeout(limit, wait)
        .await
        .expect("the new key is found");

    refused("revoked key", &revoked.sign(TYP, &good)).await;
    refused("foreign key", &foreign.sign(TYP, &good)).await;
    refused("playback type", &ours.sign(PLAYBACK_TYP, &good)).await;
    refused("no type of ours", &ours.sign("JWT", &good)).await;
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        ours.sign(TYP, &claims)
    };
    refused("audience", &with("aud", json!(PLAYBACK_AUDIENCE))).await;
    refused("expired", &with("exp", json!(now() - 3))).await;
    refused("too long", &with("exp", json!(now() + 86_400))).await;
    refused("milliseconds", &with("exp", json!((now() + 600) * 1000))).await;
    refused("of the future", &with("iat", json!(now() + 60))).await;
    refused("another's sign-in", &with("sub", json!(bob.id))).await;
    refused(
        "no sign-in",
        &with("sid", json!("sin_00000000000000000000000000000001")),
    )
    .await;
    refused(
        "a key as subject",
        &with("sub", json!("key_00000000000000000000000000000001")),
    )
    .await;

    let token = ours.sign(TYP, &good);
    let (head, signature) = token.rsplit_once('.').expect("has three parts");
    refused("no signature", &format!("{head}.")).await;
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    refused("changed", &format!("{head}.{flipped}{}", &signature[1..])).await;
    refused("four parts", &format!("{token}.x")).await;
    present(&controller, &token).await.expect(200);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_token_chooses_neither_algorithm_nor_key(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let ann = controller.person("ann@example.com", &[]).await;
    let good = claims(&ann).await;
    let keys: Jwks = controller
        .anonymous()
        .get("/.well-known/jwks.json")
        .await
        .parse(200);
    let ours = &keys.keys[0];
    let body = BASE64.encode(good.to_string());
    let mut tokens = Vec::new();
    for algorithm in ["none", "None", "NONE"] {
        let header = json!({"alg": algorithm, "typ": TYP, "kid": ours.kid});
        tokens.push(format!("{}.{body}.", BASE64.encode(header.to_string())));
    }
    // The public key as the secret of a symmetric algorithm, in both of its forms.
    let raw = BASE64.decode(&ours.x).expect("is a key");
    for secret in [ours.x.as_bytes(), &raw] {
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(TYP.to_owned());
        header.kid = Some(ours.kid.clone());
        let key = EncodingKey::from_secret(secret);
        tokens.push(jsonwebtoken::encode(&header, &good, &key).expect("signs"));
    }
    // A key that the token brings along, or says where to find.
    let foreign = Key::new("foreign");
    let jwk = foreign.shown();
    for kid in [
        ours.kid.as_str(),
        "../../../../dev/null",
        "' OR '1'='1",
        "x' UNION SELECT ''",
        "",
        "\0",
    ] {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYP.to_owned());
        header.kid = Some(kid.to_owned());
        header.jwk = Some(serde_json::from_value(jwk.clone()).expect("is a key"));
        header.jku = Some("http://127.0.0.1:1/keys".to_owned());
        tokens.push(jsonwebtoken::encode(&header, &good, &foreign.signs).expect("signs"));
    }
    tokens.extend(["..", "a.b.c", ".", "e30.e30.e30"].map(str::to_owned));
    tokens.push(format!("{}.{body}.x", "A".repeat(5000)));
    for token in &tokens {
        let answer = present(&controller, token).await;
        assert_eq!(answer.status, 401, "{token}: {}", answer.text);
    }
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_credential_of_one_kind_is_none_of_another(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let admin = &controller.admin;
    let gate = text(
        &admin
            .post("/v1/cameras", published("gate"))
            .await
            .expect(201)["id"],
    );
    let view: &[&str] = &["camera.view_live"];
    let ann = controller
        .person("ann@example.com", &[(on_camera(&gate), view)])
        .await;
    let ask = json!({"camera_ids": [gate]});
    let playback = ann.api.post("/v1/playback_tokens", ask).await.expect(201);
    let keys = format!("/v1/cameras/{gate}/stream_keys");
    let stream_key = admin.post(&keys, json!({"name": "obs"})).await.expect(201);
    let join = admin
        .post("/v1/join_tokens", json!({"name": "x"}))
        .await
        .expect(201);
    let access = ann.api.secret().to_owned();
    for (what, credential) in [
        ("playback token", text(&playback["token"])),
        ("refresh token", ann.refresh.clone()),
        ("stream key", text(&stream_key["secret"])),
        ("join token", text(&join["secret"])),
        ("password", crate::harness::PASSWORD.replace(' ', "-")),
    ] {
        let answer = present(&controller, &credential).await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.text);
    }
    let as_refresh = [access, text(&playback["token"]), admin.secret().to_owned()];
    for token in as_refresh {
        let body = json!({"refresh_token": token});
        let answer = controller.anonymous().post("/v1/auth:refresh", body).await;
        answer.problem(ProblemCode::Unauthenticated);
    }
    // An access token is no node's certificate either.
    let edges = controller.edges(Some(&ann.api));
    let answer = edges.get("/edge/v1/watch?revision=0").await;
    answer.problem(ProblemCode::Unauthenticated);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn bodies_change_nothing_that_they_do_not_name(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = controller.anonymous();
    let sign_in = json!({"email": "a@b.cd", "password": "x", "must_change_password": false});
    for (path, body) in [
        ("/v1/auth:sign_in", sign_in),
        (
            "/v1/auth:refresh",
            json!({"refresh_token": "x", "user_id": "x"}),
        ),
        (
            "/v1/auth/oidc/x:complete",
            json!({"state": "x", "code": "x", "nonce": "x"}),
        ),
    ] {
        let answer = api.post(path, body).await;
        answer.problem(ProblemCode::Malformed);
    }
    let users = controller.admin.clone();
    let must = json!({"name": "x", "must_change_password": false});
    users
        .post("/v1/users", must)
        .await
        .problem(ProblemCode::Malformed);
    let long = json!({"email": "a@b.cd", "password": "x".repeat(129)});
    let answer = api.post("/v1/auth:sign_in", long).await;
    assert_eq!(answer.pointers(ProblemCode::Invalid), ["/password"]);
    controller.stop().await;
}
