//! Playback tokens and session tickets, with good and with bad signatures.

use std::sync::LazyLock;

use headworks_edge::fuzzing::{Door, Signer};

use crate::input::{Input, put_record};

static DOOR: LazyLock<Door> = LazyLock::new(Door::new);

pub(crate) const TOKEN_WORDS: &[&str] = &[
    "alg", "EdDSA", "ES256", "HS256", "none", "typ", "hwplay+jwt", "hwaccess+jwt", "kid", "crit",
    "jwk", "jku", "b64", "iss", "headworks", "aud", "headworks-edge", "headworks-api", "sub", "vid",
    "jti", "iat", "nbf", "exp", "sxp", "cams", "grps", "act", "camera.view_live", "ip", "org", "max",
    "1800000000", "1800000060", "1800000000000", "-9223372036854775808", "9223372036854775807",
    "pkey_00000000000000000000000000000007", "cam_00000000000000000000000000000002",
];

/// A token as it comes. Nothing opens that was not signed, so only what was signed here may.
pub(crate) fn token(bytes: &[u8]) {
    let token = String::from_utf8_lossy(bytes);
    if DOOR.open(&token).is_some() {
        let is_ours = SIGNERS.iter().any(|signer| {
            let (header, claims) = DOOR.good(*signer);
            let good = DOOR.sign(*signer, header.as_bytes(), claims.as_bytes());
            signed_part(&good) == signed_part(&token)
        });
        assert!(is_ours, "forged: {token}");
    }
}

pub(crate) fn token_seeds() -> Vec<Vec<u8>> {
    let seed = |signer: Signer| {
        let (header, claims) = DOOR.good(signer);
        DOOR.sign(signer, header.as_bytes(), claims.as_bytes())
    };
    let mut seeds: Vec<_> = SIGNERS.into_iter().map(seed).collect();
    // A customer's claims under the other key, and the controller's under the customer's.
    let (header, claims) = DOOR.good(Signer::Controller);
    seeds.push(DOOR.sign(Signer::Customer, header.as_bytes(), claims.as_bytes()));
    seeds.push(format!("{}..", seeds[0].split('.').next().unwrap_or_default()));
    seeds.into_iter().map(String::into_bytes).collect()
}

const SIGNERS: [Signer; 2] = [Signer::Controller, Signer::Customer];

fn signed_part(token: &str) -> Option<&str> {
    token.rsplit_once('.').map(|(signed, _)| signed)
}

/// What a token says, signed whatever it is: one byte chooses whose key; header and claims follow.
pub(crate) fn claims(bytes: &[u8]) {
    let mut input = Input(bytes);
    let signer = SIGNERS[usize::from(input.byte() & 1)];
    let header = input.record().unwrap_or_default();
    let token = DOOR.sign(signer, header, input.0);
    let Some(opened) = DOOR.open(&token) else {
        return;
    };
    let longest = match signer {
        Signer::Controller => 12 * 3600,
        Signer::Customer => 600,
    };
    assert!(opened.lasts > 0, "a session that is over: {opened:?}");
    assert!(opened.lasts_from_issue <= longest, "too long: {opened:?}");
    assert!(!opened.subject.is_empty(), "nobody watches: {opened:?}");
    if signer == Signer::Customer {
        assert!(opened.subject.starts_with("pkey_"), "{opened:?}");
    }
    // Its segments must be reachable.
    assert_eq!(DOOR.resume(&opened.ticket), Some(opened.ticket.clone()));
}

pub(crate) fn claims_seeds() -> Vec<Vec<u8>> {
    let seed = |(number, signer): (usize, &Signer)| {
        let (header, claims) = DOOR.good(*signer);
        let mut seed = vec![number as u8];
        put_record(&mut seed, header.as_bytes());
        seed.extend_from_slice(claims.as_bytes());
        seed
    };
    SIGNERS.iter().enumerate().map(seed).collect()
}

/// A ticket as it comes, and a session of anybody's making behind a good MAC.
pub(crate) fn ticket(bytes: &[u8]) {
    let ticket = String::from_utf8_lossy(bytes);
    if let Some(again) = DOOR.resume(&ticket) {
        assert_eq!(again, ticket, "a session has one ticket");
    }
    let sealed = DOOR.seal(bytes);
    if let Some(again) = DOOR.resume(&sealed) {
        assert_eq!(DOOR.resume(&again), Some(again.clone()), "it stays so");
    }
}

pub(crate) fn ticket_seeds() -> Vec<Vec<u8>> {
    let token = &token_seeds()[0];
    let opened = DOOR.open(&String::from_utf8_lossy(token));
    let ticket = opened.expect("a good token opens").ticket;
    let session = br#"{"id":"sess_00000000000000000000000000000001","camera":"cam_00000000000000000000000000000002","subject":"usr_1","key":"k","issued":1800000000,"until":1800000600}"#;
    vec![ticket.into_bytes(), session.to_vec()]
}
