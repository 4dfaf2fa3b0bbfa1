//! Attacks on tokens and tickets.

mod customer;
mod limits;
mod logged;
mod revoked;
mod routes;
mod sound;

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::DateTime;
use headworks_types::ViewProtocol;
use proptest::prelude::*;
use serde_json::{Value, json};

use uuid::Uuid;

use super::{
    sign::{Issuer, claims, unsigned},
    *,
};
use crate::session::testing;

const VIEW: Action = Action::CameraViewLive;

fn client() -> Client {
    testing::client(ViewProtocol::Flv)
}

struct World {
    issuer: Issuer,
    access: Access,
    clock: Clock,
    camera: CameraId,
    other: CameraId,
}

impl World {
    fn new() -> Self {
        let start = DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
        let clock = Clock::manual(start);
        let issuer = Issuer::new("2026-11");
        Self {
            access: issuer.access(clock.clone()),
            issuer,
            clock,
            camera: CameraId::from(Uuid::from_u128(1)),
            other: CameraId::from(Uuid::from_u128(2)),
        }
    }

    fn claims(&self) -> Value {
        serde_json::to_value(claims(self.camera, self.clock.now())).expect("serializes")
    }

    fn open(&self, token: &str) -> Result<Session, Denied> {
        self.access.open(Some(token), self.camera, VIEW, &client())
    }

    /// What becomes of a good token after a change of its header.
    fn with_header(&self, change: impl FnOnce(&mut Value)) -> Option<Denied> {
        let mut header = self.issuer.header();
        change(&mut header);
        self.open(&self.issuer.sign(&header, &self.claims())).err()
    }

    /// What becomes of a good token after a change of what it says.
    fn with_claims(&self, change: impl FnOnce(&mut Value)) -> Option<Denied> {
        let mut claims = self.claims();
        change(&mut claims);
        let header = self.issuer.header();
        self.open(&self.issuer.sign(&header, &claims)).err()
    }

    fn session(&self) -> Session {
        let token = self.issuer.token(self.camera, self.clock.now());
        self.open(&token).expect("a good token")
    }
}

#[test]
fn a_good_token_opens_its_camera() {
    let world = World::new();
    let session = world.session();
    assert_eq!(session.about().camera, world.camera);
    let hour = world.clock.monotonic() + Duration::from_secs(3600);
    assert_eq!(session.watch_until(), hour);
    assert_ne!(session.about().id, world.session().about().id);
    assert_eq!(world.with_header(|_| {}), None);
    assert_eq!(world.with_claims(|_| {}), None);
}

#[test]
fn no_token_is_missing_not_malformed() {
    let world = World::new();
    for token in [None, Some("")] {
        let denied = world.access.open(token, world.camera, VIEW, &client());
        assert_eq!(denied, Err(Denied::Missing));
    }
}

#[test]
fn the_token_does_not_choose_the_algorithm() {
    let world = World::new();
    for name in [
        "none", "None", "NONE", "HS256", "HS512", "RS256", "ES256", "EdDSA\0", "",
    ] {
        let denied = world.with_header(|header| header["alg"] = json!(name));
        assert!(
            matches!(denied, Some(Denied::Algorithm | Denied::Malformed)),
            "{name}: {denied:?}"
        );
    }
    let mut header = world.issuer.header();
    header["alg"] = json!("none");
    let text = unsigned(&header, &world.claims());
    for token in [format!("{text}."), text.clone()] {
        assert!(world.open(&token).is_err());
    }
}

#[test]
fn the_public_key_is_no_hmac_secret() {
    let world = World::new();
    let mut header = world.issuer.header();
    header["alg"] = json!("HS256");
    let text = unsigned(&header, &world.claims());
    let key = hmac::Key::new(hmac::HMAC_SHA256, world.issuer.public_key());
    let mac = hmac::sign(&key, text.as_bytes());
    let token = format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac));
    assert_eq!(world.open(&token), Err(Denied::Algorithm));
}

#[test]
fn the_key_is_looked_up_in_the_local_set_only() {
    let world = World::new();
    for kid in [
        "",
        "2026-12",
        "../../etc/passwd",
        "' OR '1'='1",
        "2026-11\0",
        "http://evil/key",
    ] {
        let denied = world.with_header(|header| header["kid"] = json!(kid));
        assert_eq!(denied, Some(Denied::UnknownKey), "{kid}");
    }
    let denied = world.with_header(|header| {
        header.as_object_mut().expect("an object").remove("kid");
    });
    assert_eq!(denied, Some(Denied::KeyId));
    let denied = world.with_header(|header| header["kid"] = json!({"$ne": null}));
    assert_eq!(denied, Some(Denied::Malformed));
}

#[test]
fn a_key_in_the_header_is_not_trusted() {
    let world = World::new();
    let forger = Issuer::new(&world.issuer.kid);
    let mut header = forger.header();
    header["jwk"] = serde_json::to_value(&forger.jwks().keys[0]).expect("serializes");
    header["jku"] = json!("http://evil/jwks.json");
    let token = forger.sign(&header, &world.claims());
    let denied = world.open(&token).expect_err("forged");
    assert!(
        matches!(denied, Denied::Signature | Denied::Malformed),
        "{denied:?}"
    );
    let token = forger.sign(&forger.header(), &world.claims());
    assert_eq!(world.open(&token), Err(Denied::Signature));
}

#[test]
fn other_kinds_of_tokens_are_refused() {
    let world = World::new();
    for typ in [
        json!("JWT"),
        json!("at+jwt"),
        json!(""),
        json!(null),
        json!("HWPLAY+JWT"),
    ] {
        let denied = world.with_header(|header| header["typ"] = typ.clone());
        assert_eq!(denied, Some(Denied::Type), "{typ}");
    }
    let denied = world.with_header(|header| header["crit"] = json!(["b64"]));
    assert!(denied.is_some());
}

#[test]
fn issuer_and_audience_must_be_exactly_ours() {
    let world = World::new();
    for (claim, denied) in [("iss", Denied::Issuer), ("aud", Denied::Audience)] {
        for wrong in ["", "headworks-", "headworks-edge2"] {
            let found = world.with_claims(|claims| claims[claim] = json!(wrong));
            assert_eq!(found, Some(denied), "{claim} {wrong}");
        }
        let found = world.with_claims(|claims| claims[claim] = json!(["headworks-edge"]));
        assert_eq!(found, Some(Denied::Malformed));
    }
}

#[test]
fn times_are_checked_against_our_clock() {
    let world = World::new();
    let token = world.issuer.token(world.camera, world.clock.now());
    world.clock.advance(Duration::from_secs(302));
    assert!(world.open(&token).is_ok(), "two seconds of leeway");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.open(&token), Err(Denied::Expired));

    let later = world.clock.now() + Duration::from_secs(3);
    let token = world.issuer.token(world.camera, later);
    assert_eq!(world.open(&token), Err(Denied::NotYet));
}

#[test]
fn times_must_make_sense() {
    let world = World::new();
    let now = world.clock.now().timestamp();
    let wrong: [(&str, Value, Denied); 9] = [
        ("exp", json!((now + 300) * 1000), Denied::Times),
        ("sxp", json!((now + 300) * 1000), Denied::Times),
        ("exp", json!(now + 601), Denied::Times),
        ("sxp", json!(now + 43_201), Denied::Times),
        ("exp", json!(i64::MAX), Denied::Times),
        ("iat", json!(i64::MIN), Denied::Times),
        ("sxp", json!(now), Denied::Times),
        ("exp", json!((now + 300).to_string()), Denied::Malformed),
        ("exp", json!(1e300), Denied::Malformed),
    ];
    for (claim, value, denied) in wrong {
        let found = world.with_claims(|claims| claims[claim] = value.clone());
        assert_eq!(found, Some(denied), "{claim} {value}");
    }
    let all = world.with_claims(|claims| {
        for (claim, after) in [("iat", 0), ("exp", 300), ("sxp", 3600)] {
            claims[claim] = json!(now * 1000 + after);
        }
    });
    assert_eq!(all, Some(Denied::Times));
    // Only what it allows may be left out: then it allows to watch.
    for (claim, denied) in [
        ("exp", Some(Denied::Malformed)),
        ("iat", Some(Denied::Malformed)),
        ("aud", Some(Denied::Malformed)),
        ("sub", Some(Denied::Malformed)),
        ("cams", Some(Denied::OtherCamera)),
        ("sxp", None),
        ("iss", None),
        ("act", None),
        ("jti", None),
    ] {
        let found = world.with_claims(|claims| {
            claims.as_object_mut().expect("an object").remove(claim);
        });
        assert_eq!(found, denied, "{claim} is missing");
    }
    let found = world.with_claims(|claims| claims["nbf"] = json!(now + 3));
    assert_eq!(found, Some(Denied::NotYet));
}

#[test]
fn a_token_opens_nothing_else() {
    let world = World::new();
    let token = world.issuer.token(world.camera, world.clock.now());
    let other = world
        .access
        .open(Some(&token), world.other, VIEW, &client());
    assert_eq!(other, Err(Denied::OtherCamera));
    let action = world
        .access
        .open(Some(&token), world.camera, Action::CameraManage, &client());
    assert_eq!(action, Err(Denied::Action));
    let none = world.with_claims(|claims| claims["act"] = json!([]));
    assert_eq!(none, Some(Denied::Action), "empty never means all");
    let none = world.with_claims(|claims| claims["cams"] = json!([]));
    assert_eq!(none, Some(Denied::OtherCamera), "empty never means all");
    for denied in [Denied::OtherCamera, Denied::Action] {
        assert_eq!(denied.problem().status, 403);
    }
}

#[test]
fn a_withdrawn_key_stops_working_at_once() {
    let world = World::new();
    let token = world.issuer.token(world.camera, world.clock.now());
    assert!(world.open(&token).is_ok());
    let other = Issuer::new("2026-12").bundle();
    world.access.set_bundle(&other, Some(Duration::ZERO));
    assert_eq!(world.open(&token), Err(Denied::UnknownKey));
}

#[test]
fn every_changed_character_breaks_a_token() {
    let world = World::new();
    let token = world.issuer.token(world.camera, world.clock.now());
    for at in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).expect("ascii");
        assert!(world.open(&changed).is_err(), "character {at}");
        assert!(world.open(&token[..at]).is_err(), "cut at {at}");
    }
    assert_eq!(world.open(&"a".repeat(100_000)), Err(Denied::Malformed));
}

#[test]
fn a_ticket_brings_its_session_back() {
    let world = World::new();
    let session = world.session();
    let ticket = world.access.ticket(&session);
    assert!(
        ticket
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    );
    let resumed = world
        .access
        .resume(&ticket, world.camera, &client())
        .expect("resumes");
    assert_eq!(resumed, session);

    let other = world.access.resume(&ticket, world.other, &client());
    assert_eq!(other, Err(Denied::Ticket));
    let elsewhere = world.issuer.access(world.clock.clone());
    assert_eq!(
        elsewhere.resume(&ticket, world.camera, &client()),
        Err(Denied::Ticket)
    );
    world.clock.advance(Duration::from_secs(3600));
    let over = world.access.resume(&ticket, world.camera, &client());
    assert_eq!(over, Err(Denied::WatchOver));
}

#[test]
fn every_changed_character_breaks_a_ticket() {
    let world = World::new();
    let ticket = world.access.ticket(&world.session());
    for at in 0..ticket.len() {
        let mut changed = ticket.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).expect("ascii");
        let denied = world.access.resume(&changed, world.camera, &client());
        assert_eq!(denied, Err(Denied::Ticket), "character {at}");
        let denied = world.access.resume(&ticket[..at], world.camera, &client());
        assert_eq!(denied, Err(Denied::Ticket), "cut at {at}");
    }
    for longer in [
        format!("{ticket}A"),
        format!("{ticket}AAAA"),
        ticket.repeat(2),
    ] {
        assert!(
            world
                .access
                .resume(&longer, world.camera, &client())
                .is_err()
        );
    }
}

#[test]
fn the_ticket_key_survives_a_restart() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("ticket.key");
    let world = World::new();
    let session = world.session();
    let made = TicketKey::load(&path).expect("makes a key");
    let made = made.make(session.about());
    let again = TicketKey::load(&path).expect("reads the key");
    assert_eq!(again.check(&made).as_ref(), Some(session.about()));
}

#[test]
fn refusals_are_counted_by_reason() {
    let world = World::new();
    for _ in 0..3 {
        assert!(world.open("nonsense").is_err());
    }
    let labels = DeniedLabels {
        reason: "malformed",
    };
    let counters = world.access.counters();
    assert_eq!(counters.denied.get_or_create(&labels).get(), 3);
}

proptest! {
    #[test]
    fn garbage_never_opens_and_never_panics(text in ".{0,200}", parts in "[A-Za-z0-9_.-]{0,200}") {
        let world = World::new();
        for text in [text, parts] {
            prop_assert!(world.access.open(Some(&text), world.camera, VIEW, &client()).is_err());
            prop_assert!(world.access.resume(&text, world.camera, &client()).is_err());
        }
    }

    #[test]
    fn signed_garbage_never_panics(header in ".{0,60}", claims in ".{0,60}") {
        let world = World::new();
        let token = world.issuer.sign(&json!({"alg": header}), &claims);
        prop_assert!(world.open(&token).is_err());
    }
}
