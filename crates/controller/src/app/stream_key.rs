//! Stream keys: a publisher's secret for one camera. Who manages the camera manages its keys.
//!
//! Every change tells the edge that holds the camera, in the same transaction. The camera is locked
//! first, as by those who change or delete it.

use headworks_types::{
    CameraId, CameraSource, EventKind, ProjectId, PublishUrls, StreamKey, StreamKeyCreate,
    StreamKeyCreated, StreamKeyId, StreamKeyRotate,
};
use sqlx::PgConnection;

use super::{Begun, Caller, Error, Once, Result, Sight, camera::require_managed};
use crate::{
    credential::{Kind, NewCredential, generate},
    db::{
        camera::{camera_lock, camera_source},
        event::{NewEvent, event_insert},
        slot::{playback_list, slot_tell},
        stream_key::{
            self, NewStreamKey, stream_key_camera, stream_key_expire, stream_key_insert,
            stream_key_lock,
        },
    },
    state::State,
};

/// Creates a key for a camera.
pub(crate) async fn stream_key_create(
    state: &State,
    caller: &Caller,
    once: Once,
    camera: CameraId,
    new: StreamKeyCreate,
) -> Result<StreamKeyCreated> {
    let sight = caller.sight()?;
    if new.expires_at.is_some_and(|at| at <= state.clock.now()) {
        return Err(Error::invalid("/expires_at", "must be in the future"));
    }
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
        credential: &credential,
    };
    let key = stream_key_insert(conn, new).await?;
    slot_tell(conn, camera).await?;
    let kind = EventKind::StreamKeyCreated;
    announce(conn, caller, project, &key, kind, "was created").await?;
    let created = shown_once(conn, project, key, credential).await?;
    write.commit(&created).await?;
    Ok(created)
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
    let ended = old.expires_at.is_some_and(|at| at <= state.clock.now());
    if old.revoked_at.is_some() || ended {
        return Err(Error::Conflict(format!(
            "{id} works no more; create a new key"
        )));
    }
    stream_key_expire(conn, project, id, rotate.grace_seconds).await?;
    let credential = generate(&state.keys, Kind::StreamKey);
    let new = NewStreamKey {
        id: state.ids.next(),
        camera: old.camera_id,
        name: &old.name,
        expires_at: old.expires_at,
        on_conflict: old.on_conflict,
        credential: &credential,
    };
    let key = stream_key_insert(conn, new).await?;
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
    if old.revoked_at.is_none() {
        slot_tell(conn, key.camera_id).await?;
        let kind = EventKind::StreamKeyRevoked;
        announce(conn, caller, project, &key, kind, "was revoked").await?;
    }
    write.commit(&key).await?;
    Ok(key)
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
) -> Result<(ProjectId, StreamKey)> {
    let unknown = || Error::not_found(id);
    let camera = stream_key_camera(conn, id).await?.ok_or_else(unknown)?;
    camera_lock(conn, sight, camera).await?;
    let project = match require_managed(conn, sight, camera).await {
        Err(Error::NotFound(_)) => return Err(unknown()),
        other => other?,
    };
    let key = stream_key_lock(conn, project, id).await?;
    Ok((project, key.ok_or_else(unknown)?))
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
