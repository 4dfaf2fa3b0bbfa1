//! For tests: an issuer of playback tokens, good and bad ones.

use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use headworks_bootstrap::Clock;
use headworks_types::{
    Action, CameraId, Jwk, Jwks, PLAYBACK_AUDIENCE, PLAYBACK_ISSUER, PLAYBACK_TYP, PlaybackClaims,
    edge::Bundle,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Access, TicketKey};
use crate::{audit::Audit, session::Sessions};

/// Signs tokens.
pub(crate) struct Issuer {
    pub(crate) kid: String,
    pair: Ed25519KeyPair,
}

impl Issuer {
    pub(crate) fn new(kid: &str) -> Self {
        Self {
            kid: kid.to_owned(),
            pair: Ed25519KeyPair::generate().expect("random numbers"),
        }
    }

    pub(crate) fn public_key(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    pub(crate) fn jwks(&self) -> Jwks {
        Jwks {
            keys: vec![Jwk {
                kid: self.kid.clone(),
                kty: "OKP".to_owned(),
                crv: "Ed25519".to_owned(),
                alg: "EdDSA".to_owned(),
                usage: "sig".to_owned(),
                x: URL_SAFE_NO_PAD.encode(self.public_key()),
            }],
        }
    }

    /// What makes edges trust it.
    pub(crate) fn bundle(&self) -> Bundle {
        Bundle {
            jwks: self.jwks(),
            ..Bundle::default()
        }
    }

    /// An access that trusts this issuer.
    pub(crate) fn access(&self, clock: Clock) -> Access {
        let (audit, _) = Audit::new(clock.clone());
        self.access_with(audit, clock)
    }

    /// The same, and who tells the audit log.
    pub(crate) fn access_with(&self, audit: Audit, clock: Clock) -> Access {
        let key = TicketKey::random().expect("random numbers");
        let sessions = Sessions::new(1000, audit.clone(), clock.clone());
        let access = Access::new(key, sessions, audit, clock);
        access.set_bundle(&self.bundle(), Some(Duration::ZERO));
        access
    }

    /// The header of a good token.
    pub(crate) fn header(&self) -> Value {
        json!({"alg": "EdDSA", "typ": PLAYBACK_TYP, "kid": self.kid})
    }

    /// A good token.
    pub(crate) fn token(&self, camera: CameraId, now: DateTime<Utc>) -> String {
        self.sign(&self.header(), &claims(camera, now))
    }

    /// A good token for pictures without sound.
    pub(crate) fn silent_token(&self, camera: CameraId, now: DateTime<Utc>) -> String {
        let mut claims = claims(camera, now);
        claims.act = vec![Action::CameraViewLive];
        self.sign(&self.header(), &claims)
    }

    /// Any token, with a good signature.
    pub(crate) fn sign(&self, header: &Value, claims: &impl Serialize) -> String {
        let text = unsigned(header, claims);
        let signature = self.pair.sign(text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// What a good token says: five minutes to open, an hour to watch.
pub(crate) fn claims(camera: CameraId, now: DateTime<Utc>) -> PlaybackClaims {
    PlaybackClaims {
        iss: Some(PLAYBACK_ISSUER.to_owned()),
        aud: PLAYBACK_AUDIENCE.to_owned(),
        sub: "usr_00000000000000000000000000000001".to_owned(),
        by: None,
        vid: None,
        jti: Some("1".to_owned()),
        iat: now.timestamp(),
        nbf: None,
        exp: now.timestamp() + 300,
        sxp: Some(now.timestamp() + 3600),
        cams: vec![camera],
        grps: Vec::new(),
        act: vec![Action::CameraViewLive, Action::CameraViewAudio],
        ip: None,
        org: None,
        max: None,
    }
}

/// The part of a token that is signed.
pub(crate) fn unsigned(header: &Value, claims: &impl Serialize) -> String {
    let part = |bytes: Vec<u8>| URL_SAFE_NO_PAD.encode(bytes);
    format!(
        "{}.{}",
        part(serde_json::to_vec(header).expect("serializes")),
        part(serde_json::to_vec(claims).expect("serializes"))
    )
}
