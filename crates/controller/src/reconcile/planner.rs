//! Places work: lists the fleet, lets the planner decide, and writes what it says.
//!
//! A turn in which nothing has changed reads the nodes and asks for changes, and no slots; see
//! [`memory`].
//!
//! Of all controllers one plans at a time: it holds the lease of `db::planner_lease`, and each of
//! its transactions checks the term, so that one who was deposed cannot commit.

mod memory;

use std::time::Duration;

use headworks_planner::{Policy, Refusal, Reprice, STAYS, plan};
use headworks_types::{EventKind, edge::SlotKey};
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    db::{
        event::{NewEvent, event_insert_many},
        planner_lease::{planner_acquire, planner_hold, planner_resign},
        slot::{Outcome, Step, restream_of_slots, slot_assign, slot_explain, slot_reprice},
    },
    state::State,
};

pub(crate) use memory::{Listed, Memory, list, read, refresh, take};

const PERIOD: Duration = Duration::from_secs(1);
/// For how long the right to plan is held without renewal.
const LEASE: Duration = Duration::from_secs(15);
/// How long a turn may take: a plan of everything is written in many transactions.
const LIMIT: Duration = Duration::from_mins(2);
/// How long the last word to the database may take.
const RESIGN: Duration = Duration::from_secs(1);
/// How many slots one transaction moves: it locks their nodes' capacity meanwhile.
const BATCH: usize = 1000;

/// What a turn did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// Who plans.
    pub(crate) role: Role,
    /// Slots that got a node.
    pub(crate) placed: usize,
    /// Slots that lost theirs.
    pub(crate) released: usize,
    /// Slots that cost more or less than before.
    pub(crate) repriced: usize,
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

/// What to write.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Decided {
    /// Releases first, since they make room.
    pub(crate) steps: Vec<Step>,
    /// Slots that stay where they are and take less now, which makes room.
    pub(crate) cheaper: Vec<Step>,
    /// Slots that stay where they are and take more now.
    pub(crate) dearer: Vec<Step>,
    /// Reasons that have changed, with the epochs they belong to.
    pub(crate) reasons: Vec<(SlotKey, i64, String)>,
    refused: usize,
}

/// Plans until the controller stops.
pub(super) async fn run(state: State, stop: CancellationToken) {
    let me = state.ids.next();
    let mut last = Role::Standby;
    let mut memory = None;
    loop {
        // What has been committed until then counts.
        let turn = timeout(LIMIT, turn_with(&state, me, &mut memory));
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
    if status.placed + status.released + status.repriced + status.postponed > 0 {
        tracing::info!(
            placed = status.placed,
            released = status.released,
            repriced = status.repriced,
            postponed = status.postponed,
            refused = status.refused,
            "planned"
        );
    }
}

/// One turn that remembers nothing.
#[cfg(test)]
pub(crate) async fn turn(state: &State, me: Uuid) -> sqlx::Result<Status> {
    turn_with(state, me, &mut None).await
}

/// One turn: list, decide, act, if it is ours to plan and something has changed. What is known of
/// the fleet is forgotten when anything goes wrong.
pub(crate) async fn turn_with(
    state: &State,
    me: Uuid,
    memory: &mut Option<Memory>,
) -> sqlx::Result<Status> {
    let known = memory.take();
    let mut tx = state.pool.begin().await?;
    let term = planner_acquire(&mut tx, me, LEASE.as_secs_f64()).await?;
    tx.commit().await?;
    let Some(term) = term else {
        return Ok(Status::default());
    };
    let Some(changed) = take(state, me, term).await? else {
        return Ok(Status {
            role: Role::Deposed,
            ..Status::default()
        });
    };
    let (known, has_changed) = match known.filter(|known| known.is_of(term)) {
        Some(known) => refresh(state, known, changed).await?,
        None => (Memory::new(list(state).await?, term, state), true),
    };
    let mut status = Status {
        role: Role::Planner { term },
        refused: known.refused,
        ..Status::default()
    };
    let mut known = known;
    if has_changed {
        let decided;
        let planned = spawn_blocking(move || (decide(&known.listed), known));
        (decided, known) = planned.await.map_err(|_| sqlx::Error::WorkerCrashed)?;
        let moved = decided.steps.iter().map(|step| step.slot.camera_id);
        let moved = moved.collect();
        status = act(state, me, term, decided).await?;
        known.acted(&status, moved);
    }
    *memory = Some(known);
    Ok(status)
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
    let (cheaper, dearer): (Vec<_>, Vec<_>) = plan
        .reprices
        .iter()
        .partition(|reprice| reprice.cost < reprice.from);
    let reprice = |reprice: &Reprice| Step {
        epoch: epoch(&reprice.slot),
        slot: reprice.slot,
        from: Some(reprice.node),
        to: Some(reprice.node),
        cost: reprice.cost.get(),
        reason: String::new(),
    };
    let refused = plan.refusals.len();
    let free = no_more_stuck(listed, &plan.refusals);
    let reasons = plan
        .refusals
        .into_iter()
        .map(|refusal| (refusal.slot, refusal.reason))
        .chain(free)
        .filter_map(|(slot, words)| {
            let (epoch, reason) = listed.marks.get(&slot)?;
            (*reason != words).then_some((slot, *epoch, words))
        });
    let mut steps: Vec<_> = releases.chain(moves).collect();
    if steps.len() > BATCH {
        // Each transaction then tells few nodes.
        steps.sort_by_key(|step| (step.to, step.slot));
    }
    Decided {
        steps,
        cheaper: cheaper.into_iter().map(reprice).collect(),
        dearer: dearer.into_iter().map(reprice).collect(),
        reasons: reasons.collect(),
        refused,
    }
}

/// New reasons for slots that should have left their node and could not, and need not any more.
fn no_more_stuck(listed: &Listed, refusals: &[Refusal]) -> Vec<(SlotKey, String)> {
    let is_stuck = |slot: &SlotKey| {
        let found = refusals.binary_search_by_key(slot, |refusal| refusal.slot);
        found.is_ok()
    };
    let freed = listed.fleet.slots.iter().filter(|slot| {
        let said = listed.marks.get(&slot.key);
        slot.node.is_some()
            && said.is_some_and(|(_, reason)| reason.starts_with(STAYS))
            && !is_stuck(&slot.key)
    });
    freed
        .map(|slot| (slot.key, "it need not leave its node any more".to_owned()))
        .collect()
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
    if !reprice(state, me, term, &decided.cheaper, &mut status).await? {
        status.role = Role::Deposed;
        return Ok(status);
    }
    let mut extended = state.clock.monotonic();
    for steps in decided.steps.chunks(BATCH) {
        let now = state.clock.monotonic();
        if now - extended > LEASE / 3 {
            let mut tx = state.pool.begin().await?;
            planner_acquire(&mut tx, me, LEASE.as_secs_f64()).await?;
            tx.commit().await?;
            extended = now;
        }
        if !act_on_batch(state, me, term, steps, &mut status).await? {
            status.role = Role::Deposed;
            return Ok(status);
        }
    }
    if !reprice(state, me, term, &decided.dearer, &mut status).await? {
        status.role = Role::Deposed;
        return Ok(status);
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

/// Books other costs; false if `me` does not plan any more.
async fn reprice(
    state: &State,
    me: Uuid,
    term: i64,
    steps: &[Step],
    status: &mut Status,
) -> sqlx::Result<bool> {
    for steps in steps.chunks(BATCH) {
        let mut tx = state.pool.begin().await?;
        if !planner_hold(&mut tx, me, term).await? {
            return Ok(false);
        }
        status.repriced += slot_reprice(&mut tx, steps).await?;
        tx.commit().await?;
    }
    Ok(true)
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
