//! What edges observe of their slots.

use headworks_types::{NodeId, edge::SlotReport};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{key_arrays, reprice::slot_measure};
use crate::db::{node::revision_bump, to_json};

/// How far above the epoch that we know a report may be. Higher ones come after a database was
/// restored from a backup; much higher ones are broken and must not use up the numbers.
const MAX_EPOCH_LEAD: i64 = 1_000_000_000;

/// A report and who sends it.
pub(crate) struct Report {
    pub(crate) node_id: NodeId,
    pub(crate) slot: SlotReport,
}

/// Stores what has changed. Only the holder of a slot under its present epoch is believed; from
/// everybody else, only the epoch counts, since nothing may ever be assigned below it.
pub(crate) async fn slot_report(conn: &mut PgConnection, reports: &[Report]) -> sqlx::Result<()> {
    epoch_raise(conn, reports).await?;
    status_upsert(conn, reports).await?;
    slot_measure(conn, reports).await
}

/// Raises what was reported. If it is above the epoch of the slot, its holder would be refused
/// everywhere: so the holder gets the slot anew, under a higher epoch.
async fn epoch_raise(conn: &mut PgConnection, reports: &[Report]) -> sqlx::Result<()> {
    let (cameras, roles, ordinals) = key_arrays(reports.iter().map(|report| report.slot.key));
    let epochs: Vec<_> = reports.iter().map(|report| report.slot.epoch).collect();
    let holders = sqlx::query_scalar!(
        r#"WITH seen AS (
               SELECT camera_id, role, ordinal, max(epoch) AS epoch
               FROM unnest($1::uuid[], $2::text[], $3::smallint[], $4::bigint[])
                    AS r (camera_id, role, ordinal, epoch)
               GROUP BY camera_id, role, ordinal
           ), due AS (
               SELECT s.camera_id, s.role, s.ordinal, seen.epoch, seen.epoch > s.epoch AS overtaken
               FROM slot s
               JOIN seen ON (s.camera_id, s.role, s.ordinal) = (seen.camera_id, seen.role, seen.ordinal)
               WHERE seen.epoch > s.reported_epoch AND seen.epoch < s.epoch + $5
               ORDER BY s.camera_id, s.role, s.ordinal
               FOR NO KEY UPDATE OF s
           )
           UPDATE slot s
           SET reported_epoch = due.epoch,
               epoch = CASE WHEN due.overtaken AND s.node_id IS NOT NULL
                            THEN due.epoch + 1 ELSE s.epoch END
           FROM due
           WHERE (s.camera_id, s.role, s.ordinal) = (due.camera_id, due.role, due.ordinal)
           RETURNING CASE WHEN due.overtaken THEN s.node_id END"#,
        &cameras,
        &roles,
        &ordinals,
        &epochs,
        MAX_EPOCH_LEAD
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut holders: Vec<Uuid> = holders.into_iter().flatten().collect();
    holders.sort_unstable();
    holders.dedup();
    revision_bump(conn, &holders).await
}

async fn status_upsert(conn: &mut PgConnection, reports: &[Report]) -> sqlx::Result<()> {
    let (cameras, roles, ordinals) = key_arrays(reports.iter().map(|report| report.slot.key));
    let slots = || reports.iter().map(|report| &report.slot);
    let nodes: Vec<_> = reports.iter().map(|report| report.node_id.uuid()).collect();
    let epochs: Vec<_> = slots().map(|slot| slot.epoch).collect();
    let states: Vec<_> = slots().map(|slot| slot.state.as_str().to_owned()).collect();
    let messages: Vec<_> = slots().map(|slot| slot.message.clone()).collect();
    let since: Vec<_> = slots().map(|slot| slot.since).collect();
    let tracks = slots().map(|slot| to_json(&slot.tracks));
    let tracks = tracks.collect::<sqlx::Result<Vec<_>>>()?;
    let viewers: Vec<_> = slots()
        .map(|slot| i32::try_from(slot.viewers).unwrap_or(i32::MAX))
        .collect();
    let publishers = slots().map(|slot| slot.publisher.as_ref().map(to_json).transpose());
    let publishers = publishers.collect::<sqlx::Result<Vec<_>>>()?;
    let refused = slots().map(|slot| slot.refused.as_ref().map(to_json).transpose());
    let refused = refused.collect::<sqlx::Result<Vec<_>>>()?;
    let restreams = slots().map(|slot| slot.restream.as_ref().map(to_json).transpose());
    let restreams = restreams.collect::<sqlx::Result<Vec<_>>>()?;
    // Only rows that change are locked and written; the lock keeps a camera that is being deleted
    // from breaking the foreign key. Byte counters alone are written every ten seconds or so.
    sqlx::query!(
        r#"WITH changed AS (
               SELECT r.*
               FROM unnest($1::uuid[], $2::text[], $3::smallint[], $4::uuid[], $5::bigint[],
                           $6::text[], $7::text[], $8::timestamptz[], $9::jsonb[], $10::integer[],
                           $11::jsonb[], $12::jsonb[], $13::jsonb[])
                    AS r (camera_id, role, ordinal, node_id, epoch, state, message, since, tracks,
                          viewers, publisher, refused, restream)
               JOIN slot s
                 ON (s.camera_id, s.role, s.ordinal) = (r.camera_id, r.role, r.ordinal)
                AND s.node_id = r.node_id AND s.epoch = r.epoch
               LEFT JOIN slot_status t
                 ON (t.camera_id, t.role, t.ordinal) = (r.camera_id, r.role, r.ordinal)
               WHERE (t.node_id, t.epoch, t.state, t.message, t.since, t.tracks, t.viewers,
                      t.publisher, t.refused, t.restream - 'bytes_sent')
                     IS DISTINCT FROM
                     (r.node_id, r.epoch, r.state, r.message, r.since, r.tracks, r.viewers,
                      r.publisher, r.refused, r.restream - 'bytes_sent')
                  OR (t.restream IS DISTINCT FROM r.restream
                      AND t.observed_at < clock_timestamp() - interval '9 seconds')
               ORDER BY s.camera_id, s.role, s.ordinal
               FOR KEY SHARE OF s
           )
           INSERT INTO slot_status AS t (camera_id, role, ordinal, node_id, epoch, state, message,
                                         since, tracks, viewers, publisher, refused, restream,
                                         observed_at, last_error, last_error_at)
           SELECT camera_id, role, ordinal, node_id, epoch, state, message, since, tracks, viewers,
                  publisher, refused, restream, clock_timestamp(),
                  CASE WHEN state = 'failed' THEN message END,
                  CASE WHEN state = 'failed' THEN clock_timestamp() END
           FROM changed
           ON CONFLICT (camera_id, role, ordinal) DO UPDATE SET
               node_id = excluded.node_id,
               epoch = excluded.epoch,
               state = excluded.state,
               message = excluded.message,
               since = excluded.since,
               tracks = excluded.tracks,
               viewers = excluded.viewers,
               publisher = excluded.publisher,
               refused = excluded.refused,
               restream = excluded.restream,
               observed_at = excluded.observed_at,
               last_error = COALESCE(excluded.last_error, t.last_error),
               last_error_at = COALESCE(excluded.last_error_at, t.last_error_at)
           WHERE t.epoch <= excluded.epoch"#,
        &cameras,
        &roles,
        &ordinals,
        &nodes,
        &epochs,
        &states,
        &messages,
        &since,
        &tracks,
        &viewers,
        &publishers as &[Option<Value>],
        &refused as &[Option<Value>],
        &restreams as &[Option<Value>]
    )
    .execute(conn)
    .await?;
    Ok(())
}
