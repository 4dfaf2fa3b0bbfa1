//! Assignment: the only place where a slot gets a node.

use std::collections::{BTreeMap, BTreeSet};

use headworks_types::{
    NodeId, ProjectId,
    edge::{Role, SlotKey},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    DISABLED,
    handover::{slot_bound, slot_mark_left},
    history::move_insert,
    key_arrays,
    restream::restream_unwanted,
    slot_key,
};
use crate::db::node::revision_bump;

/// One change of who holds a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// Which slot.
    pub(crate) slot: SlotKey,
    /// Its epoch when the step was decided; the step does nothing if it has risen since.
    pub(crate) epoch: i64,
    /// Its holder when the step was decided; the step does nothing if it has changed since.
    pub(crate) from: Option<NodeId>,
    /// Its new holder.
    pub(crate) to: Option<NodeId>,
    /// What it takes from the new holder.
    pub(crate) cost: u32,
    /// Why, in words.
    pub(crate) reason: String,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is done, for a camera of this project.
    Done { epoch: i64, project_id: ProjectId },
    /// The slot or its camera has changed since the step was decided, or the last holder of a strict
    /// slot may still do the work.
    Stale,
    /// The new holder has no room, or takes no new work.
    Full,
}

/// A slot as it is now, locked.
pub(super) struct Current {
    epoch: i64,
    pub(super) node_id: Option<Uuid>,
    /// Who held it before nobody did, and the revision that took it away.
    pub(super) left_node_id: Option<Uuid>,
    pub(super) left_revision: Option<i64>,
    cost: i64,
    project_id: Uuid,
    wanted: bool,
}

/// Performs the steps that are still possible, each for another slot, in the caller's transaction.
/// The outcomes are in the order of the steps.
///
/// The lock order is capacity, slot, lease, revision. All capacity rows are locked before the first slot
/// is read, so what is counted here in memory is what is written at the end.
pub(crate) async fn slot_assign(
    conn: &mut PgConnection,
    steps: &[Step],
) -> sqlx::Result<Vec<Outcome>> {
    let nodes: BTreeSet<Uuid> = steps
        .iter()
        .flat_map(|step| [step.from, step.to])
        .flatten()
        .map(NodeId::uuid)
        .collect();
    let mut ledger = capacity_lock(conn, nodes.into_iter().collect()).await?;
    let current = slot_lock(conn, steps).await?;
    let bound = slot_bound(conn, steps, &current).await?;
    let mut outcomes = vec![Outcome::Stale; steps.len()];
    let mut open: Vec<usize> = (0..steps.len())
        .filter(|index| steps[*index].is_possible(&current))
        .filter(|index| !bound.contains(&steps[*index].slot))
        .collect();
    let mut done = Vec::new();
    // A step may need room that another one makes, so go on until nothing changes.
    loop {
        let before = open.len();
        open.retain(|index| {
            let step = &steps[*index];
            let moved = current
                .get(&step.slot)
                .is_some_and(|slot| ledger.book(step, slot));
            if moved {
                done.push(*index);
            }
            !moved
        });
        if open.len() == before {
            break;
        }
    }
    for index in open {
        outcomes[index] = Outcome::Full;
    }
    let epochs = slot_write(conn, done.iter().map(|index| &steps[*index])).await?;
    let moved = done
        .iter()
        .map(|index| (steps[*index].slot, steps[*index].from));
    move_insert(conn, moved).await?;
    for index in done {
        let key = steps[index].slot;
        if let (Some(epoch), Some(slot)) = (epochs.get(&key), current.get(&key)) {
            outcomes[index] = Outcome::Done {
                epoch: *epoch,
                project_id: slot.project_id.into(),
            };
        }
    }
    capacity_write(conn, &ledger).await?;
    revision_bump(conn, &ledger.touched()).await?;
    let released = steps
        .iter()
        .zip(&outcomes)
        .filter(|(step, outcome)| step.to.is_none() && matches!(outcome, Outcome::Done { .. }));
    slot_mark_left(conn, released.map(|(step, _)| step.slot)).await?;
    Ok(outcomes)
}

impl Step {
    pub(super) fn is_possible(&self, current: &BTreeMap<SlotKey, Current>) -> bool {
        current.get(&self.slot).is_some_and(|slot| {
            slot.epoch == self.epoch
                && slot.node_id == self.from.map(NodeId::uuid)
                && (slot.wanted || self.to.is_none())
        })
    }
}

/// What the nodes have and use, and how that changes.
pub(super) struct Ledger(BTreeMap<Uuid, Account>);

pub(super) struct Account {
    alloc: i64,
    used: i64,
    /// An operator has closed the node: nothing comes to it that it does not have.
    closed: bool,
    change: i64,
    touched: bool,
}

impl Ledger {
    /// Moves the slot's cost from account to account; false if there is no room, or the node takes
    /// no new work.
    pub(super) fn book(&mut self, step: &Step, slot: &Current) -> bool {
        let cost = i64::from(step.cost);
        if let Some(to) = step.to {
            let Some(account) = self.0.get_mut(&to.uuid()) else {
                return false;
            };
            let back = if slot.node_id == Some(to.uuid()) {
                slot.cost
            } else {
                0
            };
            // A restream goes where its camera is, which is no new work for the node.
            let comes = slot.node_id != Some(to.uuid()) && step.slot.role != Role::Restream;
            if account.closed && comes
                || account.used + account.change - back + cost > account.alloc
            {
                return false;
            }
            account.change += cost;
            account.touched = true;
        }
        if let Some(account) = slot.node_id.and_then(|from| self.0.get_mut(&from)) {
            account.change -= slot.cost;
            account.touched = true;
        }
        true
    }

    fn touched(&self) -> Vec<Uuid> {
        let touched = self.0.iter().filter(|(_, account)| account.touched);
        touched.map(|(node, _)| *node).collect()
    }
}

pub(super) async fn capacity_lock(
    conn: &mut PgConnection,
    nodes: Vec<Uuid>,
) -> sqlx::Result<Ledger> {
    let rows = sqlx::query!(
        r#"SELECT node_id, alloc, used, closed FROM node_capacity WHERE node_id = ANY($1)
           ORDER BY node_id
           FOR UPDATE"#,
        &nodes
    )
    .fetch_all(conn)
    .await?;
    let accounts = rows.into_iter().map(|row| {
        let account = Account {
            alloc: row.alloc.into(),
            used: row.used.into(),
            closed: row.closed,
            change: 0,
            touched: false,
        };
        (row.node_id, account)
    });
    Ok(Ledger(accounts.collect()))
}

pub(super) async fn capacity_write(conn: &mut PgConnection, ledger: &Ledger) -> sqlx::Result<()> {
    let changed = ledger.0.iter().filter(|(_, account)| account.change != 0);
    let (nodes, changes): (Vec<Uuid>, Vec<i64>) = changed
        .map(|(node, account)| (*node, account.change))
        .unzip();
    // The condition repeats what was counted above, so that a mistake there cannot overfill a node.
    let result = sqlx::query!(
        r#"UPDATE node_capacity c SET used = c.used + d.change::integer
           FROM unnest($1::uuid[], $2::bigint[]) AS d (node_id, change)
           WHERE c.node_id = d.node_id AND (d.change < 0 OR c.used + d.change <= c.alloc)"#,
        &nodes,
        &changes
    )
    .execute(conn)
    .await?;
    if result.rows_affected() == nodes.len() as u64 {
        Ok(())
    } else {
        Err(sqlx::Error::RowNotFound)
    }
}

/// Locks the slots, then reads their cameras: a statement that waits for a lock sees the row it
/// waited for as it is now, but rows of other tables as they were before.
pub(super) async fn slot_lock(
    conn: &mut PgConnection,
    steps: &[Step],
) -> sqlx::Result<BTreeMap<SlotKey, Current>> {
    let (cameras, roles, ordinals) = key_arrays(steps.iter().map(|step| step.slot));
    let slots = sqlx::query!(
        r#"SELECT s.camera_id, s.role, s.ordinal, s.epoch, s.node_id, s.cost,
                  s.left_node_id, s.left_revision
           FROM slot s
           JOIN unnest($1::uuid[], $2::text[], $3::smallint[]) AS k (camera_id, role, ordinal)
             ON (s.camera_id, s.role, s.ordinal) = (k.camera_id, k.role, k.ordinal)
           ORDER BY s.camera_id, s.role, s.ordinal
           FOR NO KEY UPDATE OF s"#,
        &cameras,
        &roles,
        &ordinals
    )
    .fetch_all(&mut *conn)
    .await?;
    let cameras = sqlx::query!(
        r#"SELECT id, project_id, enabled FROM camera WHERE id = ANY($1)"#,
        &cameras
    )
    .fetch_all(&mut *conn)
    .await?;
    let unwanted = restream_unwanted(conn, steps.iter().map(|step| step.slot)).await?;
    let cameras: BTreeMap<_, _> = cameras.into_iter().map(|row| (row.id, row)).collect();
    let slots = slots.into_iter().filter_map(|slot| {
        let camera = cameras.get(&slot.camera_id)?;
        let current = Current {
            epoch: slot.epoch,
            node_id: slot.node_id,
            left_node_id: slot.left_node_id,
            left_revision: slot.left_revision,
            cost: slot.cost.into(),
            project_id: camera.project_id,
            wanted: camera.enabled,
        };
        let key = slot_key(slot.camera_id, &slot.role, slot.ordinal);
        Some(key.map(|key| (key, current)))
    });
    let mut slots: BTreeMap<_, _> = slots.collect::<sqlx::Result<_>>()?;
    for key in unwanted {
        if let Some(slot) = slots.get_mut(&key) {
            slot.wanted = false;
        }
    }
    Ok(slots)
}

/// Writes the new holders; an assignment raises the epoch above everything that was ever seen.
async fn slot_write<'a>(
    conn: &mut PgConnection,
    steps: impl Iterator<Item = &'a Step> + Clone,
) -> sqlx::Result<BTreeMap<SlotKey, i64>> {
    let (cameras, roles, ordinals) = key_arrays(steps.clone().map(|step| step.slot));
    let nodes: Vec<_> = steps
        .clone()
        .map(|step| step.to.map(NodeId::uuid))
        .collect();
    let costs: Vec<_> = steps
        .clone()
        .map(|step| step.to.map_or(0, |_| step.cost.cast_signed()))
        .collect();
    let reasons: Vec<_> = steps.map(|step| step.reason.clone()).collect();
    let rows = sqlx::query!(
        r#"UPDATE slot s
           SET node_id = w.node_id,
               cost = w.cost,
               reason = w.reason,
               came_from_node_id = CASE WHEN w.node_id IS NOT NULL
                   THEN NULLIF(COALESCE(s.node_id, s.left_node_id), w.node_id) END,
               left_node_id = CASE WHEN w.node_id IS NULL THEN COALESCE(s.node_id, s.left_node_id) END,
               left_revision = CASE WHEN w.node_id IS NULL AND s.node_id IS NULL
                                    THEN s.left_revision END,
               epoch = CASE WHEN w.node_id IS NULL THEN s.epoch
                            ELSE GREATEST(s.epoch, s.reported_epoch) + 1 END,
               assigned_at = clock_timestamp(),
               moves = s.moves + 1
           FROM unnest($1::uuid[], $2::text[], $3::smallint[], $4::uuid[], $5::integer[], $6::text[])
                AS w (camera_id, role, ordinal, node_id, cost, reason)
           WHERE (s.camera_id, s.role, s.ordinal) = (w.camera_id, w.role, w.ordinal)
           RETURNING s.camera_id, s.role, s.ordinal, s.epoch"#,
        &cameras,
        &roles,
        &ordinals,
        &nodes as &[Option<Uuid>],
        &costs,
        &reasons
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    rows.map(|row| Ok((slot_key(row.camera_id, &row.role, row.ordinal)?, row.epoch)))
        .collect()
}

/// Stores why slots are where they are, as far as their epoch is still the given one and their
/// cameras want them. Changes nothing else, so nobody is told.
pub(crate) async fn slot_explain(
    conn: &mut PgConnection,
    reasons: &[(SlotKey, i64, String)],
) -> sqlx::Result<()> {
    let (cameras, roles, ordinals) = key_arrays(reasons.iter().map(|(key, ..)| *key));
    let epochs: Vec<_> = reasons.iter().map(|(_, epoch, _)| *epoch).collect();
    let reasons: Vec<_> = reasons.iter().map(|(.., reason)| reason.clone()).collect();
    sqlx::query!(
        r#"WITH due AS (
               SELECT s.camera_id, s.role, s.ordinal, w.reason
               FROM slot s
               JOIN unnest($1::uuid[], $2::text[], $3::smallint[], $4::bigint[], $5::text[])
                    AS w (camera_id, role, ordinal, epoch, reason)
                 ON (s.camera_id, s.role, s.ordinal) = (w.camera_id, w.role, w.ordinal)
                AND s.epoch = w.epoch
               WHERE s.reason <> $6
               ORDER BY s.camera_id, s.role, s.ordinal
               FOR NO KEY UPDATE OF s
           )
           UPDATE slot s SET reason = due.reason
           FROM due
           WHERE (s.camera_id, s.role, s.ordinal) = (due.camera_id, due.role, due.ordinal)"#,
        &cameras,
        &roles,
        &ordinals,
        &epochs,
        &reasons,
        DISABLED
    )
    .execute(conn)
    .await?;
    Ok(())
}
