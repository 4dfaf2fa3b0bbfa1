//! What slots really take from their nodes: edges measure it, and what is booked follows.

use headworks_types::{NodeId, edge::SlotUsage};
use sqlx::PgConnection;

use super::{
    Report, Step,
    assign::{capacity_lock, capacity_write, slot_lock},
    key_arrays,
};

/// So much of a processor core is one unit.
const UNITS_PER_CORE: i64 = 8;
/// So much media is one unit.
const KBIT_PER_UNIT: i64 = 8000;

/// What the usage comes to, in thousandths of a unit.
fn milliunits(usage: &SlotUsage) -> i64 {
    let media = i64::from(usage.in_kbit) + i64::from(usage.out_kbit);
    let cores = usage.millicores.map_or(0, i64::from);
    (media * 1000 / KBIT_PER_UNIT).max(cores * UNITS_PER_CORE)
}

/// Stores what the slots take, in whole units. The next unit counts from a tenth above on, and is
/// given back from a quarter below on, so that who is near a limit does not go to and fro. Only the
/// holder of a slot under its present epoch is believed.
pub(super) async fn slot_measure(conn: &mut PgConnection, reports: &[Report]) -> sqlx::Result<()> {
    let measured = || {
        reports
            .iter()
            .filter_map(|report| Some((report, report.slot.usage?)))
    };
    if measured().next().is_none() {
        return Ok(());
    }
    let (cameras, roles, ordinals) = key_arrays(measured().map(|(report, _)| report.slot.key));
    let nodes: Vec<_> = measured()
        .map(|(report, _)| report.node_id.uuid())
        .collect();
    let epochs: Vec<_> = measured().map(|(report, _)| report.slot.epoch).collect();
    let used: Vec<_> = measured().map(|(_, usage)| milliunits(&usage)).collect();
    sqlx::query!(
        r#"WITH due AS (
               SELECT s.camera_id, s.role, s.ordinal,
                      LEAST(100000, GREATEST(1,
                          CASE WHEN r.used > now.units * 1000 + 100 THEN (r.used + 999) / 1000
                               WHEN r.used + 250 <= (now.units - 1) * 1000
                               THEN (r.used + 250 + 999) / 1000
                               ELSE now.units
                          END))::integer AS measured
               FROM slot s
               JOIN unnest($1::uuid[], $2::text[], $3::smallint[], $4::uuid[], $5::bigint[],
                           $6::bigint[]) AS r (camera_id, role, ordinal, node_id, epoch, used)
                 ON (s.camera_id, s.role, s.ordinal) = (r.camera_id, r.role, r.ordinal)
                AND s.node_id = r.node_id AND s.epoch = r.epoch
               CROSS JOIN LATERAL (SELECT COALESCE(s.measured, s.cost)::bigint AS units) AS now
           ), changed AS (
               SELECT s.camera_id, s.role, s.ordinal, due.measured
               FROM slot s
               JOIN due ON (s.camera_id, s.role, s.ordinal) = (due.camera_id, due.role, due.ordinal)
               WHERE COALESCE(s.measured, s.cost) <> due.measured
               ORDER BY s.camera_id, s.role, s.ordinal
               FOR NO KEY UPDATE OF s
           )
           UPDATE slot s SET measured = changed.measured
           FROM changed
           WHERE (s.camera_id, s.role, s.ordinal)
               = (changed.camera_id, changed.role, changed.ordinal)"#,
        &cameras,
        &roles,
        &ordinals,
        &nodes,
        &epochs,
        &used
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Books what slots cost now, on the nodes that have them and keep them: `from` and `to` of each
/// step are the same. Who holds what does not change, so nobody is told. A step whose slot has
/// changed, or for whose cost there is no room, does nothing. Returns how many were done.
pub(crate) async fn slot_reprice(conn: &mut PgConnection, steps: &[Step]) -> sqlx::Result<usize> {
    let mut nodes: Vec<_> = steps.iter().filter_map(|step| step.to).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let nodes = nodes.into_iter().map(NodeId::uuid).collect();
    let mut ledger = capacity_lock(conn, nodes).await?;
    let current = slot_lock(conn, steps).await?;
    let mut done: Vec<&Step> = Vec::new();
    for step in steps.iter().filter(|step| step.from == step.to) {
        if let Some(slot) = current.get(&step.slot)
            && step.is_possible(&current)
            && ledger.book(step, slot)
        {
            done.push(step);
        }
    }
    let (cameras, roles, ordinals) = key_arrays(done.iter().map(|step| step.slot));
    let costs: Vec<_> = done.iter().map(|step| step.cost.cast_signed()).collect();
    sqlx::query!(
        r#"UPDATE slot s SET cost = w.cost
           FROM unnest($1::uuid[], $2::text[], $3::smallint[], $4::integer[])
                AS w (camera_id, role, ordinal, cost)
           WHERE (s.camera_id, s.role, s.ordinal) = (w.camera_id, w.role, w.ordinal)"#,
        &cameras,
        &roles,
        &ordinals,
        &costs
    )
    .execute(&mut *conn)
    .await?;
    capacity_write(conn, &ledger).await?;
    Ok(done.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_or_processor_counts_whichever_is_more() {
        let usage = |in_kbit, out_kbit, millicores| SlotUsage {
            in_kbit,
            out_kbit,
            millicores,
        };
        for (usage, expected) in [
            (usage(4000, 0, None), 500),
            (usage(8000, 8000, None), 2000),
            (usage(4000, 4000, Some(500)), 4000),
            (usage(8000, 0, Some(10)), 1000),
            (usage(u32::MAX, u32::MAX, Some(0)), 1_073_741_823),
        ] {
            assert_eq!(milliunits(&usage), expected, "{usage:?}");
        }
    }
}
