//! Checks playback tokens (RFC 7519, RFC 8725) with nothing but the cached key set.
//!
//! A token chooses neither the algorithm nor the key: the algorithm is EdDSA, and `kid` only
//! selects among the keys that the controller has sent. Keys and addresses in the header (`jwk`,
//! `jku`, `x5u`, …) are never looked at, and critical extensions are refused.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use headworks_types::{Jwks, PLAYBACK_AUDIENCE, PLAYBACK_ISSUER, PLAYBACK_TYP, PlaybackClaims};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};

use super::Denied;

/// How far clocks of controller and edge may be apart, seconds.
const LEEWAY: i64 = 2;
/// The longest time that a token may open sessions, seconds after `iat`.
const MAX_OPEN: i64 = 600;
/// The longest time that a session may watch, seconds after `iat`.
const MAX_WATCH: i64 = 43_200;
/// No token with 50 cameras is longer.
const MAX_LENGTH: usize = 8192;

/// The public keys by `kid`.
#[derive(Default)]
pub(crate) struct KeySet(HashMap<String, DecodingKey>);

impl KeySet {
    /// Keys that cannot be used here are left out, and named in the log.
    pub(crate) fn new(jwks: &Jwks) -> Self {
        let mut keys = HashMap::new();
        for jwk in &jwks.keys {
            let fits = jwk.kty == "OKP" && jwk.crv == "Ed25519" && jwk.alg == "EdDSA";
            match DecodingKey::from_ed_components(&jwk.x) {
                Ok(key) if fits => {
                    keys.insert(jwk.kid.clone(), key);
                }
                _ => tracing::warn!(kid = jwk.kid, "a token key is not an Ed25519 key; left out"),
            }
        }
        Self(keys)
    }
}

/// What the token says, if it is good now.
pub(crate) fn verify(
    token: &str,
    keys: &KeySet,
    now: DateTime<Utc>,
) -> Result<PlaybackClaims, Denied> {
    if token.len() > MAX_LENGTH {
        return Err(Denied::Malformed);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|error| match error.kind() {
        // An algorithm that the library does not know, `none` among them.
        ErrorKind::InvalidAlgorithmName => Denied::Algorithm,
        _ => Denied::Malformed,
    })?;
    if header.alg != Algorithm::EdDSA {
        return Err(Denied::Algorithm);
    }
    if header.typ.as_deref() != Some(PLAYBACK_TYP) || header.crit.is_some() {
        return Err(Denied::Type);
    }
    let kid = header.kid.ok_or(Denied::KeyId)?;
    let key = keys.0.get(&kid).ok_or(Denied::UnknownKey)?;
    let claims = jsonwebtoken::decode::<PlaybackClaims>(token, key, &signature_only())
        .map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature => Denied::Signature,
            _ => Denied::Malformed,
        })?
        .claims;
    check(&claims, now)?;
    Ok(claims)
}

/// The library checks the signature; claims are checked below, against our own clock.
fn signature_only() -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

fn check(claims: &PlaybackClaims, now: DateTime<Utc>) -> Result<(), Denied> {
    if claims.iss != PLAYBACK_ISSUER {
        return Err(Denied::Issuer);
    }
    if claims.aud != PLAYBACK_AUDIENCE {
        return Err(Denied::Audience);
    }
    let now = now.timestamp();
    let open = claims.exp.checked_sub(claims.iat).ok_or(Denied::Times)?;
    let watch = claims.sxp.checked_sub(claims.iat).ok_or(Denied::Times)?;
    // This also catches milliseconds, in one of them or in all.
    let sane = (0..=MAX_OPEN).contains(&open) && (open..=MAX_WATCH).contains(&watch);
    if !sane || claims.iat > now.saturating_add(MAX_WATCH) {
        return Err(Denied::Times);
    }
    if claims.iat > now + LEEWAY {
        return Err(Denied::NotYet);
    }
    if claims.exp.saturating_add(LEEWAY) < now {
        return Err(Denied::Expired);
    }
    Ok(())
}
