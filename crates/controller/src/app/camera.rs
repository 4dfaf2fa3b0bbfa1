//! Cameras: named live sources.

use headworks_types::{
    Action, Camera, CameraCreate, CameraId, CameraSource, CameraUpdate, Credentials, EventKind,
    GrantObject, ProjectId,
};
use sqlx::PgConnection;

use super::{
    Begun, Caller, Error, Expected, Once, Result, Sight, Versioned,
    access::require_move,
    camera_group::{path, require_place},
    revocation,
};
use crate::{
    db::{
        self, OnConstraint,
        camera::{NewCamera, camera_get, camera_list_access, camera_lock, camera_path},
        event::{NewEvent, event_insert},
        slot::{slot_insert, slot_release_all, slot_touch},
    },
    keys::{Keys, Row},
    state::State,
};

/// Creates a camera in the caller's project.
pub(crate) async fn camera_create(
    state: &State,
    caller: &Caller,
    once: Once,
    new: CameraCreate,
) -> Result<Camera> {
    let project = caller.project_id;
    let sight = caller.sight()?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(camera) => return Ok(camera),
    };
    let conn = write.conn();
    require_place(conn, caller, project, new.group_id).await?;
    let new = prepare(state, new)?;
    if db::camera::camera_insert(conn, project, std::slice::from_ref(&new))
        .await
        .on_constraint(GROUP, group_gone)?
        .is_empty()
    {
        return Err(external_id_taken(new.external_id.as_deref()));
    }
    slot_insert(conn, new.id).await?;
    let camera = camera_get(conn, &sight, state.config.lease_suspect, new.id)
        .await?
        .ok_or(sqlx::Error::RowNotFound)?
        .thing;
    announce(
        conn,
        caller,
        &camera,
        EventKind::CameraCreated,
        "was created",
    )
    .await?;
    write.commit(&camera).await?;
    state.wake.planner();
    Ok(camera)
}

/// Changes a camera (JSON merge patch).
pub(crate) async fn camera_update(
    state: &State,
    caller: &Caller,
    id: CameraId,
    expected: Expected,
    change: CameraUpdate,
) -> Result<Versioned<Camera>> {
    let sight = caller.sight()?;
    let mut tx = state.pool.begin().await?;
    let mut camera = get_locked(state, &mut tx, &sight, id, &expected).await?;
    let place = (camera.project_id, camera.group_id);
    let above = camera_path(&mut tx, place.0, id).await?.unwrap_or_default();
    if let Some(group) = change.group_id
        && group != camera.group_id
    {
        // What is granted on a group reaches what is put into it, and leaves what is taken out.
        let project = camera.project_id;
        for place in [camera.group_id, group] {
            require_place(&mut tx, caller, project, place).await?;
        }
        let before = path(&mut tx, project, camera.group_id).await?;
        let after = path(&mut tx, project, group).await?;
        require_move(&mut tx, caller, GrantObject::Camera { id }, &before, &after).await?;
    }
    let credentials = apply(&mut camera, change)?
        .map(|change| change.map(|new| seal(&state.keys, id, &new)).transpose())
        .transpose()?;
    db::camera::camera_update(&mut tx, &camera, credentials)
        .await
        .map_err(|error| conflict(error, &camera))?;
    slot_touch(&mut tx, id).await?;
    let changed = camera_get(&mut tx, &sight, state.config.lease_suspect, id)
        .await?
        .ok_or(sqlx::Error::RowNotFound)?;
    announce(
        &mut tx,
        caller,
        &changed.thing,
        EventKind::CameraUpdated,
        "was changed",
    )
    .await?;
    if changed.thing.group_id != place.1 {
        let now = camera_path(&mut tx, place.0, id).await?.unwrap_or_default();
        revocation::narrow_move(&mut tx, &above, &now).await?;
    }
    tx.commit().await?;
    state.wake.planner();
    state.wake.sessions();
    Ok(changed)
}

/// Deletes a camera with its stream keys and the grants on it.
pub(crate) async fn camera_delete(
    state: &State,
    caller: &Caller,
    id: CameraId,
    expected: Expected,
) -> Result<()> {
    let sight = caller.sight()?;
    let mut tx = state.pool.begin().await?;
    let camera = get_locked(state, &mut tx, &sight, id, &expected).await?;
    slot_release_all(&mut tx, id).await?;
    db::camera::camera_delete(&mut tx, camera.project_id, id).await?;
    revocation::end_camera(&mut tx, id).await?;
    announce(
        &mut tx,
        caller,
        &camera,
        EventKind::CameraDeleted,
        "was deleted",
    )
    .await?;
    tx.commit().await?;
    state.wake.planner();
    Ok(())
}

/// The camera's project, if the caller may manage the camera.
pub(crate) async fn require_managed(
    conn: &mut PgConnection,
    sight: &Sight,
    id: CameraId,
) -> Result<ProjectId> {
    let access = camera_list_access(conn, sight, &[id]).await?;
    let access = access.first().ok_or_else(|| Error::not_found(id))?;
    if !access.may(Action::CameraManage) {
        return Err(Error::Forbidden(format!(
            "this needs camera.manage on {id}"
        )));
    }
    Ok(access.project_id)
}

/// What the database takes of a new camera.
pub(crate) fn prepare(state: &State, new: CameraCreate) -> Result<NewCamera> {
    let id = state.ids.next();
    let credentials = new.credentials.as_ref();
    Ok(NewCamera {
        id,
        credentials: credentials
            .map(|credentials| seal(&state.keys, id, credentials))
            .transpose()?,
        group_id: new.group_id,
        name: new.name,
        external_id: new.external_id,
        labels: new.labels,
        source: new.source,
        enabled: new.enabled,
        start: new.start,
        placement: new.placement,
        exclusive_source: new.exclusive_source,
        viewing: new.viewing,
    })
}

const GROUP: &str = "camera_group_fkey";

/// What stands against a change.
fn conflict(error: sqlx::Error, camera: &Camera) -> Error {
    let violated = match &error {
        sqlx::Error::Database(violation) => violation.constraint(),
        _ => None,
    };
    match violated {
        Some("camera_external_id_key") => external_id_taken(camera.external_id.as_deref()),
        Some(GROUP) => group_gone(),
        _ => error.into(),
    }
}

/// Says that the camera's group was deleted since we looked.
pub(crate) fn group_gone() -> Error {
    Error::NotFound("the camera group has just been deleted".to_owned())
}

/// Says that there is such a camera already.
pub(crate) fn external_id_taken(external_id: Option<&str>) -> Error {
    let external_id = external_id.unwrap_or_default();
    Error::Conflict(format!(
        "there is a camera with external_id `{external_id}` in the project already"
    ))
}

async fn get_locked(
    state: &State,
    conn: &mut PgConnection,
    sight: &Sight,
    id: CameraId,
    expected: &Expected,
) -> Result<Camera> {
    camera_lock(conn, sight, id).await?;
    require_managed(conn, sight, id).await?;
    let found = camera_get(conn, sight, state.config.lease_suspect, id)
        .await?
        .ok_or_else(|| Error::not_found(id))?;
    expected.check(found.version)?;
    Ok(found.thing)
}

/// Applies the change; returns what to do with the stored credentials.
fn apply(camera: &mut Camera, change: CameraUpdate) -> Result<Option<Option<Credentials>>> {
    let CameraUpdate {
        name,
        group_id,
        external_id,
        labels,
        source,
        credentials,
        enabled,
        start,
        placement,
        exclusive_source,
        viewing,
    } = change;
    camera.enabled = enabled.unwrap_or(camera.enabled);
    camera.start = start.unwrap_or(camera.start);
    camera.exclusive_source = exclusive_source.unwrap_or(camera.exclusive_source);
    camera.viewing = viewing.unwrap_or(camera.viewing);
    camera.group_id = group_id.unwrap_or(camera.group_id);
    if let Some(name) = name {
        camera.name = name;
    }
    if let Some(external_id) = external_id {
        camera.external_id = external_id;
    }
    if let Some(labels) = labels {
        camera.labels = labels;
    }
    let before = Endpoint::of(&camera.source);
    if let Some(source) = source {
        camera.source = source;
    }
    if let Some(placement) = placement {
        camera.placement = placement;
    }
    let has_credentials = match &credentials {
        Some(new) => new.is_some(),
        None => camera.has_credentials,
    };
    if has_credentials && !camera.source.takes_credentials() {
        return Err(Error::invalid(
            "/credentials",
            "only a pulled camera has them; set them to null",
        ));
    }
    let after = Endpoint::of(&camera.source);
    let stays = before
        .zip(after)
        .is_some_and(|(before, after)| after.may_inherit(&before));
    if camera.has_credentials && credentials.is_none() && !stays {
        // Else whoever may change a URL could have the stored password sent to a host of theirs.
        return Err(Error::invalid(
            "/credentials",
            "must be given again, or set to null, when the scheme, host or port of the \
             camera's source changes, or its `tls_verify` is switched off",
        ));
    }
    Ok(credentials)
}

/// Who gets the credentials, and whether anybody can read them on the way.
struct Endpoint {
    scheme: String,
    host: String,
    port: Option<u16>,
    tls_verify: bool,
}

impl Endpoint {
    fn of(source: &CameraSource) -> Option<Self> {
        match source {
            CameraSource::Pull {
                url, tls_verify, ..
            } => Some(Self {
                scheme: url.scheme().to_owned(),
                host: url.host_str()?.to_owned(),
                port: url.port(),
                tls_verify: *tls_verify,
            }),
            CameraSource::Publish | CameraSource::File { .. } => None,
        }
    }

    /// True if what was meant for `before` may go here.
    fn may_inherit(&self, before: &Self) -> bool {
        (&self.scheme, &self.host, self.port) == (&before.scheme, &before.host, before.port)
            && (self.tls_verify || !before.tls_verify)
    }
}

fn seal(keys: &Keys, id: CameraId, credentials: &Credentials) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(credentials).map_err(|error| Error::Internal(error.into()))?;
    Ok(keys.seal(&Row::camera_credentials(id), &json))
}

async fn announce(
    conn: &mut PgConnection,
    caller: &Caller,
    camera: &Camera,
    kind: EventKind,
    what: &str,
) -> Result<()> {
    let event = NewEvent {
        project_id: Some(camera.project_id),
        kind,
        subject: camera.id.to_string(),
        actor: &caller.identity.to_string(),
        message: format!("camera `{}` {what}", camera.name),
    };
    Ok(event_insert(conn, event).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Endpoint {
        let source = serde_json::json!({"type": "pull", "url": url});
        let source = serde_json::from_value(source).expect("is a source");
        Endpoint::of(&source).expect("is pulled")
    }

    /// With TLS instead of without, and the other way round.
    fn other_scheme(scheme: &str) -> String {
        match scheme.strip_suffix('s') {
            Some(plain) => plain.to_owned(),
            None => format!("{scheme}s"),
        }
    }

    #[test]
    fn another_scheme_host_or_port_gets_no_credentials() {
        for scheme in ["rtsp", "rtsps", "rtmp", "rtmps", "http", "https"] {
            let before = at(&format!("{scheme}://cam:7000/a"));
            assert!(at(&format!("{scheme}://cam:7000/b?c")).may_inherit(&before));
            for other in [
                format!("{scheme}://cam2:7000/a"),
                format!("{scheme}://cam:7001/a"),
                format!("{scheme}://cam/a"),
                format!("{}://cam:7000/a", other_scheme(scheme)),
            ] {
                assert!(!at(&other).may_inherit(&before), "{other}");
            }
        }
    }

    #[test]
    fn who_stops_to_verify_gives_the_credentials_again() {
        let (strict, mut lax) = (at("https://cam/a.flv"), at("https://cam/a.flv"));
        lax.tls_verify = false;
        assert!(!lax.may_inherit(&strict));
        assert!(strict.may_inherit(&lax) && lax.may_inherit(&lax));
    }
}
