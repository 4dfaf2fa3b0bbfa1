//! Tokens of honest providers, and all the others.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use jsonwebtoken::{EncodingKey, Header};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const NOW: i64 = 1_800_000_000;
const WANTED: Wanted<'_> = Wanted {
    issuer: "https://id.example.com",
    client_id: "headworks",
    nonce: "n-1",
    now: NOW,
};

/// A key of a provider.
struct Key {
    signs: EncodingKey,
    shown: Value,
}

fn ed25519(kid: &str) -> Key {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("makes a key");
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("is a key");
    let x = BASE64.encode(pair.public_key());
    Key {
        signs: EncodingKey::from_ed_der(document.as_ref()),
        shown: json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x}),
    }
}

fn p256(kid: &str) -> Key {
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let document =
        EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).expect("makes a key");
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref()).expect("is a key");
    // 4, then both coordinates.
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let (x, y) = (BASE64.encode(x), BASE64.encode(y));
    Key {
        signs: EncodingKey::from_ec_der(document.as_ref()),
        shown: json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y, "use": "sig"}),
    }
}

fn shown(keys: &[&Value]) -> Vec<Jwk> {
    let keys = keys
        .iter()
        .map(|key| serde_json::from_value((*key).clone()));
    keys.collect::<Result<_, _>>().expect("are keys")
}

fn claims() -> Value {
    json!({
        "iss": "https://id.example.com", "sub": "248", "aud": "headworks",
        "exp": NOW + 300, "iat": NOW, "nonce": "n-1",
    })
}

fn sign(algorithm: Algorithm, kid: Option<&str>, key: &Key, claims: &Value) -> Secret {
    let mut header = Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    Secret::new(jsonwebtoken::encode(&header, claims, &key.signs).expect("signs"))
}

fn refused(claims: &Value) -> Option<Refused> {
    let key = ed25519("a");
    let token = sign(Algorithm::EdDSA, Some("a"), &key, claims);
    verify(&token, &shown(&[&key.shown]), &WANTED).err()
}

fn with(change: Value) -> Value {
    let mut claims = claims();
    let Value::Object(change) = change else {
        panic!("is an object")
    };
    for (name, value) in change {
        claims[name] = value;
    }
    claims
}

#[test]
fn an_honest_token_is_taken() {
    for (algorithm, key) in [
        (Algorithm::EdDSA, ed25519("a")),
        (Algorithm::ES256, p256("a")),
    ] {
        let other = ed25519("b").shown;
        let token = sign(algorithm, Some("a"), &key, &claims());
        let keys = shown(&[&other, &key.shown]);
        assert_eq!(verify(&token, &keys, &WANTED).expect("is good").sub, "248");
        let unnamed = sign(algorithm, None, &key, &claims());
        let only = shown(&[&key.shown]);
        assert!(verify(&unnamed, &only, &WANTED).is_ok(), "the only key");
        let same = ed25519("c").shown;
        let two = shown(&[&key.shown, &same]);
        let refused = verify(&unnamed, &two, &WANTED).err();
        assert_eq!(refused, Some(Refused::UnknownKey), "which one?");
    }
    let several = with(json!({"aud": ["other", "headworks"], "azp": "headworks"}));
    assert_eq!(refused(&several), None);
}

#[test]
fn every_claim_is_looked_at() {
    let cases = [
        (json!({"iss": "https://id.example.com/"}), Refused::Issuer),
        (json!({"iss": "https://evil.example.com"}), Refused::Issuer),
        (json!({"aud": "other"}), Refused::Audience),
        (json!({"aud": []}), Refused::Audience),
        (json!({"aud": ["headworks", "other"]}), Refused::Audience),
        (json!({"azp": "other"}), Refused::Audience),
        (
            json!({"aud": ["headworks", "other"], "azp": "other"}),
            Refused::Audience,
        ),
        (json!({"exp": NOW - 60}), Refused::Times),
        (json!({"exp": i64::MIN}), Refused::Times),
        (json!({"iat": NOW + 61}), Refused::Times),
        (json!({"nonce": "n-2"}), Refused::Nonce),
        (json!({"nonce": null}), Refused::Nonce),
        (json!({"sub": ""}), Refused::Subject),
        (json!({"sub": "x".repeat(256)}), Refused::Subject),
        (json!({"exp": "soon"}), Refused::Malformed),
    ];
    for (change, why) in cases {
        assert_eq!(refused(&with(change.clone())), Some(why), "{change}");
    }
    for name in ["iss", "sub", "aud", "exp", "iat"] {
        let mut claims = claims();
        claims.as_object_mut().expect("is one").remove(name);
        assert_eq!(refused(&claims), Some(Refused::Malformed), "without {name}");
    }
    assert_eq!(
        refused(&with(json!({"exp": NOW - 59}))),
        None,
        "clocks differ"
    );
}

#[test]
fn the_token_chooses_neither_algorithm_nor_key() {
    let (ours, theirs) = (ed25519("a"), ed25519("a"));
    let keys = shown(&[&ours.shown]);
    let forged = sign(Algorithm::EdDSA, Some("a"), &theirs, &claims());
    assert_eq!(
        verify(&forged, &keys, &WANTED).err(),
        Some(Refused::Signature)
    );
    let unknown = sign(Algorithm::EdDSA, Some("z"), &theirs, &claims());
    assert_eq!(
        verify(&unknown, &keys, &WANTED).err(),
        Some(Refused::UnknownKey)
    );

    // Signed with what the provider shows to everybody.
    let x = ours.shown["x"].as_str().expect("is a text");
    let confused = Key {
        signs: EncodingKey::from_secret(x.as_bytes()),
        shown: Value::Null,
    };
    let confused = sign(Algorithm::HS256, Some("a"), &confused, &claims());
    assert_eq!(
        verify(&confused, &keys, &WANTED).err(),
        Some(Refused::Algorithm)
    );

    let encode = |json: Value| BASE64.encode(json.to_string());
    let body = encode(claims());
    let unsigned = encode(json!({"alg": "none", "kid": "a"}));
    for signature in ["", "AA"] {
        let token = Secret::new(format!("{unsigned}.{body}.{signature}"));
        assert_eq!(
            verify(&token, &keys, &WANTED).err(),
            Some(Refused::Malformed)
        );
    }
    let mut header = Header::new(Algorithm::EdDSA);
    header.jwk = Some(shown(&[&theirs.shown]).remove(0));
    let injected = jsonwebtoken::encode(&header, &claims(), &theirs.signs).expect("signs");
    let injected = verify(&Secret::new(injected), &keys, &WANTED).err();
    assert_eq!(injected, Some(Refused::Signature));

    // A key for something else, or of another family than the token says.
    let mut encrypts = ours.shown.clone();
    encrypts["use"] = json!("enc");
    let honest = sign(Algorithm::EdDSA, Some("a"), &ours, &claims());
    let refused = verify(&honest, &shown(&[&encrypts]), &WANTED).err();
    assert_eq!(refused, Some(Refused::UnknownKey));
    let refused = verify(&honest, &shown(&[&p256("a").shown]), &WANTED).err();
    assert_eq!(refused, Some(Refused::Signature));
}

#[test]
fn an_email_counts_if_the_provider_has_made_sure_of_it() {
    let email = |claims: Value| {
        let claims: Claims = serde_json::from_value(with(claims)).expect("are claims");
        claims.verified_email()
    };
    let ann = Some("ann@example.com".to_owned());
    assert_eq!(
        email(json!({"email": "Ann@example.com", "email_verified": true})),
        ann
    );
    assert_eq!(
        email(json!({"email": "ann@example.com", "email_verified": "true"})),
        ann
    );
    assert_eq!(
        email(json!({"email": "ann@example.com", "email_verified": false})),
        None
    );
    assert_eq!(
        email(json!({"email": "ann@example.com", "email_verified": 1})),
        None
    );
    assert_eq!(email(json!({"email": "ann@example.com"})), None);
    assert_eq!(email(json!({"email": "ann", "email_verified": true})), None);
}

#[test]
fn people_have_a_name_whatever_the_provider_says() {
    let name = |claims: Value| {
        let claims: Claims = serde_json::from_value(with(claims)).expect("are claims");
        claims.name()
    };
    assert_eq!(name(json!({"name": " Ann\u{0} ", "email": "x"})), "Ann");
    assert_eq!(
        name(json!({"name": "", "preferred_username": "ann"})),
        "ann"
    );
    assert_eq!(name(json!({"name": 7, "email": "a@b"})), "a@b");
    assert_eq!(name(json!({})), "248");
    assert_eq!(name(json!({"sub": "\u{7}"})), "unnamed");
    assert_eq!(name(json!({"name": "x".repeat(300)})).len(), 128);
}

#[test]
fn groups_are_texts() {
    let claims = with(json!({"one": "a", "many": ["a", 7, "b"], "other": {"a": 1}}));
    let claims: Claims = serde_json::from_value(claims).expect("are claims");
    assert_eq!(claims.groups("one"), ["a"]);
    assert_eq!(claims.groups("many"), ["a", "b"]);
    assert!(claims.groups("other").is_empty() && claims.groups("none").is_empty());
}

proptest! {
    #[test]
    fn no_text_panics(text in "[A-Za-z0-9_.{}\":-]{0,200}") {
        prop_assert!(verify(&Secret::new(text), &[], &WANTED).is_err());
    }
}
