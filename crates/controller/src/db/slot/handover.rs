//! Strict slots change hands only when the last holder has stopped for certain (I3).
//!
//! A holder stops by itself when it cannot renew its lease, long before the lease has run out; and
//! it stops when it applies a revision that takes the slot away, and says so.
//!
//! Whoever gives such a slot away locks the last holder's lease. A renewal that waits for this lock
//! is answered with the revision after it (see `lease_renew`), from which the old holder learns
//! that it may not start again what it was told before.

use std::collections::{BTreeMap, BTreeSet};

use headworks_duty::LastHolder;
use headworks_types::edge::{Fencing, STRICT_MARGIN, SlotKey};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Step, assign::Current, key_arrays};

/// Those of the slots that may not be given to the node that the step wants, since another one may
/// still do the work. The slots are locked already; the last holders' leases are locked here.
pub(super) async fn slot_bound(
    conn: &mut PgConnection,
    steps: &[Step],
    current: &BTreeMap<SlotKey, Current>,
) -> sqlx::Result<BTreeSet<SlotKey>> {
    let handed: Vec<_> = steps
        .iter()
        .filter(|step| step.slot.role.fencing() == Fencing::Strict)
        .filter_map(|step| {
            let slot = current.get(&step.slot)?;
            let last = slot.node_id.or(slot.left_node_id)?;
            let to = step.to?.uuid();
            (to != last).then_some((step.slot, last, slot.left_revision))
        })
        .collect();
    if handed.is_empty() {
        return Ok(BTreeSet::new());
    }
    let nodes: BTreeSet<Uuid> = handed.iter().map(|(_, last, _)| *last).collect();
    let holders = lease_lock(conn, nodes.into_iter().collect()).await?;
    let bound = handed.into_iter().filter(|(_, last, left)| {
        // Who never renewed a lease never worked.
        let holder = holders.get(last);
        holder.is_some_and(|holder| holder.may_still_work(*left))
    });
    Ok(bound.map(|(slot, ..)| slot).collect())
}

async fn lease_lock(
    conn: &mut PgConnection,
    nodes: Vec<Uuid>,
) -> sqlx::Result<BTreeMap<Uuid, LastHolder>> {
    sqlx::query!(
        r#"SELECT node_id FROM node_lease WHERE node_id = ANY($1) ORDER BY node_id FOR SHARE"#,
        &nodes
    )
    .fetch_all(&mut *conn)
    .await?;
    // Only a statement after the lock sees all that was committed before it.
    let rows = sqlx::query!(
        r#"SELECT l.node_id, l.goodbye, l.applied_revision, v.revision,
                  l.expires_at + make_interval(secs => $2) < clock_timestamp() AS "over!",
                  l.strict_after >= clock_timestamp() OR (SELECT database_era_is_over())
                      AS "succeeds!"
           FROM node_lease l JOIN node_revision v ON v.node_id = l.node_id
           WHERE l.node_id = ANY($1)"#,
        &nodes,
        STRICT_MARGIN.as_secs_f64()
    )
    .fetch_all(conn)
    .await?;
    let holders = rows.into_iter().map(|row| {
        let holder = LastHolder {
            goodbye: row.goodbye,
            over: row.over,
            succeeds: row.succeeds,
            applied: row.applied_revision,
            revision: row.revision,
        };
        (row.node_id, holder)
    });
    Ok(holders.collect())
}

/// Notes for slots that have just lost their nodes by which revisions they did. Call it after the
/// revisions have risen.
pub(super) async fn slot_mark_left(
    conn: &mut PgConnection,
    slots: impl Iterator<Item = SlotKey>,
) -> sqlx::Result<()> {
    let (cameras, roles, ordinals) = key_arrays(slots);
    if cameras.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"UPDATE slot s SET left_revision = v.revision
           FROM unnest($1::uuid[], $2::text[], $3::smallint[]) AS k (camera_id, role, ordinal),
                node_revision v
           WHERE (s.camera_id, s.role, s.ordinal) = (k.camera_id, k.role, k.ordinal)
             AND v.node_id = s.left_node_id AND s.left_revision IS NULL"#,
        &cameras,
        &roles,
        &ordinals
    )
    .execute(conn)
    .await?;
    Ok(())
}
