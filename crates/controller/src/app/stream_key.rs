//! Stream keys: a publisher's secret for one camera. Who manages the camera manages its keys.
//!
//! Every change tells the edge that holds the camera, in the same transaction. The camera is locked
//! first, as by those who change or delete it.

use chrono::{DateTime, Utc};
use headworks_types::{
    CameraId, CameraSource, EventKind, ProjectId, PublishUrls, StreamKey, StreamKeyCreate,
    StreamKeyCreated, StreamKeyId, StreamKeyRotate, StreamKeyUpdate,
};
use sqlx::PgConnection;

use super::{
    Begun, Caller, Error, Expected, Once, Result, Sight, Versioned, camera::require_managed,
};
use crate::{
    credential::{Kind, NewCredential, generate},
    db::{
        camera::{camera_lock, camera_source},
        event::{NewEvent, event_insert},
        slot::{playback_list, slot_tell},
        stream_key::{
            self, NewStreamKey, stream_key_camera, stream_key_count, stream_key_expire,
            stream_key_get, stream_key_insert, stream_key_lock,
        },
    },
    state::State,
};

/// The most keys of a camera that work at once: its edge looks through all of them.
const MOST: i64 = 100;

/// Creates a key for a camera.
pub(crate) async fn stream_key_create(
    state: &State,
    caller: &Caller,
    once: Once,
    camera: CameraId,
    new: StreamKeyCreate,
) -> Result<StreamKeyCreated> {
    let sight = caller.sight()?;
    require_future(state, new.expires_at)?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(created) => return Ok(created),
    };
    let conn = write.conn();
    camera_lock(conn, &sight, camera).await?;
    let project = require_managed(conn, &sight, camera).await?;
    if camera_source(conn, project, camera).await? != CameraSource::Publish {
        return Err(Error::Conflict(format!(
            "{camera} is not published to us; a stream key is for a camera with the source \
             `publish`"
        )));
    }
    let credential = generate(&state.keys, Kind::StreamKey);
    let new = NewStreamKey {
        id: state.ids.next(),
        camera,
        name: &new.name,
        expires_at: new.expires_at,
        on_conflict: new.on_conflict,
        bounds: &new.bounds(),
        credential: &credential,
    };
    let key = insert(conn, project, new).await?;
    slot_tell(conn, camera).await?;
    let kind = EventKind::StreamKeyCreated;
    announce(conn, caller, project, &key, kind, "was created").await?;
    let created = shown_once(conn, project, key, credential).await?;
    write.commit(&created).await?;
    Ok(created)
}

/// The key, if the caller may manage its camera.
pub(crate) async fn stream_key_view(
    conn: &mut PgConnection,
    caller: &Caller,
    id: StreamKeyId,
) -> Result<Versioned<StreamKey>> {
    let unknown = || Error::not_found(id);
    let camera = stream_key_camera(conn, id).await?.ok_or_else(unknown)?;
    let project = managed(conn, &caller.sight()?, camera, id).await?;
    stream_key_get(conn, project, id).await?.ok_or_else(unknown)
}

/// Changes a key that works. Who publishes with it and does not fit any more is closed.
pub(crate) async fn stream_key_update(
    state: &State,
    caller: &Caller,
    id: StreamKeyId,
    expected: Expected,
    change: StreamKeyUpdate,
) -> Result<Versioned<StreamKey>> {
    let sight = caller.sight()?;
    require_future(state, change.expires_at.flatten())?;
    let mut tx = state.pool.begin().await?;
    let (project, old) = get_locked(&mut tx, &sight, id).await?;
    expected.check(old.version)?;
    require_working(state, &old.thing)?;
    let key = changed(&old.thing, change);
    if key == old.thing {
        return Ok(old);
    }
    let key = stream_key::stream_key_update(&mut tx, project, &key).await?;
    slot_tell(&mut tx, key.thing.camera_id).await?;
    let kind = EventKind::StreamKeyUpdated;
    announce(&mut tx, caller, project, &key.thing, kind, "was changed").await?;
    tx.commit().await?;
    Ok(key)
}

fn changed(old: &StreamKey, change: StreamKeyUpdate) -> StreamKey {
    let mut key = old.clone();
    key.name = change.name.unwrap_or(key.name);
    key.expires_at = change.expires_at.unwrap_or(key.expires_at);
    key.on_conflict = change.on_conflict.unwrap_or(key.on_conflict);
    let bounds = &mut key.bounds;
    if let Some(networks) = change.networks {
        bounds.networks = networks;
    }
    if let Some(protocols) = change.protocols {
        bounds.protocols = protocols;
    }
    if let Some(kbit) = change.max_bitrate_kbit {
        bounds.max_bitrate_kbit = kbit;
    }
    key
}

fn require_future(state: &State, expires_at: Option<DateTime<Utc>>) -> Result<()> {
    if expires_at.is_some_and(|at| at <= state.clock.now()) {
        return Err(Error::invalid("/expires_at", "must be in the future"));
    }
    Ok(())
}

/// What has ended does not come back: somebody has ended it for a reason.
fn require_working(state: &State, key: &StreamKey) -> Result<()> {
    let ended = key.expires_at.is_some_and(|at| at <= state.clock.now());
    if key.revoked_at.is_some() || ended {
        return Err(Error::Conflict(format!(
            "{} works no more; create a new key",
            key.id
        )));
    }
    Ok(())
}

/// Exchanges a key for a new one; the old one goes on working for a while.
pub(crate) async fn stream_key_rotate(
    state: &State,
    caller: &Caller,
    once: Once,
    id: StreamKeyId,
    rotate: StreamKeyRotate,
) -> Result<StreamKeyCreated> {
    let sight = caller.sight()?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(created) => return Ok(created),
    };
    let conn = write.conn();
    let (project, old) = get_locked(conn, &sight, id).await?;
    let old = old.thing;
    require_working(state, &old)?;
    stream_key_expire(conn, project, id, rotate.grace_seconds).await?;
    let credential = generate(&state.keys, Kind::StreamKey);
    let new = NewStreamKey {
        id: state.ids.next(),
        camera: old.camera_id,
        name: &old.name,
        expires_at: old.expires_at,
        on_conflict: old.on_conflict,
        bounds: &old.bounds,
        credential: &credential,
    };
    let key = insert(conn, project, new).await?;
    slot_tell(conn, old.camera_id).await?;
    let what = format!("was exchanged for {}, which has the same name", key.id);
    let kind = EventKind::StreamKeyRotated;
    announce(conn, caller, project, &old, kind, &what).await?;
    let created = shown_once(conn, project, key, credential).await?;
    write.commit(&created).await?;
    Ok(created)
}

/// Revokes a key: it works no more, and who publishes with it is closed.
pub(crate) async fn stream_key_revoke(
    state: &State,
    caller: &Caller,
    once: Once,
    id: StreamKeyId,
) -> Result<StreamKey> {
    let sight = caller.sight()?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(key) => return Ok(key),
    };
    let conn = write.conn();
    let (project, old) = get_locked(conn, &sight, id).await?;
    let key = stream_key::stream_key_revoke(conn, project, id).await?;
    if old.thing.revoked_at.is_none() {
        slot_tell(conn, key.camera_id).await?;
        let kind = EventKind::StreamKeyRevoked;
        announce(conn, caller, project, &key, kind, "was revoked").await?;
    }
    write.commit(&key).await?;
    Ok(key)
}

/// Adds a key to its camera, unless that has enough.
async fn insert(
    conn: &mut PgConnection,
    project: ProjectId,
    new: NewStreamKey<'_>,
) -> Result<StreamKey> {
    if stream_key_count(conn, project, new.camera).await? >= MOST {
        return Err(Error::Conflict(format!(
            "{} has {MOST} stream keys that work; revoke one of them first",
            new.camera
        )));
    }
    Ok(stream_key_insert(conn, project, new).await?)
}

/// The key with its secret, and where to publish with it now.
async fn shown_once(
    conn: &mut PgConnection,
    project: ProjectId,
    key: StreamKey,
    credential: NewCredential,
) -> Result<StreamKeyCreated> {
    let camera = key.camera_id;
    let publish_urls = if camera_source(conn, project, camera).await? == CameraSource::Publish {
        let places = playback_list(conn, &[camera]).await?;
        let node = places.get(&camera).map(|(_, advertise)| advertise);
        node.and_then(|node| PublishUrls::new(node, camera, Some(&credential.secret)))
            .and_then(|urls| urls.within(&key.bounds))
    } else {
        None
    };
    Ok(StreamKeyCreated {
        stream_key: key,
        secret: credential.secret,
        publish_urls,
    })
}

/// The key with its camera's project, if the caller may manage that camera.
async fn get_locked(
    conn: &mut PgConnection,
    sight: &Sight,
    id: StreamKeyId,
) -> Result<(ProjectId, Versioned<StreamKey>)> {
    let unknown = || Error::not_found(id);
    let camera = stream_key_camera(conn, id).await?.ok_or_else(unknown)?;
    camera_lock(conn, sight, camera).await?;
    let project = managed(conn, sight, camera, id).await?;
    let key = stream_key_lock(conn, project, id).await?;
    Ok((project, key.ok_or_else(unknown)?))
}

/// The project of the key's camera. Who may not know of the camera does not hear of it either.
async fn managed(
    conn: &mut PgConnection,
    sight: &Sight,
    camera: CameraId,
    id: StreamKeyId,
) -> Result<ProjectId> {
    match require_managed(conn, sight, camera).await {
        Err(Error::NotFound(_)) => Err(Error::not_found(id)),
        other => other,
    }
}

async fn announce(
    conn: &mut PgConnection,
    caller: &Caller,
    project: ProjectId,
    key: &StreamKey,
    kind: EventKind,
    what: &str,
) -> Result<()> {
    let event = NewEvent {
        project_id: Some(project),
        kind,
        subject: key.id.to_string(),
        actor: &caller.identity.to_string(),
        message: format!("stream key `{}` of {} {what}", key.name, key.camera_id),
    };
    Ok(event_insert(conn, event).await?)
}
