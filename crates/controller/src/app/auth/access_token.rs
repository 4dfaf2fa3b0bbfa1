//! Access tokens: what a signed-in person sends as bearer token for ten minutes (RFC 9068 in
//! spirit).
//!
//! A token chooses neither the algorithm nor the key: the algorithm is EdDSA, and `kid` only selects
//! among our own keys. What it says is not enough: the sign-in and the user are looked up each time.

use std::{collections::HashMap, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use headworks_types::{Secret, SignInId, UserId};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use tokio::{sync::Mutex, time::Instant};

use crate::{
    app::{Error, Result, signing_key::sign},
    db::signing_key::signing_key_list,
    state::State,
};

const TYP: &str = "hwaccess+jwt";
const AUDIENCE: &str = "headworks-api";
/// How long a token works.
const LIFE: TimeDelta = TimeDelta::minutes(10);
/// How far clocks of replicas may be apart, seconds.
const LEEWAY: i64 = 2;
/// No token of ours is longer.
const MAX_LENGTH: usize = 1024;

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccessClaims {
    aud: String,
    pub(crate) sub: UserId,
    pub(crate) sid: SignInId,
    iat: i64,
    exp: i64,
}

/// A new token of a sign-in, and when it ends.
pub(crate) async fn access_token(
    conn: &mut PgConnection,
    state: &State,
    user: UserId,
    sign_in: SignInId,
) -> Result<(Secret, DateTime<Utc>)> {
    let now = state.clock.now();
    let expires_at = now + LIFE;
    let claims = AccessClaims {
        aud: AUDIENCE.to_owned(),
        sub: user,
        sid: sign_in,
        iat: now.timestamp(),
        exp: expires_at.timestamp(),
    };
    Ok((sign(conn, &state.keys, TYP, &claims).await?, expires_at))
}

/// What the token says, if we have signed it and it has not ended.
pub(crate) async fn verify(state: &State, token: &str) -> Result<AccessClaims> {
    const BAD: Error = Error::Unauthenticated("the access token is not ours, damaged or expired");
    let kid = acceptable(token).ok_or(BAD)?;
    let key = state.auth.keys.get(state, &kid).await?.ok_or(BAD)?;
    let claims = jsonwebtoken::decode::<AccessClaims>(token, &key, &signature_only())
        .map_err(|_| BAD)?
        .claims;
    if is_good(&claims, state.clock.now().timestamp()) {
        Ok(claims)
    } else {
        Err(BAD)
    }
}

/// The name of the key that a token of our kind says it is signed with.
fn acceptable(token: &str) -> Option<String> {
    if token.len() > MAX_LENGTH {
        return None;
    }
    let header = jsonwebtoken::decode_header(token).ok()?;
    let ours = header.alg == Algorithm::EdDSA
        && header.typ.as_deref() == Some(TYP)
        && header.crit.is_none();
    header.kid.filter(|_| ours)
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

fn is_good(claims: &AccessClaims, now: i64) -> bool {
    // This also catches milliseconds.
    let life = claims.exp.checked_sub(claims.iat);
    claims.aud == AUDIENCE
        && life.is_some_and(|life| (0..=LIFE.num_seconds()).contains(&life))
        && claims.iat <= now + LEEWAY
        && now < claims.exp.saturating_add(LEEWAY)
}

/// The public halves of our signing keys, as the database had them a moment ago.
#[derive(Default)]
pub(crate) struct AccessKeys(Mutex<Cached>);

#[derive(Default)]
struct Cached {
    keys: HashMap<String, DecodingKey>,
    loaded_at: Option<Instant>,
}

impl AccessKeys {
    /// How long a key counts that has been revoked meanwhile.
    const STALE: Duration = Duration::from_secs(5);
    /// Tokens with unknown keys make us look no more often than this.
    const PAUSE: Duration = Duration::from_secs(1);

    /// The key of this name, if its signatures count.
    pub(super) async fn get(&self, state: &State, kid: &str) -> Result<Option<DecodingKey>> {
        let mut cached = self.0.lock().await;
        let age = cached.loaded_at.map(|at| state.clock.monotonic() - at);
        let limit = if cached.keys.contains_key(kid) {
            Self::STALE
        } else {
            Self::PAUSE
        };
        if age.is_none_or(|age| age >= limit) {
            cached.keys = load(state).await?;
            cached.loaded_at = Some(state.clock.monotonic());
        }
        Ok(cached.keys.get(kid).cloned())
    }
}

async fn load(state: &State) -> Result<HashMap<String, DecodingKey>> {
    let mut conn = state.pool.acquire().await?;
    let mut keys = HashMap::new();
    for key in signing_key_list(&mut conn).await? {
        let x = URL_SAFE_NO_PAD.encode(&key.public);
        let decoding =
            DecodingKey::from_ed_components(&x).map_err(|error| Error::Internal(error.into()))?;
        keys.insert(key.kid, decoding);
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use headworks_types::PLAYBACK_AUDIENCE;
    use uuid::Uuid;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn claims() -> AccessClaims {
        AccessClaims {
            aud: AUDIENCE.to_owned(),
            sub: Uuid::from_u128(1).into(),
            sid: Uuid::from_u128(2).into(),
            iat: NOW,
            exp: NOW + 600,
        }
    }

    #[test]
    fn a_token_counts_for_its_ten_minutes_and_its_audience() {
        for at in [NOW - 2, NOW, NOW + 601] {
            assert!(is_good(&claims(), at), "{at}");
        }
        for at in [NOW - 3, NOW + 602] {
            assert!(!is_good(&claims(), at), "{at}");
        }
        let bad: [fn(&mut AccessClaims); 5] = [
            |claims| claims.aud = PLAYBACK_AUDIENCE.to_owned(),
            |claims| claims.exp += 1,
            |claims| claims.exp = claims.iat - 1,
            |claims| (claims.iat, claims.exp) = (i64::MIN, i64::MAX),
            |claims| (claims.iat, claims.exp) = (NOW * 1000, NOW * 1000 + 600),
        ];
        for change in bad {
            let mut claims = claims();
            change(&mut claims);
            assert!(!is_good(&claims, NOW), "{claims:?}");
        }
    }

    #[test]
    fn headers_that_are_not_ours_are_not_looked_into() {
        let token = |header: &str| format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(header));
        let good = r#"{"alg":"EdDSA","typ":"hwaccess+jwt","kid":"k"}"#;
        assert_eq!(acceptable(&token(good)).as_deref(), Some("k"));
        for bad in [
            r#"{"alg":"none","typ":"hwaccess+jwt","kid":"k"}"#,
            r#"{"alg":"HS256","typ":"hwaccess+jwt","kid":"k"}"#,
            r#"{"alg":"EdDSA","typ":"JWT","kid":"k"}"#,
            r#"{"alg":"EdDSA","kid":"k"}"#,
            r#"{"alg":"EdDSA","typ":"hwaccess+jwt"}"#,
            r#"{"alg":"EdDSA","typ":"hwaccess+jwt","kid":"k","crit":["b64"]}"#,
            &format!(
                r#"{{"alg":"EdDSA","typ":"hwaccess+jwt","kid":"{}"}}"#,
                "k".repeat(1024)
            ),
        ] {
            assert_eq!(acceptable(&token(bad)), None, "{bad}");
        }
        assert_eq!(acceptable("hwak_a_b"), None);
    }
}
