//! Who comes with a playback token to be sent to an edge.
//!
//! Checks what the token itself says (RFC 7519, RFC 8725): that a key of ours or of a customer has
//! signed it, that it opens this camera now, and that it was not revoked. Whoever fails learns
//! nothing but that. From where it may be watched, and how many may watch with it, is left to the edge,
//! which looks at everything again.

use headworks_types::{
    Action, CameraId, PLAYBACK_AUDIENCE, PLAYBACK_ISSUER, PLAYBACK_TYP, PlaybackClaims,
    PlaybackKeyId, PublicKeyKind,
    edge::{PlaybackKeyRule, RevocationKind},
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};

use super::{Error, Result};
use crate::{
    db::{
        playback::{Visited, is_revoked, visited_get},
        playback_key::playback_key_rule,
    },
    state::State,
};

/// How far clocks of issuer and database may be apart, seconds.
const LEEWAY: i64 = 2;
/// No token with 50 cameras is longer.
const MAX_LENGTH: usize = 8192;
/// The longest name of a key.
const MAX_KID: usize = 64;
/// The longest name that a customer may give to a viewer or a token.
const MAX_NAME: usize = 128;

const REFUSED: Error =
    Error::Unauthenticated("this needs a playback token that opens this camera now, as `?token=…`");

/// A key that the token may be signed with.
struct Key {
    algorithm: Algorithm,
    key: DecodingKey,
    /// Of a customer's key.
    rule: Option<PlaybackKeyRule>,
}

/// Lets the visitor pass if the token opens the camera.
pub(crate) async fn visit(state: &State, token: &str, camera: CameraId) -> Result<()> {
    if token.len() > MAX_LENGTH {
        return Err(REFUSED);
    }
    let kid = kid(token).ok_or(REFUSED)?;
    let key = Key::find(state, &kid).await?.ok_or(REFUSED)?;
    let claims = key.open(token).ok_or(REFUSED)?;
    let conn = &mut *state.pool.acquire().await?;
    let visited = visited_get(conn, camera).await?.ok_or(REFUSED)?;
    let opens = opens(&claims, camera, &visited)
        && key
            .rule
            .as_ref()
            .is_none_or(|rule| is_within(rule, &claims, camera, &visited));
    if !opens {
        return Err(REFUSED);
    }
    let names = names(&key, kid, camera, &claims);
    if is_revoked(conn, &names, visited.project, claims.iat).await? {
        return Err(REFUSED);
    }
    Ok(())
}

/// The name of the key, if this can be a token of ours at all. It only selects among our keys, and the
/// key has its algorithm.
fn kid(token: &str) -> Option<String> {
    let header = jsonwebtoken::decode_header(token).ok()?;
    let is_ours = header.typ.as_deref() == Some(PLAYBACK_TYP) && header.crit.is_none();
    let is_name = |kid: &String| kid.len() <= MAX_KID && kid.bytes().all(|b| b.is_ascii_graphic());
    header.kid.filter(|kid| is_ours && is_name(kid))
}

impl Key {
    async fn find(state: &State, kid: &str) -> Result<Option<Self>> {
        if let Ok(id) = kid.parse::<PlaybackKeyId>() {
            let mut conn = state.pool.acquire().await?;
            let rule = playback_key_rule(&mut conn, id).await?;
            return Ok(rule.and_then(Self::of_customer));
        }
        let key = state.auth.signing_key(state, kid).await?;
        Ok(key.map(|key| Self {
            algorithm: Algorithm::EdDSA,
            key,
            rule: None,
        }))
    }

    fn of_customer(rule: PlaybackKeyRule) -> Option<Self> {
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
        Some(Self {
            algorithm,
            key,
            rule: Some(rule),
        })
    }

    /// What the token says, if this key has signed it. Claims are checked below, against the
    /// database's clock.
    fn open(&self, token: &str) -> Option<PlaybackClaims> {
        let mut signature_only = Validation::new(self.algorithm);
        signature_only.required_spec_claims.clear();
        signature_only.validate_exp = false;
        signature_only.validate_nbf = false;
        signature_only.validate_aud = false;
        let claims: PlaybackClaims = jsonwebtoken::decode(token, &self.key, &signature_only)
            .ok()?
            .claims;
        let is_foreign = claims
            .iss
            .as_deref()
            .is_some_and(|iss| iss != PLAYBACK_ISSUER);
        (self.rule.is_some() || !is_foreign).then_some(claims)
    }
}

/// Whether the token is for watching this camera, now.
fn opens(claims: &PlaybackClaims, camera: CameraId, visited: &Visited) -> bool {
    let now = visited.now.timestamp();
    let starts = claims.iat.max(claims.nbf.unwrap_or(i64::MIN));
    let open = claims.exp.checked_sub(claims.iat);
    let watch = claims.watch_until().checked_sub(claims.iat);
    let is_sane = open.is_some_and(|open| (0..=PlaybackClaims::MAX_OPEN).contains(&open))
        && watch.is_some_and(|watch| (1..=PlaybackClaims::MAX_WATCH).contains(&watch));
    let is_now = starts <= now + LEEWAY
        && claims.exp.saturating_add(LEEWAY) >= now
        && claims.watch_until() > now;
    let is_named = claims.cams.contains(&camera)
        || visited
            .groups
            .iter()
            .any(|group| claims.grps.contains(group));
    let names = [Some(&claims.sub), claims.by.as_ref(), claims.jti.as_ref()];
    claims.aud == PLAYBACK_AUDIENCE
        && is_sane
        && is_now
        && is_named
        && claims.act.contains(&Action::CameraViewLive)
        && names.into_iter().flatten().all(|name| is_name(name))
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// Whether a customer's key may say all of that.
fn is_within(
    rule: &PlaybackKeyRule,
    claims: &PlaybackClaims,
    camera: CameraId,
    visited: &Visited,
) -> bool {
    let bounds = &rule.bounds;
    let longest = i64::from(bounds.max_watch_seconds).min(PlaybackClaims::WATCH);
    let watch = claims
        .sxp
        .map_or(longest, |sxp| sxp.saturating_sub(claims.iat));
    let mut groups = visited.groups.iter();
    rule.project_id == visited.project
        && (bounds.whole_project
            || bounds.camera_ids.contains(&camera)
            || groups.any(|group| bounds.camera_group_ids.contains(group)))
        && bounds.actions().contains(&Action::CameraViewLive)
        && claims.exp.saturating_sub(claims.iat) <= bounds.max_expires_in_seconds.into()
        && watch <= bounds.max_watch_seconds.into()
        && claims.iat.saturating_add(watch) > visited.now.timestamp()
}

/// Everything whose revocation takes the token's worth. Nobody's viewers are taken for our users.
fn names(
    key: &Key,
    kid: String,
    camera: CameraId,
    claims: &PlaybackClaims,
) -> Vec<(RevocationKind, String)> {
    let mut names = vec![(RevocationKind::Camera, camera.to_string())];
    if key.rule.is_none() {
        let subjects = [Some(&claims.sub), claims.by.as_ref()]
            .into_iter()
            .flatten();
        names.extend(subjects.map(|subject| (RevocationKind::Subject, subject.clone())));
    } else {
        names.push((RevocationKind::Subject, kid.clone()));
    }
    names.push((RevocationKind::Key, kid));
    names.extend(
        claims
            .jti
            .clone()
            .map(|token| (RevocationKind::Token, token)),
    );
    names
}
