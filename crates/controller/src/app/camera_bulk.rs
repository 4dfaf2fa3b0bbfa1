//! Many cameras in one request. Each item succeeds or fails by itself; those that succeed are
//! created in one transaction, with a handful of statements however many they are.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use headworks_types::{
    Camera, CameraBulkCreate, CameraBulkOutcome, CameraBulkResult, CameraGroupId, CameraId,
    EventKind, Problem, ProblemCode, ProblemField, Validate, Violations, without_value,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::PgConnection;

use super::{
    Begun, Caller, Error, Once, Result,
    camera::{external_id_taken, group_gone, prepare},
    camera_group::require_place,
};
use crate::{
    db::{
        OnConstraint,
        camera::{NewCamera, camera_get_many, camera_insert},
        event::{NewEvent, event_insert_many},
        slot::slot_insert_all,
    },
    pointer::pointer,
    state::State,
};

/// Creates the cameras in the caller's project, or only says what would happen.
pub(crate) async fn camera_bulk_create(
    state: &State,
    caller: &Caller,
    once: Once,
    bulk: CameraBulkCreate,
) -> Result<CameraBulkResult> {
    caller.sight_of_managed()?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(result) => return Ok(result),
    };
    let mut items = Vec::with_capacity(bulk.items.len());
    for (index, item) in bulk.items.into_iter().enumerate() {
        items.push(match parse(&format!("/items/{index}"), "a camera", item) {
            Ok(new) => Ok(prepare(state, new)?),
            Err(problem) => Err(problem),
        });
    }
    refuse_places(write.conn(), caller, &mut items).await?;
    let created = if bulk.dry_run {
        // Whatever the database would refuse, it refuses here; then nothing of it is kept.
        let mut tx = sqlx::Connection::begin(write.conn()).await?;
        let created = insert(state, &mut tx, caller, &mut items).await?;
        tx.rollback().await?;
        created
    } else {
        let created = insert(state, write.conn(), caller, &mut items).await?;
        announce(write.conn(), caller, &created).await?;
        created
    };
    let result = outcomes(items, created, bulk.dry_run);
    write.commit(&result).await?;
    if !bulk.dry_run {
        state.wake.planner();
    }
    Ok(result)
}

type Item = std::result::Result<NewCamera, Box<Problem>>;

/// Refuses the items that are to go where the caller may not manage cameras: each place is judged
/// once.
async fn refuse_places(conn: &mut PgConnection, caller: &Caller, items: &mut [Item]) -> Result<()> {
    let mut judged: HashMap<Option<CameraGroupId>, Option<Problem>> = HashMap::new();
    for item in items {
        let Ok(new) = item else { continue };
        let place = new.group_id;
        if let Entry::Vacant(unknown) = judged.entry(place) {
            let refused = match require_place(conn, caller, caller.project_id, place).await {
                Ok(_) => None,
                Err(error @ (Error::Forbidden(_) | Error::NotFound(_))) => Some(refusal(&error)),
                Err(error) => return Err(error),
            };
            unknown.insert(refused);
        }
        if let Some(Some(problem)) = judged.get(&place) {
            *item = Err(problem.clone().into());
        }
    }
    Ok(())
}

fn refusal(error: &Error) -> Problem {
    let code = match error {
        Error::Forbidden(_) => ProblemCode::Forbidden,
        _ => ProblemCode::NotFound,
    };
    Problem::new(code).with_detail(error.to_string())
}

/// Inserts the good items; those that the database refuses become problems.
async fn insert(
    state: &State,
    conn: &mut PgConnection,
    caller: &Caller,
    items: &mut [Item],
) -> Result<HashMap<CameraId, Camera>> {
    let good: Vec<_> = items.iter().flatten().cloned().collect();
    let inserted = camera_insert(conn, caller.project_id, &good)
        .await
        .on_constraint("camera_group_fkey", group_gone)?;
    slot_insert_all(conn, &inserted).await?;
    let taken: HashSet<_> = inserted.iter().copied().collect();
    for item in items {
        if let Ok(new) = item
            && !taken.contains(&new.id)
        {
            let refused = external_id_taken(new.external_id.as_deref());
            let problem = Problem::new(ProblemCode::Conflict).with_detail(refused.to_string());
            *item = Err(problem.into());
        }
    }
    let suspect = state.config.lease_suspect;
    let found = camera_get_many(conn, &caller.sight()?, suspect, &inserted).await?;
    let cameras = found.into_iter().map(|found| found.thing);
    Ok(cameras.map(|camera| (camera.id, camera)).collect())
}

async fn announce(
    conn: &mut PgConnection,
    caller: &Caller,
    created: &HashMap<CameraId, Camera>,
) -> Result<()> {
    let actor = caller.identity.to_string();
    let mut cameras: Vec<_> = created.values().collect();
    cameras.sort_by_key(|camera| camera.id);
    let events = cameras
        .into_iter()
        .map(|camera| NewEvent {
            project_id: Some(camera.project_id),
            kind: EventKind::CameraCreated,
            subject: camera.id.to_string(),
            actor: &actor,
            message: format!("camera `{}` was created", camera.name),
        })
        .collect();
    Ok(event_insert_many(conn, events).await?)
}

fn outcomes(
    items: Vec<Item>,
    mut created: HashMap<CameraId, Camera>,
    dry_run: bool,
) -> CameraBulkResult {
    let missing = || Problem::new(ProblemCode::Internal).with_detail("it was deleted at once");
    let outcome = |item: Item| match item {
        Err(problem) => CameraBulkOutcome::Failed { problem: *problem },
        Ok(_) if dry_run => CameraBulkOutcome::Valid,
        Ok(new) => match created.remove(&new.id) {
            Some(camera) => CameraBulkOutcome::Created {
                camera: Box::new(camera),
            },
            None => CameraBulkOutcome::Failed { problem: missing() },
        },
    };
    CameraBulkResult {
        results: items.into_iter().map(outcome).collect(),
    }
}

/// Reads one item, which stands at `base` of the body: pointers are into all of it.
pub(crate) fn parse<T: DeserializeOwned + Validate>(
    base: &str,
    what: &str,
    item: Value,
) -> std::result::Result<T, Box<Problem>> {
    let new: T = serde_path_to_error::deserialize(item).map_err(|error| {
        let field = ProblemField {
            pointer: base.to_owned() + &pointer(error.path()),
            detail: without_value(&error.inner().to_string()),
        };
        Problem::new(ProblemCode::Malformed)
            .with_detail(format!("the item is not {what}"))
            .with_errors(vec![field])
    })?;
    let mut found = Violations::default();
    new.validate(&mut found);
    let mut fields = found.into_fields();
    if fields.is_empty() {
        return Ok(new);
    }
    for field in &mut fields {
        field.pointer.insert_str(0, base);
    }
    Err(Problem::new(ProblemCode::Invalid)
        .with_detail("the item is not valid")
        .with_errors(fields)
        .into())
}
