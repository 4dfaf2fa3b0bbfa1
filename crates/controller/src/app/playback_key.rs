//! Playback keys: customers sign tokens themselves, within bounds.

use std::collections::HashSet;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey};
use headworks_types::{
    Action, EventKind, GrantObject, PlaybackBounds, PlaybackKey, PlaybackKeyCreate, PlaybackKeyId,
    ProjectId, PublicKey, PublicKeyKind,
};
use sqlx::PgConnection;

use super::{
    Begun, Caller, Error, Once, Result,
    access::{Actions, require_each},
    revocation,
};
use crate::{
    db::{
        camera::camera_find,
        camera_group::camera_group_find,
        event::{NewEvent, event_insert},
        playback_key::{
            playback_key_count, playback_key_get, playback_key_insert,
            playback_key_revoke as key_revoke,
        },
        revocation::ring,
    },
    state::State,
};

/// The most keys of a project that work at once: every edge has all of them.
const MOST: i64 = 100;

/// Registers a key.
pub(crate) async fn playback_key_create(
    state: &State,
    caller: &Caller,
    once: Once,
    new: PlaybackKeyCreate,
) -> Result<PlaybackKey> {
    let project = new.project_id.unwrap_or(caller.project_id);
    let reach = caller.reach(Action::ProjectManage)?;
    if !reach.covers(project) {
        return Err(Error::not_found(project));
    }
    let public_key = check_key(&new)?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(key) => return Ok(key),
    };
    let conn = write.conn();
    check_places(conn, project, &new.bounds).await?;
    let actions = bounded_actions(conn, caller, project, &new.bounds).await?;
    if playback_key_count(conn, project).await? >= MOST {
        return Err(Error::Conflict(format!(
            "the project has {MOST} playback keys that work; revoke one of them first"
        )));
    }
    let key = PlaybackKey {
        id: state.ids.next(),
        project_id: project,
        name: new.name,
        public_key,
        bounds: PlaybackBounds {
            actions: Some(actions),
            ..new.bounds
        },
        revoked_at: None,
        created_at: state.clock.now(),
    };
    let key = playback_key_insert(conn, &key).await?;
    ring(conn).await?;
    let kind = EventKind::PlaybackKeyCreated;
    announce(conn, caller, &key, kind, "was registered").await?;
    write.commit(&key).await?;
    Ok(key)
}

/// Revokes a key: its tokens open nothing, and who watches with one is thrown out.
pub(crate) async fn playback_key_revoke(
    state: &State,
    caller: &Caller,
    once: Once,
    id: PlaybackKeyId,
) -> Result<PlaybackKey> {
    let reach = caller.reach(Action::ProjectManage)?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(key) => return Ok(key),
    };
    let conn = write.conn();
    let old = playback_key_get(conn, &reach, id)
        .await?
        .ok_or_else(|| Error::not_found(id))?;
    let key = key_revoke(conn, &reach, id).await?;
    if old.revoked_at.is_none() {
        revocation::end_playback_key(conn, id).await?;
        let kind = EventKind::PlaybackKeyRevoked;
        announce(conn, caller, &key, kind, "was revoked").await?;
    }
    write.commit(&key).await?;
    Ok(key)
}

/// What the key's tokens allow at most. Nobody lets others do what they may not do themselves: what
/// is asked for is refused then, and the sound that nobody has asked for is left out.
async fn bounded_actions(
    conn: &mut PgConnection,
    caller: &Caller,
    project: ProjectId,
    bounds: &PlaybackBounds,
) -> Result<Vec<Action>> {
    let whole = bounds.whole_project;
    let whole = whole.then_some(GrantObject::Project { id: project });
    let groups = bounds.camera_group_ids.iter();
    let groups = groups.map(|&id| GrantObject::CameraGroup { id });
    let cameras = bounds.camera_ids.iter();
    let cameras = cameras.map(|&id| GrantObject::Camera { id });
    let actions: Actions = bounds.actions().iter().copied().collect();
    let objects = whole.into_iter().chain(groups).chain(cameras);
    let wanted: Vec<_> = objects.map(|object| (object, actions)).collect();
    let common = require_each(conn, caller, &wanted).await?;
    let sound = Some(Action::CameraViewAudio);
    let sound = sound.filter(|sound| bounds.actions.is_none() && common.include(*sound));
    Ok(bounds.actions().iter().copied().chain(sound).collect())
}

/// The key, if signatures can be checked with it.
fn check_key(new: &PlaybackKeyCreate) -> Result<PublicKey> {
    let invalid = |field: &str, words: &str| Error::invalid(format!("/{field}"), words);
    let key = new
        .public_key()
        .map_err(|(field, words)| invalid(field, words))?;
    let field = if new.pem.is_some() { "pem" } else { "jwk" };
    let kind = key.kind().map_err(|words| invalid(field, words))?;
    let parsed = match kind {
        PublicKeyKind::Ed25519 => ParsedPublicKey::new(&ED25519, key.bytes()),
        PublicKeyKind::P256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.bytes()),
    };
    parsed.map_err(|_| invalid(field, "is no point on its curve"))?;
    Ok(key)
}

async fn check_places(
    conn: &mut PgConnection,
    project: ProjectId,
    bounds: &PlaybackBounds,
) -> Result<()> {
    let found = camera_find(conn, project, &bounds.camera_ids, &[]).await?;
    let found: HashSet<_> = found.into_iter().map(|camera| camera.id).collect();
    let missing = |id| !found.contains(id);
    if let Some(index) = bounds.camera_ids.iter().position(missing) {
        return Err(Error::invalid(
            format!("/bounds/camera_ids/{index}"),
            "is no camera of the project",
        ));
    }
    let found = camera_group_find(conn, project, &bounds.camera_group_ids).await?;
    let found: HashSet<_> = found.into_iter().collect();
    let missing = |id| !found.contains(id);
    if let Some(index) = bounds.camera_group_ids.iter().position(missing) {
        return Err(Error::invalid(
            format!("/bounds/camera_group_ids/{index}"),
            "is no camera group of the project",
        ));
    }
    Ok(())
}

async fn announce(
    conn: &mut PgConnection,
    caller: &Caller,
    key: &PlaybackKey,
    kind: EventKind,
    what: &str,
) -> Result<()> {
    let event = NewEvent {
        project_id: Some(key.project_id),
        kind,
        subject: key.id.to_string(),
        actor: &caller.identity.to_string(),
        message: format!("playback key `{}` {what}", key.name),
    };
    Ok(event_insert(conn, event).await?)
}
