//! Checks playback tokens (RFC 7519, RFC 8725) with nothing but the cached keys.
//!
//! A token chooses neither the algorithm nor the key: `kid` only selects among the keys that the
//! controller has sent, and the key has its algorithm, EdDSA or ES256. Keys and addresses in the
//! header (`jwk`, `jku`, `x5u`, …) are never looked at, and critical extensions are refused.
//!
//! A customer's key opens no more than its bounds, whatever it signs.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use aws_lc_rs::digest;
use chrono::{DateTime, Utc};
use headworks_bootstrap::subnet;
use headworks_types::{
    Action, CameraGroupId, CameraId, Jwks, PLAYBACK_AUDIENCE, PLAYBACK_ISSUER, PLAYBACK_TYP,
    PlaybackClaims, ProjectId, PublicKeyKind, SessionId, ViewProtocol, edge::PlaybackKeyRule,
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};
use uuid::Uuid;

use super::{CameraView, Denied};
use crate::session::{About, Client};

/// How far clocks of issuer and edge may be apart, seconds.
const LEEWAY: i64 = 2;
/// No token with 50 cameras is longer.
const MAX_LENGTH: usize = 8192;
/// The longest name that a customer may give to a viewer or a token.
const MAX_NAME: usize = 128;
/// No origin is longer, by the API either; with it, any session's ticket stays within its bounds.
const MAX_ORIGIN: usize = 255;

/// The public keys by `kid`.
#[derive(Default)]
pub(super) struct KeySet(HashMap<String, Key>);

struct Key {
    algorithm: Algorithm,
    key: DecodingKey,
    /// Of a customer's key.
    bounds: Option<Bounds>,
}

/// What a customer's key may say at most.
struct Bounds {
    project: ProjectId,
    whole_project: bool,
    cameras: HashSet<CameraId>,
    groups: HashSet<CameraGroupId>,
    actions: HashSet<Action>,
    open: i64,
    watch: i64,
}

/// What a token is asked for.
pub(super) struct Asked<'a> {
    pub(super) camera: CameraId,
    /// What is known of it.
    pub(super) view: Option<&'a CameraView>,
    pub(super) action: Action,
    pub(super) client: &'a Client,
}

impl KeySet {
    /// Keys that cannot be used here are left out, and named in the log.
    pub(super) fn new(jwks: &Jwks, rules: &[PlaybackKeyRule]) -> Self {
        let mut keys = HashMap::new();
        for rule in rules {
            match Key::of_customer(rule) {
                Some(key) => drop(keys.insert(rule.id.to_string(), key)),
                None => {
                    tracing::warn!(key.id = %rule.id, "a playback key cannot be used; left out");
                }
            }
        }
        // Behind the others: nobody's key takes the place of ours.
        for jwk in &jwks.keys {
            let fits = jwk.kty == "OKP" && jwk.crv == "Ed25519" && jwk.alg == "EdDSA";
            match DecodingKey::from_ed_components(&jwk.x) {
                Ok(key) if fits => {
                    let key = Key {
                        algorithm: Algorithm::EdDSA,
                        key,
                        bounds: None,
                    };
                    keys.insert(jwk.kid.clone(), key);
                }
                _ => tracing::warn!(kid = jwk.kid, "a token key is not an Ed25519 key; left out"),
            }
        }
        Self(keys)
    }
}

impl Key {
    fn of_customer(rule: &PlaybackKeyRule) -> Option<Self> {
        let public = &rule.public_key;
        let (algorithm, key) = match public.kind().ok()? {
            PublicKeyKind::Ed25519 => (
                Algorithm::EdDSA,
                DecodingKey::from_ed_components(&public.x).ok()?,
            ),
            PublicKeyKind::P256 => {
                let y = public.y.as_deref()?;
                let key = DecodingKey::from_ec_components(&public.x, y).ok()?;
                (Algorithm::ES256, key)
            }
        };
        let bounds = &rule.bounds;
        Some(Self {
            algorithm,
            key,
            bounds: Some(Bounds {
                project: rule.project_id,
                whole_project: bounds.whole_project,
                cameras: bounds.camera_ids.iter().copied().collect(),
                groups: bounds.camera_group_ids.iter().copied().collect(),
                actions: bounds.actions().iter().copied().collect(),
                open: bounds.max_expires_in_seconds.into(),
                watch: bounds.max_watch_seconds.into(),
            }),
        })
    }
}

/// The session that the token opens, if it is good now and for what is asked.
pub(super) fn verify(
    token: &str,
    keys: &KeySet,
    asked: &Asked<'_>,
    now: DateTime<Utc>,
) -> Result<About, Denied> {
    let (kid, key) = choose(token, keys)?;
    let claims = jsonwebtoken::decode::<PlaybackClaims>(token, &key.key, &signature_only(key))
        .map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature => Denied::Signature,
            _ => Denied::Malformed,
        })?
        .claims;
    let until = check(&claims, key.bounds.as_ref(), now)?;
    check_camera(&claims, asked)?;
    if let Some(bounds) = &key.bounds {
        bounds.check(asked)?;
    }
    let sound = Action::CameraViewAudio;
    let within = key.bounds.as_ref();
    let within = within.is_none_or(|bounds| bounds.actions.contains(&sound));
    let sound = within && claims.act.contains(&sound);
    let (subject, issuer, viewer) = match key.bounds {
        // Nobody's viewers are taken for our users.
        Some(_) => (kid.clone(), None, Some(claims.vid.unwrap_or(claims.sub))),
        None => (claims.sub, claims.by, claims.vid),
    };
    let place = subnet(asked.client.address);
    Ok(About {
        id: session_id(token, asked, place),
        camera: asked.camera,
        subject,
        issuer,
        viewer,
        sound,
        token: claims.jti,
        key: kid,
        max: claims.max,
        place,
        network: claims.ip,
        origin: claims.org,
        issued: claims.iat,
        until,
    })
}

/// HLS has no connection that would tell viewers apart: whoever comes with the same token from the
/// same place for the same camera is the same, and counts once however often he loads the page.
fn session_id(token: &str, asked: &Asked<'_>, place: IpAddr) -> SessionId {
    if asked.client.protocol != ViewProtocol::Hls {
        return Uuid::new_v4().into();
    }
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in [&asked.camera.to_string(), &place.to_string(), token] {
        hash.update(part.as_bytes());
        hash.update(b"\0");
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finish().as_ref()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().into()
}

/// The key that the token says it was signed with.
fn choose<'a>(token: &str, keys: &'a KeySet) -> Result<(String, &'a Key), Denied> {
    if token.len() > MAX_LENGTH {
        return Err(Denied::Malformed);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|error| match error.kind() {
        // An algorithm that the library does not know, `none` among them.
        ErrorKind::InvalidAlgorithmName => Denied::Algorithm,
        _ => Denied::Malformed,
    })?;
    if !matches!(header.alg, Algorithm::EdDSA | Algorithm::ES256) {
        return Err(Denied::Algorithm);
    }
    if header.typ.as_deref() != Some(PLAYBACK_TYP) || header.crit.is_some() {
        return Err(Denied::Type);
    }
    let kid = header.kid.ok_or(Denied::KeyId)?;
    let key = keys.0.get(&kid).ok_or(Denied::UnknownKey)?;
    if header.alg != key.algorithm {
        return Err(Denied::Algorithm);
    }
    Ok((kid, key))
}

/// The library checks the signature; claims are checked below, against our own clock.
fn signature_only(key: &Key) -> Validation {
    let mut validation = Validation::new(key.algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

/// Until when its session may watch, if the token makes sense and opens one now.
fn check(
    claims: &PlaybackClaims,
    bounds: Option<&Bounds>,
    now: DateTime<Utc>,
) -> Result<i64, Denied> {
    let foreign = claims
        .iss
        .as_deref()
        .is_some_and(|iss| iss != PLAYBACK_ISSUER);
    if bounds.is_none() && foreign {
        return Err(Denied::Issuer);
    }
    if claims.aud != PLAYBACK_AUDIENCE {
        return Err(Denied::Audience);
    }
    let names = [Some(&claims.sub), claims.vid.as_ref(), claims.jti.as_ref()];
    let bad_name = |name: &&String| name.is_empty() || name.len() > MAX_NAME || has_control(name);
    let is_long = |origin: &String| origin.len() > MAX_ORIGIN;
    if names.into_iter().flatten().any(|name| bad_name(&name))
        || claims.max.is_some() && claims.jti.is_none()
        || claims.org.as_ref().is_some_and(is_long)
    {
        return Err(Denied::Malformed);
    }
    let now = now.timestamp();
    let longest = bounds.map_or(PlaybackClaims::WATCH, |bounds| {
        bounds.watch.min(PlaybackClaims::WATCH)
    });
    let until = match claims.sxp {
        Some(sxp) => sxp,
        None => claims.iat.checked_add(longest).ok_or(Denied::Times)?,
    };
    let open = claims.exp.checked_sub(claims.iat).ok_or(Denied::Times)?;
    let watch = until.checked_sub(claims.iat).ok_or(Denied::Times)?;
    // This also catches milliseconds, in one of them or in all.
    let sane = (0..=PlaybackClaims::MAX_OPEN).contains(&open)
        && (1..=PlaybackClaims::MAX_WATCH).contains(&watch)
        && (claims.sxp.is_none() || watch >= open);
    if !sane || claims.iat > now.saturating_add(PlaybackClaims::MAX_WATCH) {
        return Err(Denied::Times);
    }
    if let Some(bounds) = bounds
        && (open > bounds.open || watch > bounds.watch)
    {
        return Err(Denied::Bounds);
    }
    if claims.iat.max(claims.nbf.unwrap_or(i64::MIN)) > now + LEEWAY {
        return Err(Denied::NotYet);
    }
    if claims.exp.saturating_add(LEEWAY) < now {
        return Err(Denied::Expired);
    }
    if until <= now {
        return Err(Denied::WatchOver);
    }
    Ok(until)
}

fn has_control(name: &str) -> bool {
    name.chars().any(char::is_control)
}

/// The token's own cameras, groups and actions.
fn check_camera(claims: &PlaybackClaims, asked: &Asked<'_>) -> Result<(), Denied> {
    let in_groups = asked.view.is_some_and(|view| {
        let mut groups = view.policy.groups.iter();
        groups.any(|group| claims.grps.contains(group))
    });
    if !claims.cams.contains(&asked.camera) && !in_groups {
        return Err(Denied::OtherCamera);
    }
    if !claims.act.contains(&asked.action) {
        return Err(Denied::Action);
    }
    Ok(())
}

impl Bounds {
    /// A camera of which nothing is known is beyond them.
    fn check(&self, asked: &Asked<'_>) -> Result<(), Denied> {
        let view = asked.view.ok_or(Denied::Bounds)?;
        let mut groups = view.policy.groups.iter();
        let within = self.whole_project
            || self.cameras.contains(&asked.camera)
            || groups.any(|group| self.groups.contains(group));
        if view.project == self.project && within && self.actions.contains(&asked.action) {
            Ok(())
        } else {
            Err(Denied::Bounds)
        }
    }
}
