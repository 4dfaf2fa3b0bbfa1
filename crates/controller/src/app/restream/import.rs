//! Many cameras pushed to one kind of target, in one request. Each camera succeeds or fails by
//! itself: nothing is created of one that fails. Those that succeed come in one transaction.

use std::collections::{HashMap, HashSet};

use headworks_types::{
    Action, CameraId, EventKind, Placeholders, Problem, ProblemCode, Restream, RestreamCreate,
    RestreamId, RestreamImport, RestreamImportItem, RestreamImportOutcome, RestreamImportResult,
    RestreamTemplate, Validate, Violations,
};
use sqlx::PgConnection;
use url::Url;

use super::{MAX, row, too_many};
use crate::{
    app::{
        Begun, Caller, Error, Once, Result, Scope,
        camera::{external_id_taken, prepare},
        camera_bulk::parse,
    },
    db::{
        camera::{CameraName, NewCamera, camera_find, camera_insert, camera_list_access},
        event::{NewEvent, event_insert_many},
        restream::{NewRestream, restream_find, restream_full, restream_get_many, restream_insert},
        slot::{restream_slot_insert, slot_insert_all},
    },
    state::State,
};

type Failure = Box<Problem>;

/// What becomes of one camera of the list.
enum Item {
    Failed(Failure),
    /// The camera is there, and so is its restream.
    Existing(RestreamId),
    New(Box<Plan>),
}

/// What is to be created.
struct Plan {
    /// The camera, unless it is there.
    camera: Option<NewCamera>,
    camera_id: CameraId,
    id: RestreamId,
    restream: RestreamCreate,
    url: Url,
}

/// Creates what is missing of the cameras and their restreams in the caller's project, or only says
/// what would happen.
pub(crate) async fn restream_import(
    state: &State,
    caller: &Caller,
    once: Once,
    import: RestreamImport,
) -> Result<RestreamImportResult> {
    caller.require(Action::CameraManage, Scope::Project(caller.project_id))?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(result) => return Ok(result),
    };
    let (target, dry_run) = (import.target, import.dry_run);
    let asked = import.cameras.into_iter().enumerate().map(|(index, item)| {
        parse::<RestreamImportItem>(&format!("/cameras/{index}"), "a camera to import", item)
    });
    let asked: Vec<_> = asked.collect();
    let conn = write.conn();
    let mut items = plan(state, conn, caller, asked, &target).await?;
    let restreams = if dry_run {
        // Whatever the database would refuse, it refuses here; then nothing of it is kept.
        let mut tx = sqlx::Connection::begin(conn).await?;
        insert(state, &mut tx, caller, &mut items).await?;
        tx.rollback().await?;
        list(state, write.conn(), caller, &items).await?
    } else {
        insert(state, conn, caller, &mut items).await?;
        let restreams = list(state, conn, caller, &items).await?;
        announce(conn, caller, &items).await?;
        restreams
    };
    let result = outcomes(items, restreams, dry_run);
    write.commit(&result).await?;
    if !dry_run {
        state.wake.planner();
    }
    Ok(result)
}

/// Finds out what is there, and works out what is not.
async fn plan(
    state: &State,
    conn: &mut PgConnection,
    caller: &Caller,
    asked: Vec<std::result::Result<RestreamImportItem, Failure>>,
    target: &RestreamTemplate,
) -> Result<Vec<Item>> {
    let project = caller.project_id;
    let wanted = || asked.iter().flatten();
    let ids: Vec<_> = wanted().filter_map(|item| item.camera_id).collect();
    let names: Vec<_> = wanted()
        .filter_map(|item| item.external_id.clone())
        .collect();
    let cameras = camera_find(conn, project, &ids, &names).await?;
    let all: Vec<_> = cameras.iter().map(|camera| camera.id).collect();
    let access = camera_list_access(conn, &caller.sight()?, &all).await?;
    let managed: HashSet<CameraId> = access
        .into_iter()
        .filter(|access| access.may(Action::CameraManage))
        .map(|access| access.id)
        .collect();
    let there = There {
        existing: restream_find(conn, project, &all, &target.name).await?,
        full: restream_full(conn, project, &all, MAX).await?,
        cameras: cameras
            .into_iter()
            .filter(|camera| managed.contains(&camera.id))
            .collect(),
    };
    let mut seen = HashSet::new();
    let mut items = Vec::with_capacity(asked.len());
    for (index, item) in asked.into_iter().enumerate() {
        let item = item.and_then(|item| there.unseen(&mut seen, item));
        items.push(match item {
            Err(problem) => Item::Failed(problem),
            Ok(item) => plan_one(state, &there, item, index, target)?,
        });
    }
    Ok(items)
}

/// What is in the database already.
struct There {
    cameras: Vec<CameraName>,
    /// The restreams with the target's name.
    existing: HashMap<CameraId, RestreamId>,
    /// Cameras that take no more restreams.
    full: HashSet<CameraId>,
}

/// What tells the cameras of a list apart.
#[derive(PartialEq, Eq, Hash)]
enum Which {
    /// One that is there, by whatever name it was called.
    There(CameraId),
    /// One to be, by its external id.
    New(String),
}

impl There {
    /// The camera that the item means, if it is there.
    fn camera(&self, item: &RestreamImportItem) -> Option<&CameraName> {
        self.cameras.iter().find(|camera| match item.camera_id {
            Some(id) => camera.id == id,
            None => item.external_id.is_some() && camera.external_id == item.external_id,
        })
    }

    /// Refuses a camera that is in the list for a second time.
    fn unseen(
        &self,
        seen: &mut HashSet<Which>,
        item: RestreamImportItem,
    ) -> std::result::Result<RestreamImportItem, Failure> {
        let id = self.camera(&item).map(|camera| camera.id);
        let which = match (id.or(item.camera_id), &item.external_id) {
            (Some(id), _) => Which::There(id),
            (None, Some(name)) => Which::New(name.clone()),
            (None, None) => return Ok(item),
        };
        if seen.insert(which) {
            return Ok(item);
        }
        let id = item.camera_id.map(|id| id.to_string());
        let name = id.or(item.external_id).unwrap_or_default();
        let detail = format!("`{name}` is in the list before");
        Err(Problem::new(ProblemCode::Conflict)
            .with_detail(detail)
            .into())
    }
}

fn plan_one(
    state: &State,
    there: &There,
    item: RestreamImportItem,
    index: usize,
    target: &RestreamTemplate,
) -> Result<Item> {
    let found = there.camera(&item);
    if let Some(id) = item.camera_id
        && found.is_none()
    {
        let detail = Error::not_found(id).to_string();
        let problem = Problem::new(ProblemCode::NotFound).with_detail(detail);
        return Ok(Item::Failed(problem.into()));
    }
    if let Some(existing) = found.and_then(|camera| there.existing.get(&camera.id)) {
        return Ok(Item::Existing(*existing));
    }
    if let Some(camera) = found
        && there.full.contains(&camera.id)
    {
        let detail = too_many(camera.id).to_string();
        let problem = Problem::new(ProblemCode::Conflict).with_detail(detail);
        return Ok(Item::Failed(problem.into()));
    }
    let camera = match found {
        Some(_) => None,
        None => item.camera().map(|new| prepare(state, new)).transpose()?,
    };
    let of = match (found, &camera) {
        (Some(there), _) => Placeholders {
            name: &there.name,
            external_id: there.external_id.as_deref(),
            camera_id: there.id,
            index: index + 1,
        },
        (None, Some(new)) => Placeholders {
            name: &new.name,
            external_id: new.external_id.as_deref(),
            camera_id: new.id,
            index: index + 1,
        },
        // An item that passed its checks is one of the two.
        (None, None) => return Err(Error::Internal(anyhow::anyhow!("an item without a camera"))),
    };
    Ok(match restream(target, item.stream_key, of) {
        Err(problem) => Item::Failed(problem),
        Ok(restream) => Item::New(Box::new(Plan {
            camera_id: of.camera_id,
            camera,
            id: state.ids.next(),
            url: restream.url.clone(),
            restream,
        })),
    })
}

/// The restream of one camera. What is wrong with it is wrong with the target.
fn restream(
    target: &RestreamTemplate,
    stream_key: Option<headworks_types::Secret>,
    of: Placeholders<'_>,
) -> std::result::Result<RestreamCreate, Failure> {
    let invalid = |fields| {
        Problem::new(ProblemCode::Invalid)
            .with_detail("the target does not go with this camera")
            .with_errors(fields)
    };
    let mut found = Violations::default();
    let restream = match target.restream(of) {
        Ok(mut restream) => {
            restream.stream_key = stream_key.or(restream.stream_key);
            found.within("target", |found| restream.validate(found));
            Some(restream)
        }
        Err(detail) => {
            found.within("target", |found| found.report("url", detail));
            None
        }
    };
    let fields = found.into_fields();
    restream
        .filter(|_| fields.is_empty())
        .ok_or_else(|| invalid(fields).into())
}

/// Inserts what is planned; what the database refuses becomes a problem.
async fn insert(
    state: &State,
    conn: &mut PgConnection,
    caller: &Caller,
    items: &mut [Item],
) -> Result<()> {
    let planned = items.iter().filter_map(|item| match item {
        Item::New(plan) => Some(plan),
        Item::Failed(_) | Item::Existing(_) => None,
    });
    let cameras: Vec<_> = planned.filter_map(|plan| plan.camera.clone()).collect();
    let inserted = camera_insert(conn, caller.project_id, &cameras).await?;
    slot_insert_all(conn, &inserted).await?;
    let inserted: HashSet<_> = inserted.into_iter().collect();
    for item in items.iter_mut() {
        if let Item::New(plan) = item
            && let Some(camera) = &plan.camera
            && !inserted.contains(&camera.id)
        {
            let refused = external_id_taken(camera.external_id.as_deref());
            let problem = Problem::new(ProblemCode::Conflict).with_detail(refused.to_string());
            *item = Item::Failed(problem.into());
        }
    }
    let planned: Vec<_> = items.iter().filter_map(Item::camera).collect();
    let ordinals = restream_slot_insert(conn, &planned).await?;
    let mut restreams = Vec::new();
    for item in items {
        let Item::New(plan) = item else { continue };
        let Some(&ordinal) = ordinals.get(&plan.camera_id) else {
            let detail = too_many(plan.camera_id).to_string();
            *item = Item::Failed(
                Problem::new(ProblemCode::Conflict)
                    .with_detail(detail)
                    .into(),
            );
            continue;
        };
        restreams.push(NewRestream {
            id: plan.id,
            camera_id: plan.camera_id,
            project_id: caller.project_id,
            ordinal,
            row: row(&state.keys, plan.id, plan.restream.clone())?,
        });
    }
    Ok(restream_insert(conn, &restreams).await?)
}

impl Item {
    /// The camera of what is to be created.
    fn camera(&self) -> Option<CameraId> {
        match self {
            Self::New(plan) => Some(plan.camera_id),
            Self::Failed(_) | Self::Existing(_) => None,
        }
    }

    fn restream(&self) -> Option<RestreamId> {
        match self {
            Self::New(plan) => Some(plan.id),
            Self::Existing(id) => Some(*id),
            Self::Failed(_) => None,
        }
    }
}

/// The restreams that are there now.
async fn list(
    state: &State,
    conn: &mut PgConnection,
    caller: &Caller,
    items: &[Item],
) -> Result<HashMap<RestreamId, Restream>> {
    let ids: Vec<_> = items.iter().filter_map(Item::restream).collect();
    let suspect = state.config.lease_suspect;
    let found = restream_get_many(conn, caller.project_id, suspect, &ids).await?;
    let restreams = found.into_iter().map(|found| found.thing);
    Ok(restreams.map(|restream| (restream.id, restream)).collect())
}

async fn announce(conn: &mut PgConnection, caller: &Caller, items: &[Item]) -> Result<()> {
    let actor = caller.identity.to_string();
    let event = |kind, subject: String, message: String| NewEvent {
        project_id: Some(caller.project_id),
        kind,
        subject,
        actor: &actor,
        message,
    };
    let mut events = Vec::new();
    for item in items {
        let Item::New(plan) = item else { continue };
        if let Some(camera) = &plan.camera {
            let said = format!("camera `{}` was created", camera.name);
            events.push(event(EventKind::CameraCreated, camera.id.to_string(), said));
        }
        let said = format!(
            "restream `{}` of {} was created",
            plan.restream.name, plan.camera_id
        );
        events.push(event(EventKind::RestreamCreated, plan.id.to_string(), said));
    }
    Ok(event_insert_many(conn, events).await?)
}

fn outcomes(
    items: Vec<Item>,
    mut restreams: HashMap<RestreamId, Restream>,
    dry_run: bool,
) -> RestreamImportResult {
    let missing = || RestreamImportOutcome::Failed {
        problem: Problem::new(ProblemCode::Internal).with_detail("it was deleted at once"),
    };
    let outcome = |item: Item| match item {
        Item::Failed(problem) => RestreamImportOutcome::Failed { problem: *problem },
        Item::Existing(id) => match restreams.remove(&id) {
            Some(restream) => RestreamImportOutcome::Existing {
                restream: Box::new(restream),
            },
            None => missing(),
        },
        Item::New(plan) if dry_run => RestreamImportOutcome::Valid {
            camera_created: plan.camera.is_some(),
            url: plan.url,
        },
        Item::New(plan) => match restreams.remove(&plan.id) {
            Some(restream) => RestreamImportOutcome::Created {
                camera_created: plan.camera.is_some(),
                restream: Box::new(restream),
            },
            None => missing(),
        },
    };
    RestreamImportResult {
        results: items.into_iter().map(outcome).collect(),
    }
}
