//! Stream keys: a publisher's secret for one camera. Who manages the camera manages its keys.

use headworks_types::{
    CameraId, EventKind, ProjectId, StreamKey, StreamKeyCreate, StreamKeyCreated, StreamKeyId,
    StreamKeyRotate,
};
use sqlx::PgConnection;

use super::{Begun, Caller, Error, Once, Result, Sight, camera::require_managed};
use crate::{
    credential::{Kind, generate},
    db::{
        event::{NewEvent, event_insert},
        stream_key::{
            self, stream_key_camera, stream_key_expire, stream_key_insert, stream_key_lock,
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
    let project = require_managed(conn, &sight, camera).await?;
    let credential = generate(&state.keys, Kind::StreamKey);
    let id = state.ids.next();
    let key = stream_key_insert(conn, camera, id, &new.name, new.expires_at, &credential).await?;
    let kind = EventKind::StreamKeyCreated;
    announce(conn, caller, project, &key, kind, "was created").await?;
    let created = StreamKeyCreated {
        stream_key: key,
        secret: credential.secret,
    };
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
    let (new, expires_at) = (state.ids.next(), old.expires_at);
    let key =
        stream_key_insert(conn, old.camera_id, new, &old.name, expires_at, &credential).await?;
    let what = format!("was exchanged for {new}, which has the same name");
    announce(
        conn,
        caller,
        project,
        &old,
        EventKind::StreamKeyRotated,
        &what,
    )
    .await?;
    let created = StreamKeyCreated {
        stream_key: key,
        secret: credential.secret,
    };
    write.commit(&created).await?;
    Ok(created)
}

/// Revokes a key: it works no more.
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
        let kind = EventKind::StreamKeyRevoked;
        announce(conn, caller, project, &key, kind, "was revoked").await?;
    }
    write.commit(&key).await?;
    Ok(key)
}

/// The key with its camera's project, if the caller may manage that camera.
async fn get_locked(
    conn: &mut PgConnection,
    sight: &Sight,
    id: StreamKeyId,
) -> Result<(ProjectId, StreamKey)> {
    let unknown = || Error::not_found(id);
    let camera = stream_key_camera(conn, id).await?.ok_or_else(unknown)?;
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
        actor: &caller.api_key_id.to_string(),
        message: format!("stream key `{}` of {} {what}", key.name, key.camera_id),
    };
    Ok(event_insert(conn, event).await?)
}
