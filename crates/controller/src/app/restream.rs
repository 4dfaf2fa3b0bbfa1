//! Restreams: pushes of a camera to other people's servers. Who manages the camera manages them.
//!
//! Every change locks the camera first, so that changes of one camera and of its restreams come one
//! after the other.

mod change;
mod import;
mod secrets;

use headworks_types::{
    CameraId, EventKind, ProjectId, Restream, RestreamCreate, RestreamId, RestreamUpdate,
};
use sqlx::PgConnection;

use super::{
    Begun, Caller, Error, Expected, Once, Result, Sight, Versioned, camera::require_managed,
};
use crate::{
    db::{
        camera::camera_lock,
        event::{NewEvent, event_insert},
        restream::{
            self as db, NewRestream, RestreamRow, Stored, restream_camera, restream_get,
            restream_get_stored,
        },
        slot::{
            STOPPED, restream_cost, restream_slot_insert, restream_slot_release,
            restream_slot_touch,
        },
    },
    keys::Keys,
    state::State,
};
pub(crate) use import::restream_import;
use secrets::Secrets;
pub(crate) use secrets::open;

/// How many restreams a camera has at most.
const MAX: i64 = 64;

/// Creates a restream of a camera.
pub(crate) async fn restream_create(
    state: &State,
    caller: &Caller,
    once: Once,
    camera: CameraId,
    new: RestreamCreate,
) -> Result<Restream> {
    let sight = caller.sight()?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(restream) => return Ok(restream),
    };
    let conn = write.conn();
    camera_lock(conn, &sight, camera).await?;
    let project = require_managed(conn, &sight, camera).await?;
    let full = db::restream_full(conn, project, &[camera], MAX).await?;
    if full.contains(&camera) {
        return Err(too_many(camera));
    }
    let ordinals = restream_slot_insert(conn, &[camera]).await?;
    let id = state.ids.next();
    let new = NewRestream {
        id,
        camera_id: camera,
        project_id: project,
        ordinal: *ordinals.get(&camera).ok_or_else(|| too_many(camera))?,
        row: row(&state.keys, id, new)?,
    };
    let inserted = db::restream_insert(conn, std::slice::from_ref(&new)).await;
    name_conflicts(inserted, &new.row)?;
    let restream = get(state, conn, project, id).await?.thing;
    announce(
        conn,
        caller,
        &restream,
        EventKind::RestreamCreated,
        "was created",
    )
    .await?;
    write.commit(&restream).await?;
    state.wake.planner();
    Ok(restream)
}

/// Changes a restream (JSON merge patch).
pub(crate) async fn restream_update(
    state: &State,
    caller: &Caller,
    id: RestreamId,
    expected: Expected,
    change: RestreamUpdate,
) -> Result<Versioned<Restream>> {
    let sight = caller.sight()?;
    let mut tx = state.pool.begin().await?;
    let stored = get_locked(&mut tx, state, &sight, id).await?;
    expected.check(stored.restream.version)?;
    let old = stored.restream.thing;
    let secrets = Secrets::unseal(&state.keys, id, stored.secrets.as_deref());
    let secrets = secrets.map_err(Error::Internal)?;
    let whole = change::apply(&old, &secrets, change)?;
    let row = row(&state.keys, id, whole)?;
    name_conflicts(
        db::restream_update(&mut tx, old.project_id, id, &row).await,
        &row,
    )?;
    let (camera, ordinal) = (old.camera_id, stored.ordinal);
    if !row.enabled {
        restream_slot_release(&mut tx, camera, ordinal, STOPPED).await?;
    } else if restream_cost(&row.video) == restream_cost(&old.video) {
        restream_slot_touch(&mut tx, camera, ordinal).await?;
    } else {
        // It is placed anew, so that the node's capacity is counted right.
        let reason = "waits for the planner, since it costs more or less now";
        restream_slot_release(&mut tx, camera, ordinal, reason).await?;
    }
    let changed = get(state, &mut tx, old.project_id, id).await?;
    let kind = EventKind::RestreamUpdated;
    announce(&mut tx, caller, &changed.thing, kind, "was changed").await?;
    tx.commit().await?;
    state.wake.planner();
    Ok(changed)
}

/// Deletes a restream.
pub(crate) async fn restream_delete(
    state: &State,
    caller: &Caller,
    id: RestreamId,
    expected: Expected,
) -> Result<()> {
    let sight = caller.sight()?;
    let mut tx = state.pool.begin().await?;
    let stored = get_locked(&mut tx, state, &sight, id).await?;
    expected.check(stored.restream.version)?;
    let old = stored.restream.thing;
    let reason = "the restream is deleted";
    restream_slot_release(&mut tx, old.camera_id, stored.ordinal, reason).await?;
    db::restream_delete(&mut tx, old.project_id, id).await?;
    let kind = EventKind::RestreamDeleted;
    announce(&mut tx, caller, &old, kind, "was deleted").await?;
    tx.commit().await?;
    state.wake.planner();
    Ok(())
}

/// What a verb does to a restream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Start,
    Stop,
    Restart,
}

/// Starts, stops or restarts a restream. Starting what is started, and stopping what is stopped,
/// changes nothing.
pub(crate) async fn restream_act(
    state: &State,
    caller: &Caller,
    once: Once,
    id: RestreamId,
    verb: Verb,
) -> Result<Restream> {
    let sight = caller.sight()?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(restream) => return Ok(restream),
    };
    let conn = write.conn();
    let stored = get_locked(conn, state, &sight, id).await?;
    let old = stored.restream.thing;
    let (project, camera, ordinal) = (old.project_id, old.camera_id, stored.ordinal);
    let said = match (verb, old.enabled) {
        (Verb::Start, true) | (Verb::Stop, false) => None,
        (Verb::Start, false) => {
            db::restream_enable(conn, project, id, true).await?;
            restream_slot_touch(conn, camera, ordinal).await?;
            Some((EventKind::RestreamStarted, "was started"))
        }
        (Verb::Stop, true) => {
            db::restream_enable(conn, project, id, false).await?;
            restream_slot_release(conn, camera, ordinal, STOPPED).await?;
            Some((EventKind::RestreamStopped, "was stopped"))
        }
        (Verb::Restart, true) => {
            db::restream_restart(conn, project, id).await?;
            restream_slot_touch(conn, camera, ordinal).await?;
            Some((EventKind::RestreamRestarted, "was restarted"))
        }
        (Verb::Restart, false) => {
            return Err(Error::Conflict(format!("{id} is stopped; start it")));
        }
    };
    let restream = get(state, conn, project, id).await?.thing;
    if let Some((kind, what)) = said {
        announce(conn, caller, &restream, kind, what).await?;
    }
    write.commit(&restream).await?;
    state.wake.planner();
    Ok(restream)
}

/// The project of the restream's camera, if the caller may manage that camera.
pub(crate) async fn require_restream(
    conn: &mut PgConnection,
    sight: &Sight,
    id: RestreamId,
) -> Result<ProjectId> {
    Ok(require_camera(conn, sight, id).await?.1)
}

async fn require_camera(
    conn: &mut PgConnection,
    sight: &Sight,
    id: RestreamId,
) -> Result<(CameraId, ProjectId)> {
    let unknown = || Error::not_found(id);
    let camera = restream_camera(conn, id).await?.ok_or_else(unknown)?;
    match require_managed(conn, sight, camera).await {
        Err(Error::NotFound(_)) => Err(unknown()),
        project => Ok((camera, project?)),
    }
}

/// The restream, whose camera is locked, if the caller may manage that.
async fn get_locked(
    conn: &mut PgConnection,
    state: &State,
    sight: &Sight,
    id: RestreamId,
) -> Result<Stored> {
    let (camera, project) = require_camera(conn, sight, id).await?;
    camera_lock(conn, sight, camera).await?;
    let suspect = state.config.lease_suspect;
    let stored = restream_get_stored(conn, project, suspect, id).await?;
    stored.ok_or_else(|| Error::not_found(id))
}

async fn get(
    state: &State,
    conn: &mut PgConnection,
    project: ProjectId,
    id: RestreamId,
) -> Result<Versioned<Restream>> {
    let found = restream_get(conn, project, state.config.lease_suspect, id).await?;
    Ok(found.ok_or(sqlx::Error::RowNotFound)?)
}

/// What the database takes of a restream: its secrets are sealed.
fn row(keys: &Keys, id: RestreamId, mut restream: RestreamCreate) -> Result<RestreamRow> {
    let secrets = Secrets::take(&mut restream);
    Ok(RestreamRow {
        secrets: secrets.seal(keys, id)?,
        has_credentials: secrets.credentials.is_some(),
        has_stream_key: secrets.stream_key.is_some(),
        name: restream.name,
        external_id: restream.external_id,
        labels: restream.labels,
        url: restream.url,
        transport: restream.transport,
        tls_verify: restream.tls_verify,
        signing: restream.signing,
        video: restream.video,
        audio: restream.audio,
        enabled: restream.enabled,
    })
}

fn name_conflicts(result: sqlx::Result<()>, row: &RestreamRow) -> Result<()> {
    let (name, external_id) = (&row.name, row.external_id.as_deref().unwrap_or_default());
    let taken = match &result {
        Err(sqlx::Error::Database(violation)) => match violation.constraint() {
            Some("restream_name_key") => {
                format!("the camera has a restream `{name}` already")
            }
            Some("restream_external_id_key") => format!(
                "there is a restream with external_id `{external_id}` in the project already"
            ),
            _ => return Ok(result?),
        },
        _ => return Ok(result?),
    };
    Err(Error::Conflict(taken))
}

fn too_many(camera: CameraId) -> Error {
    Error::Conflict(format!("{camera} cannot have more restreams"))
}

async fn announce(
    conn: &mut PgConnection,
    caller: &Caller,
    restream: &Restream,
    kind: EventKind,
    what: &str,
) -> Result<()> {
    let event = NewEvent {
        project_id: Some(restream.project_id),
        kind,
        subject: restream.id.to_string(),
        actor: &caller.identity.to_string(),
        message: format!(
            "restream `{}` of {} {what}",
            restream.name, restream.camera_id
        ),
    };
    Ok(event_insert(conn, event).await?)
}
