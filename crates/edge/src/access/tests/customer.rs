//! Customers sign tokens themselves, within their bounds and never beyond.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use headworks_types::{
    CameraGroupId, PlaybackBounds, PublicKey,
    edge::{PlaybackKeyRule, ViewPolicy},
};

use super::{revoked::project, *};

pub(super) const KID: &str = "pkey_00000000000000000000000000000007";

fn group() -> CameraGroupId {
    Uuid::from_u128(3).into()
}

pub(super) fn bounds() -> PlaybackBounds {
    PlaybackBounds {
        whole_project: true,
        camera_ids: Vec::new(),
        camera_group_ids: Vec::new(),
        actions: Some(vec![VIEW]),
        max_expires_in_seconds: 120,
        max_watch_seconds: 3600,
    }
}

/// What a customer's token says that opens the camera.
pub(super) fn said(world: &World) -> Value {
    let now = world.clock.now().timestamp();
    json!({
        "aud": "headworks-edge", "sub": "alice", "iat": now, "exp": now + 60,
        "cams": [world.camera],
    })
}

pub(super) fn ed25519(issuer: &Issuer) -> PublicKey {
    let x = URL_SAFE_NO_PAD.encode(issuer.public_key());
    serde_json::from_value(json!({"kty": "OKP", "crv": "Ed25519", "x": x})).expect("is a key")
}

impl World {
    /// Trusts a customer's key within these bounds.
    pub(super) fn trust(&self, public_key: PublicKey, bounds: PlaybackBounds) {
        self.know(ViewPolicy {
            groups: vec![group(), Uuid::from_u128(4).into()],
            ..ViewPolicy::default()
        });
        let rule = PlaybackKeyRule {
            id: KID.parse().expect("an id"),
            project_id: project(),
            public_key,
            bounds,
        };
        let bundle = Bundle {
            playback_keys: vec![rule],
            ..self.issuer.bundle()
        };
        self.access.set_bundle(&bundle, Some(Duration::ZERO));
    }
}

#[test]
fn a_customers_token_opens_what_is_within_its_bounds() {
    let world = World::new();
    let customer = Issuer::new(KID);
    world.trust(ed25519(&customer), bounds());
    let session = world.open(&customer.sign(&customer.header(), &said(&world)));
    let session = session.expect("opens");
    let about = session.about();
    assert_eq!(about.subject, KID, "nobody's viewer is one of our users");
    assert_eq!(about.viewer.as_deref(), Some("alice"));
    let hour = world.clock.monotonic() + Duration::from_secs(3600);
    assert_eq!(session.watch_until(), hour, "no longer than its key may");
}

#[test]
fn an_origin_is_no_longer_than_the_api_takes() {
    let world = World::new();
    let customer = Issuer::new(KID);
    world.trust(ed25519(&customer), bounds());
    let open = |length| {
        let mut said = said(&world);
        said["org"] = "x".repeat(length).into();
        world.open(&customer.sign(&customer.header(), &said))
    };
    assert_eq!(open(255), Err(Denied::Origin));
    assert_eq!(open(256), Err(Denied::Malformed));
}

/// What is different about a token, and about the bounds of its key.
type Change = Box<dyn Fn(&mut PlaybackBounds, &mut Value)>;

#[test]
fn a_customers_token_opens_nothing_beyond_its_bounds() {
    let customer = Issuer::new(KID);
    let other: CameraId = Uuid::from_u128(2).into();
    let now = 1_800_000_000;
    let cases: [(&str, Change); 6] = [
        (
            "another camera",
            Box::new(move |bounds, _| {
                bounds.whole_project = false;
                bounds.camera_ids = vec![other];
            }),
        ),
        (
            "another group",
            Box::new(|bounds, _| {
                bounds.whole_project = false;
                bounds.camera_group_ids = vec![Uuid::from_u128(5).into()];
            }),
        ),
        (
            "no bounds",
            Box::new(|bounds, _| bounds.whole_project = false),
        ),
        (
            "another action",
            Box::new(|bounds, _| bounds.actions = Some(vec![Action::CameraManage])),
        ),
        (
            "opens for longer",
            Box::new(move |_, said| said["exp"] = json!(now + 121)),
        ),
        (
            "watches for longer",
            Box::new(move |_, said| said["sxp"] = json!(now + 3601)),
        ),
    ];
    for (what, change) in cases {
        let world = World::new();
        let (mut bounds, mut said) = (bounds(), said(&world));
        change(&mut bounds, &mut said);
        world.trust(ed25519(&customer), bounds);
        let token = customer.sign(&customer.header(), &said);
        assert_eq!(world.open(&token), Err(Denied::Bounds), "{what}");
    }
    for within in [true, false] {
        let world = World::new();
        let camera_ids = vec![world.camera];
        let bounds = PlaybackBounds {
            whole_project: false,
            camera_ids: if within { camera_ids } else { Vec::new() },
            camera_group_ids: if within {
                Vec::new()
            } else {
                vec![Uuid::from_u128(4).into()]
            },
            ..bounds()
        };
        world.trust(ed25519(&customer), bounds);
        let token = customer.sign(&customer.header(), &said(&world));
        assert!(world.open(&token).is_ok(), "a camera, or a group above it");
    }
}

#[test]
fn a_key_opens_no_other_projects_cameras_and_none_that_nobody_knows() {
    let world = World::new();
    let customer = Issuer::new(KID);
    world.trust(ed25519(&customer), bounds());
    let token = customer.sign(&customer.header(), &said(&world));
    world.access.set_cameras(Cameras::new());
    assert_eq!(world.open(&token), Err(Denied::Bounds));
    let foreign = CameraView {
        project: Uuid::from_u128(8).into(),
        policy: ViewPolicy::default(),
    };
    world
        .access
        .set_cameras(Cameras::from([(world.camera, foreign)]));
    assert_eq!(world.open(&token), Err(Denied::Bounds));
}

#[test]
fn groups_open_the_cameras_below_them() {
    let world = World::new();
    world.know(ViewPolicy {
        groups: vec![group()],
        ..ViewPolicy::default()
    });
    let with = |groups: Value| {
        world.with_claims(|claims| {
            claims["cams"] = json!([]);
            claims["grps"] = groups;
        })
    };
    assert_eq!(with(json!([group()])), None);
    let other: CameraGroupId = Uuid::from_u128(5).into();
    assert_eq!(with(json!([other])), Some(Denied::OtherCamera));
    assert_eq!(with(json!([])), Some(Denied::OtherCamera));
}

#[test]
fn an_es256_key_signs_too_and_no_key_signs_with_the_others_algorithm() {
    let world = World::new();
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("is made");
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref()).expect("is one");
    let point = pair.public_key().as_ref();
    let (x, y) = point[1..].split_at(32);
    let [x, y] = [x, y].map(|part| URL_SAFE_NO_PAD.encode(part));
    let public = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y});
    world.trust(serde_json::from_value(public).expect("is a key"), bounds());
    let sign = |algorithm: &str, kid: &str| {
        let header = json!({"alg": algorithm, "typ": "hwplay+jwt", "kid": kid});
        let text = unsigned(&header, &said(&world));
        let signature = pair.sign(&random, text.as_bytes()).expect("signs");
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    assert!(world.open(&sign("ES256", KID)).is_ok());
    assert_eq!(world.open(&sign("EdDSA", KID)), Err(Denied::Algorithm));
    assert_eq!(world.open(&sign("ES384", KID)), Err(Denied::Algorithm));
    assert_eq!(world.open(&sign("HS256", KID)), Err(Denied::Algorithm));
    // Ours signs with EdDSA only.
    let ours = world.issuer.kid.clone();
    assert_eq!(world.open(&sign("ES256", &ours)), Err(Denied::Algorithm));
    // The public key is no secret for HMAC.
    let header = json!({"alg": "HS256", "typ": "hwplay+jwt", "kid": KID});
    let text = unsigned(&header, &said(&world));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, point), text.as_bytes());
    let token = format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag));
    assert_eq!(world.open(&token), Err(Denied::Algorithm));
}

#[test]
fn a_key_that_is_gone_opens_nothing_and_a_name_chooses_no_other_key() {
    let world = World::new();
    let customer = Issuer::new(KID);
    world.trust(ed25519(&customer), bounds());
    let token = customer.sign(&customer.header(), &said(&world));
    assert!(world.open(&token).is_ok());
    for kid in [
        "2026-11",
        "../pkey_1",
        "' OR 1=1 --",
        "",
        &format!("{KID} "),
    ] {
        let mut header = customer.header();
        header["kid"] = json!(kid);
        let found = world.open(&customer.sign(&header, &said(&world)));
        assert!(
            matches!(found, Err(Denied::UnknownKey | Denied::Signature)),
            "{kid}: {found:?}"
        );
    }
    let mut header = customer.header();
    for (name, value) in [
        ("jku", json!("https://attacker.example/jwks.json")),
        (
            "jwk",
            json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(customer.public_key())}),
        ),
    ] {
        header["kid"] = json!("2026-11");
        header[name] = value;
        let found = world.open(&customer.sign(&header, &said(&world)));
        assert_eq!(found, Err(Denied::Signature), "{name} is not looked at");
    }
    world
        .access
        .set_bundle(&world.issuer.bundle(), Some(Duration::ZERO));
    assert_eq!(world.open(&token), Err(Denied::UnknownKey));
}
