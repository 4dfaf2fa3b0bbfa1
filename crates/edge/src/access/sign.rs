//! For tests: an issuer of playback tokens, good and bad ones.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use headworks_bootstrap::Clock;
use headworks_types::{
    Action, CameraId, Jwk, Jwks, PLAYBACK_AUDIENCE, PLAYBACK_ISSUER, PLAYBACK_TYP, PlaybackClaims,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Access, TicketKey};

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

    /// An access that trusts this issuer.
    pub(crate) fn access(&self, clock: Clock) -> Access {
        let access = Access::new(TicketKey::random().expect("random numbers"), clock);
        access.set_keys(&self.jwks());
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
        iss: PLAYBACK_ISSUER.to_owned(),
        aud: PLAYBACK_AUDIENCE.to_owned(),
        sub: "usr_00000000000000000000000000000001".to_owned(),
        jti: "1".to_owned(),
        iat: now.timestamp(),
        exp: now.timestamp() + 300,
        sxp: now.timestamp() + 3600,
        cams: vec![camera],
        act: vec![Action::CameraViewLive],
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
