//! Checks ID tokens (OpenID Connect Core §3.1.3.7, RFC 8725): no I/O, no clock.
//!
//! The token chooses neither the key set nor an algorithm that we do not name. Keys and addresses in
//! its header are never looked at.

use headworks_types::{Secret, Violations};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    errors::ErrorKind,
    jwk::{Jwk, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::{Map, Value};

/// What providers may sign with: public keys only, so that nobody can sign with what we show.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
/// How far a provider's clock may be off, seconds.
const LEEWAY: i64 = 60;
/// Longer ones are not looked at; group claims may be long.
const MAX_LENGTH: usize = 64 << 10;
/// More groups than this nobody is in.
const MAX_GROUPS: usize = 1000;

/// What the token has to be.
pub(super) struct Wanted<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    /// Seconds since 1970.
    pub(super) now: i64,
}

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("it is not a token signed with an algorithm that is known")]
    Malformed,
    #[error("its algorithm is none of RS256, ES256 and EdDSA")]
    Algorithm,
    #[error("it is signed with a key that the provider does not show")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("it is of another issuer")]
    Issuer,
    #[error("it is not for us")]
    Audience,
    #[error("it has expired, or is of the future")]
    Times,
    #[error("its nonce is of another sign-in")]
    Nonce,
    #[error("its subject is not 1 to 255 characters long")]
    Subject,
}

/// What the provider says about somebody.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    iss: String,
    pub(super) sub: String,
    aud: OneOrMany,
    #[serde(default)]
    azp: Option<String>,
    exp: i64,
    iat: i64,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }
}

/// What the token says, if it is good for this sign-in.
pub(super) fn verify(token: &Secret, keys: &[Jwk], wanted: &Wanted<'_>) -> Result<Claims, Refused> {
    let token = token.expose();
    if token.len() > MAX_LENGTH {
        return Err(Refused::Malformed);
    }
    // Fails for algorithms that the library does not know, `none` among them.
    let header = jsonwebtoken::decode_header(token).map_err(|_| Refused::Malformed)?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(Refused::Algorithm);
    }
    if header.crit.is_some() {
        return Err(Refused::Malformed);
    }
    let key = choose(keys, header.kid.as_deref(), header.alg).ok_or(Refused::UnknownKey)?;
    let key = DecodingKey::from_jwk(key).map_err(|_| Refused::UnknownKey)?;
    let claims = jsonwebtoken::decode::<Claims>(token, &key, &signature_only(header.alg))
        .map_err(|error| match error.kind() {
            ErrorKind::Json(_) => Refused::Malformed,
            _ => Refused::Signature,
        })?
        .claims;
    check(&claims, wanted)?;
    Ok(claims)
}

/// The key of this name; without a name the only one that fits.
fn choose<'a>(keys: &'a [Jwk], kid: Option<&str>, algorithm: Algorithm) -> Option<&'a Jwk> {
    let fits = |key: &&Jwk| {
        let common = &key.common;
        let signs = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
        let said = common.key_algorithm.map(|said| said.to_string());
        signs && said.is_none_or(|said| said.parse() == Ok(algorithm))
    };
    let mut fitting = keys.iter().filter(fits);
    match kid {
        Some(kid) => fitting.find(|key| key.common.key_id.as_deref() == Some(kid)),
        None => fitting.next().filter(|_| fitting.next().is_none()),
    }
}

/// The library checks the signature; claims are checked below, against our own clock.
fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

fn check(claims: &Claims, wanted: &Wanted<'_>) -> Result<(), Refused> {
    if claims.iss != wanted.issuer {
        return Err(Refused::Issuer);
    }
    let audience = claims.aud.names();
    let for_us = audience.iter().any(|name| name == wanted.client_id);
    // Who is one of several must be the one that asked (§3.1.3.7, 4 and 5).
    let asked_by_us = match &claims.azp {
        Some(azp) => azp == wanted.client_id,
        None => audience.len() == 1,
    };
    if !for_us || !asked_by_us {
        return Err(Refused::Audience);
    }
    let ended = wanted.now >= claims.exp.saturating_add(LEEWAY);
    let future = claims.iat > wanted.now.saturating_add(LEEWAY);
    if ended || future {
        return Err(Refused::Times);
    }
    if claims.nonce.as_deref() != Some(wanted.nonce) {
        return Err(Refused::Nonce);
    }
    if !(1..=255).contains(&claims.sub.chars().count()) {
        return Err(Refused::Subject);
    }
    Ok(())
}

impl Claims {
    /// What to call the user.
    pub(super) fn name(&self) -> String {
        let texts = ["name", "preferred_username", "email"].iter();
        let texts = texts.filter_map(|claim| self.others.get(*claim)?.as_str());
        texts
            .chain([self.sub.as_str()])
            .map(|text| {
                let printable: String = text.chars().filter(|c| !c.is_control()).collect();
                let short: String = printable.trim().chars().take(128).collect();
                short.trim().to_owned()
            })
            .find(|name| !name.is_empty())
            .unwrap_or_else(|| "unnamed".to_owned())
    }

    /// The user's email in lower case, if the provider has made sure of it.
    pub(super) fn verified_email(&self) -> Option<String> {
        let verified = match self.others.get("email_verified")? {
            Value::Bool(verified) => *verified,
            Value::String(text) => text == "true",
            _ => false,
        };
        let email = self.others.get("email")?.as_str().filter(|_| verified)?;
        let mut found = Violations::default();
        found.email("email", email);
        let good = found.into_fields().is_empty();
        good.then(|| email.to_ascii_lowercase())
    }

    /// The texts in a claim: one, or a list.
    pub(super) fn groups(&self, claim: &str) -> Vec<String> {
        match self.others.get(claim) {
            Some(Value::String(name)) => vec![name.clone()],
            Some(Value::Array(names)) => names
                .iter()
                .filter_map(|name| name.as_str().map(str::to_owned))
                .take(MAX_GROUPS)
                .collect(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
