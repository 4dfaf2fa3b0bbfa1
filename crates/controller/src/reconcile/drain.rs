//! Ends drains, and deletes nodes that are removed.
//!
//! The planner moves the work of a draining node to others as they can take it. This loop sees when
//! nothing is left. At the deadline it asks the planner what would become of the rest if the node
//! were gone: what another node can take is taken away at once, and the rest stays, with the
//! planner's words for it. All that it knows stands in the database, so any replica goes on where
//! another one stopped.

use std::{collections::HashMap, time::Duration};

use headworks_planner::{Fleet, Policy, plan};
use headworks_types::{EventKind, NodeId, edge::SlotKey};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::planner;
use crate::{
    db::{
        event::{NewEvent, event_insert, event_insert_many},
        node::{
            Draining, drain_expire, drain_finish, drain_list, node_delete_removed,
            node_removed_list, node_wish_lock,
        },
        slot::{Outcome, Step, slot_assign, slot_released_event, slot_vacate},
    },
    state::State,
};

const PERIOD: Duration = Duration::from_secs(1);
/// How long it is waited after the deadline for work that is on its way to another node.
const GRACE: Duration = Duration::from_secs(30);
/// How many slots one transaction takes away.
const BATCH: usize = 500;
/// How many slots are named that stay.
const NAMED: usize = 3;
/// Why the last node keeps everything.
const ALONE: &str = "there is no other node";
/// Why slots are taken from removed nodes.
const REMOVED: &str = "its node was removed";

/// What there is.
pub(crate) struct Listed {
    draining: Vec<Draining>,
    /// Where everything is, if a deadline has passed.
    plan: Option<planner::Listed>,
    /// Removed nodes, each with whether it has work.
    removed: Vec<(NodeId, bool)>,
}

/// How a drain ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    node: NodeId,
    expired: bool,
    message: String,
}

/// What to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Decided {
    ends: Vec<End>,
    /// Of nodes whose deadline has passed.
    releases: Vec<Step>,
    removed: Vec<(NodeId, bool)>,
}

/// What a turn did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) ended: usize,
    pub(crate) released: usize,
    pub(crate) deleted: u64,
}

/// Looks after drains until the controller stops.
pub(super) async fn run(state: State, stop: CancellationToken) {
    loop {
        match stop.run_until_cancelled(turn(&state)).await {
            None => break,
            Some(Ok(status)) => {
                if status.released > 0 {
                    state.wake.planner();
                }
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "drains cannot be looked after; it is tried again");
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = state.wake.drains_called() => {}
            () = sleep(PERIOD) => {}
        }
    }
}

/// One turn: list, decide, act.
pub(crate) async fn turn(state: &State) -> sqlx::Result<Status> {
    let listed = list(state).await?;
    act(state, decide(&listed)).await
}

/// Reads the drains; the whole fleet only if a deadline has passed.
pub(crate) async fn list(state: &State) -> sqlx::Result<Listed> {
    let mut conn = state.pool.acquire().await?;
    let draining = drain_list(&mut conn, GRACE.as_secs_f64()).await?;
    let removed = node_removed_list(&mut conn).await?;
    drop(conn);
    let ask = draining.iter().any(|one| one.overdue && one.slots_left > 0);
    let plan = if ask {
        Some(planner::list(state).await?)
    } else {
        None
    };
    Ok(Listed {
        draining,
        plan,
        removed,
    })
}

/// Decides which drains end, and what is taken from nodes whose deadline has passed.
pub(crate) fn decide(listed: &Listed) -> Decided {
    let mut decided = Decided {
        removed: listed.removed.clone(),
        ..Decided::default()
    };
    for drain in &listed.draining {
        if drain.slots_left == 0 {
            decided.ends.push(End {
                node: drain.id,
                expired: false,
                message: format!("drained: all {} slots have left", drain.slots_total),
            });
        } else if let (true, Some(plan)) = (drain.overdue, &listed.plan) {
            overdue(drain, plan, &mut decided);
        }
    }
    decided
}

/// Takes away what others can take. If that is nothing, and nothing is on its way, the rest stays.
fn overdue(drain: &Draining, listed: &planner::Listed, decided: &mut Decided) {
    let fate = Fate::of(drain.id, &listed.fleet);
    if fate.leave.is_empty() && (!fate.under_way || drain.over) {
        decided.ends.push(End {
            node: drain.id,
            expired: true,
            message: format!(
                "expired: {} of {} slots stay{}",
                drain.slots_left,
                drain.slots_total,
                fate.words()
            ),
        });
        return;
    }
    let steps = fate.leave.into_iter().map(|slot| Step {
        epoch: listed.marks.get(&slot).map_or(0, |(epoch, _)| *epoch),
        slot,
        from: Some(drain.id),
        to: None,
        cost: 0,
        reason: format!("the deadline for draining {} has passed", drain.name),
    });
    decided.releases.extend(steps);
}

/// What would become of a node's work if it were gone.
struct Fate {
    /// Others can take it.
    leave: Vec<SlotKey>,
    /// Nobody can take it, and why.
    stay: Vec<(SlotKey, String)>,
    /// Something follows a slot that has left, and has not yet.
    under_way: bool,
}

impl Fate {
    fn of(node: NodeId, fleet: &Fleet) -> Self {
        let here = fleet.slots.iter().filter(|slot| slot.node == Some(node));
        let here: HashMap<_, _> = here.map(|slot| (slot.key, slot.follows)).collect();
        let mut without = fleet.clone();
        without.nodes.retain(|one| one.id != node);
        for slot in &mut without.slots {
            slot.node = slot.node.filter(|holder| *holder != node);
        }
        let plan = plan(&without, &Policy::default());
        // What follows another slot goes where that goes, by the planner's hand.
        let leads = |key: &SlotKey| here.get(key).is_some_and(Option::is_none);
        let moves = plan.moves.iter().map(|step| step.slot);
        let refusals = plan.refusals.into_iter();
        let stay = refusals.filter(|refusal| leads(&refusal.slot));
        let is_alone = without.nodes.is_empty();
        let why = |reason| if is_alone { ALONE.to_owned() } else { reason };
        Self {
            leave: moves.filter(leads).collect(),
            stay: stay.map(|one| (one.slot, why(one.reason))).collect(),
            under_way: here
                .values()
                .flatten()
                .any(|first| !here.contains_key(first)),
        }
    }

    /// Which slots stay, and why.
    fn words(&self) -> String {
        let named = self.stay.iter().take(NAMED);
        let named: Vec<_> = named
            .map(|(key, reason)| format!("{} ({reason})", key.camera_id))
            .collect();
        match (named.is_empty(), self.stay.len().saturating_sub(NAMED)) {
            (true, _) => String::new(),
            (false, 0) => format!(": {}", named.join(", ")),
            (false, more) => format!(": {} and {more} more", named.join(", ")),
        }
    }
}

/// Writes it.
pub(crate) async fn act(state: &State, decided: Decided) -> sqlx::Result<Status> {
    let mut status = Status::default();
    for end in decided.ends {
        status.ended += usize::from(act_on_end(state, end).await?);
    }
    for steps in decided.releases.chunks(BATCH) {
        status.released += release(state, steps).await?;
    }
    for (node, _) in decided.removed.iter().filter(|(_, works)| *works) {
        status.released += vacate(state, *node).await?;
    }
    if !decided.removed.is_empty() {
        let nodes: Vec<_> = decided.removed.iter().map(|(node, _)| *node).collect();
        let mut tx = state.pool.begin().await?;
        status.deleted = node_delete_removed(&mut tx, &nodes).await?;
        tx.commit().await?;
    }
    Ok(status)
}

/// Ends a drain with its event, unless it has ended or been changed meanwhile.
async fn act_on_end(state: &State, end: End) -> sqlx::Result<bool> {
    let mut tx = state.pool.begin().await?;
    let Some(wish) = node_wish_lock(&mut tx, end.node).await? else {
        return Ok(false);
    };
    let (kind, ended) = if end.expired {
        let ended = drain_expire(&mut tx, end.node, &end.message).await?;
        (EventKind::NodeDrainExpired, ended)
    } else {
        let ended = drain_finish(&mut tx, end.node, &end.message).await?;
        (EventKind::NodeDrained, ended)
    };
    if !ended {
        return Ok(false);
    }
    let event = NewEvent {
        project_id: None,
        kind,
        subject: end.node.to_string(),
        actor: "controller",
        message: format!("{}: {}", wish.name, end.message),
    };
    tracing::info!(node.id = %end.node, "{}", event.message);
    event_insert(&mut tx, event).await?;
    tx.commit().await?;
    Ok(true)
}

async fn release(state: &State, steps: &[Step]) -> sqlx::Result<usize> {
    let mut tx = state.pool.begin().await?;
    let outcomes = slot_assign(&mut tx, steps).await?;
    let done: Vec<_> = steps.iter().cloned().zip(outcomes).collect();
    let done = tell(&mut tx, done).await?;
    tx.commit().await?;
    Ok(done)
}

/// Takes from a removed node what it was given while it was removed.
async fn vacate(state: &State, node: NodeId) -> sqlx::Result<usize> {
    let mut tx = state.pool.begin().await?;
    let done = slot_vacate(&mut tx, node, REMOVED).await?;
    let done = tell(&mut tx, done).await?;
    tx.commit().await?;
    Ok(done)
}

/// Tells of the slots that were taken away. Returns how many.
async fn tell(conn: &mut sqlx::PgConnection, done: Vec<(Step, Outcome)>) -> sqlx::Result<usize> {
    let events = slot_released_event(conn, "controller", done).await?;
    let told = events.len();
    event_insert_many(conn, events).await?;
    Ok(told)
}
