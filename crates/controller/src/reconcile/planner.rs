//! Places work: lists the fleet, lets the planner decide, and writes what it says.
//!
//! Of all controllers one plans at a time: it holds the lease of `db::planner_lease`, and each of
//! its transactions checks the term, so that one who was deposed cannot commit.

use std::{collections::HashMap, time::Duration};

use headworks_planner::{Fleet, Policy, plan};
use headworks_types::{EventKind, edge::SlotKey};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    db::{
        event::{NewEvent, event_insert_many},
        node::node_fleet,
        planner_lease::{planner_acquire, planner_hold, planner_resign},
        slot::{
            FleetSlot, Outcome, Step, restream_of_slots, slot_assign, slot_explain, slot_fleet,
        },
    },
    state::State,
};

const PERIOD: Duration = Duration::from_secs(1);
/// For how long the right to plan is held without renewal.
const LEASE: Duration = Duration::from_secs(15);
/// How long the last word to the database may take.
const RESIGN: Duration = Duration::from_secs(1);
/// How many slots one transaction moves: it locks their nodes' capacity meanwhile.
const BATCH: usize = 500;

/// What a turn did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// Who plans.
    pub(crate) role: Role,
    /// Slots that got a node.
    pub(crate) placed: usize,
    /// Slots that lost theirs.
    pub(crate) released: usize,
    /// Slots that had changed in the meantime, or whose node was full: left to the next turn.
    pub(crate) postponed: usize,
    /// Wanted slots that nobody can take.
    pub(crate) refused: usize,
}

/// Who plans.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Role {
    /// Another controller.
    #[default]
    Standby,
    /// This one, under this term.
    Planner { term: i64 },
    /// This one did, but lost the lease while it wrote.
    Deposed,
}

/// What is there.
pub(crate) struct Listed {
    fleet: Fleet,
    /// Epoch and stored reason of each slot.
    marks: HashMap<SlotKey, (i64, String)>,
}

/// What to write.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Decided {
    /// Releases first, since they make room.
    pub(crate) steps: Vec<Step>,
    /// Reasons that have changed, with the epochs they belong to.
    pub(crate) reasons: Vec<(SlotKey, i64, String)>,
    refused: usize,
}

/// Plans until the controller stops.
pub(super) async fn run(state: State, stop: CancellationToken) {
    let me = state.ids.next();
    let mut last = Role::Standby;
    loop {
        // After that time another may plan; what has been committed until then counts.
        let turn = timeout(LEASE, turn(&state, me));
        let Some(done) = stop.run_until_cancelled(turn).await else {
            break;
        };
        match done {
            Ok(Ok(status)) => {
                report(last, status);
                last = status.role;
            }
            Ok(Err(error)) => tracing::warn!(%error, "planning failed; it is tried again"),
            Err(_) => tracing::warn!("planning took too long; it is tried again"),
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = state.wake.planner_called() => {}
            () = sleep(PERIOD) => {}
        }
    }
    if let Role::Planner { term } = last {
        let resigned = async {
            let mut tx = state.pool.begin().await?;
            planner_resign(&mut tx, me, term).await?;
            tx.commit().await
        };
        let resigned = timeout(RESIGN, resigned)
            .await
            .unwrap_or(Err(sqlx::Error::PoolTimedOut));
        if let Err(error) = resigned {
            tracing::info!(%error, "could not resign as planner; another takes over after {LEASE:?}");
        }
    }
}

fn report(last: Role, status: Status) {
    if last != status.role {
        match status.role {
            Role::Planner { term } => tracing::info!(term, "this controller plans now"),
            Role::Standby => tracing::info!("another controller plans now"),
            Role::Deposed => tracing::info!("this controller plans no more: another took over"),
        }
    }
    if status.placed + status.released + status.postponed > 0 {
        tracing::info!(
            placed = status.placed,
            released = status.released,
            postponed = status.postponed,
            refused = status.refused,
            "planned"
        );
    }
}

/// One turn: list, decide, act, if it is ours to plan.
pub(crate) async fn turn(state: &State, me: Uuid) -> sqlx::Result<Status> {
    let mut tx = state.pool.begin().await?;
    let term = planner_acquire(&mut tx, me, LEASE.as_secs_f64()).await?;
    tx.commit().await?;
    let Some(term) = term else {
        return Ok(Status::default());
    };
    let listed = list(state).await?;
    let decided = decide(&listed);
    act(state, me, term, decided).await
}

/// Reads the fleet.
pub(crate) async fn list(state: &State) -> sqlx::Result<Listed> {
    let mut conn = state.pool.acquire().await?;
    let nodes = node_fleet(&mut conn, state.config.lease_suspect).await?;
    let slots = slot_fleet(&mut conn).await?;
    let (mut fleet, mut marks) = (Vec::new(), HashMap::new());
    for FleetSlot {
        slot,
        epoch,
        reason,
    } in slots
    {
        marks.insert(slot.key, (epoch, reason));
        fleet.push(slot);
    }
    let fleet = Fleet {
        nodes,
        slots: fleet,
    };
    Ok(Listed { fleet, marks })
}

/// Works out what to write.
pub(crate) fn decide(listed: &Listed) -> Decided {
    let plan = plan(&listed.fleet, &Policy::default());
    let epoch = |slot: &SlotKey| listed.marks.get(slot).map_or(0, |(epoch, _)| *epoch);
    let releases = plan.releases.into_iter().map(|release| Step {
        epoch: epoch(&release.slot),
        slot: release.slot,
        from: Some(release.from),
        to: None,
        cost: 0,
        reason: release.reason,
    });
    let moves = plan.moves.into_iter().map(|step| Step {
        epoch: epoch(&step.slot),
        slot: step.slot,
        from: step.from,
        to: Some(step.to),
        cost: step.cost.get(),
        reason: step.reason,
    });
    let refused = plan.refusals.len();
    let reasons = plan.refusals.into_iter().filter_map(|refusal| {
        let (epoch, reason) = listed.marks.get(&refusal.slot)?;
        (*reason != refusal.reason).then_some((refusal.slot, *epoch, refusal.reason))
    });
    Decided {
        steps: releases.chain(moves).collect(),
        reasons: reasons.collect(),
        refused,
    }
}

/// Writes it, as long as `me` plans under `term`.
pub(crate) async fn act(
    state: &State,
    me: Uuid,
    term: i64,
    decided: Decided,
) -> sqlx::Result<Status> {
    let mut status = Status {
        role: Role::Planner { term },
        refused: decided.refused,
        ..Status::default()
    };
    for steps in decided.steps.chunks(BATCH) {
        if !act_on_batch(state, me, term, steps, &mut status).await? {
            status.role = Role::Deposed;
            return Ok(status);
        }
    }
    for reasons in decided.reasons.chunks(BATCH) {
        let mut tx = state.pool.begin().await?;
        if !planner_hold(&mut tx, me, term).await? {
            status.role = Role::Deposed;
            return Ok(status);
        }
        slot_explain(&mut tx, reasons).await?;
        tx.commit().await?;
    }
    Ok(status)
}

/// One transaction; false if `me` does not plan any more.
async fn act_on_batch(
    state: &State,
    me: Uuid,
    term: i64,
    steps: &[Step],
    status: &mut Status,
) -> sqlx::Result<bool> {
    let mut tx = state.pool.begin().await?;
    if !planner_hold(&mut tx, me, term).await? {
        return Ok(false);
    }
    let outcomes = slot_assign(&mut tx, steps).await?;
    let restreams = restream_of_slots(&mut tx, steps.iter().map(|step| step.slot)).await?;
    let (mut placed, mut released, mut postponed) = (0, 0, 0);
    let mut events = Vec::new();
    for (step, outcome) in steps.iter().zip(outcomes) {
        let Outcome::Done { project_id, .. } = outcome else {
            postponed += 1;
            continue;
        };
        let message = if step.to.is_some() {
            placed += 1;
            format!("placed on {}", step.reason)
        } else {
            released += 1;
            format!("taken from its node: {}", step.reason)
        };
        let (kind, subject) = match restreams.get(&step.slot) {
            Some(restream) => (EventKind::RestreamPlaced, restream.to_string()),
            None => (EventKind::CameraPlaced, step.slot.camera_id.to_string()),
        };
        events.push(NewEvent {
            project_id: Some(project_id),
            kind,
            subject,
            actor: "planner",
            message,
        });
    }
    event_insert_many(&mut tx, events).await?;
    tx.commit().await?;
    status.placed += placed;
    status.released += released;
    status.postponed += postponed;
    Ok(true)
}
