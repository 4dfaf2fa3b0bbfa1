//! Eras of the database: what is done when one has begun that may have lost the last commits of the
//! one before.
//!
//! Edges may know more than such a database: revisions, assignments and grants that it never heard of.
//! So from the moment of its promotion until [`era_begin`] no strict work is granted or handed over
//! (`database_era_is_over()` in `lease_renew` and `slot_bound`), and whoever watches anew gets
//! everything. Then revisions go on above all that were ever lost, and strict work waits until all who
//! could do it before have stopped.

use headworks_types::edge::{STRICT_MARGIN, STRICT_STOP};
use sqlx::PgConnection;

use super::node::DOORBELL;

/// True if what edges know may come from a database that was lost.
pub(crate) async fn era_is_over(conn: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT database_era_is_over() AS "over!""#)
        .fetch_one(conn)
        .await
}

/// Begins the era of a timeline that nobody has noticed yet, in the caller's transaction. False if
/// there is none.
///
/// The lock order is lease, revision, as in `slot`.
pub(crate) async fn era_begin(conn: &mut PgConnection) -> sqlx::Result<bool> {
    let begun = sqlx::query_scalar!(
        r#"UPDATE database_era SET timeline = database_timeline()
           WHERE timeline <> database_timeline()
           RETURNING timeline"#
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(timeline) = begun else {
        return Ok(false);
    };
    let stopped = STRICT_STOP + STRICT_MARGIN;
    sqlx::query!(
        r#"WITH locked AS (SELECT node_id FROM node_lease ORDER BY node_id FOR UPDATE)
           UPDATE node_lease l
           SET strict_after = GREATEST(l.strict_after,
                                       clock_timestamp() + make_interval(secs => $1))
           FROM locked WHERE l.node_id = locked.node_id"#,
        stopped.as_secs_f64()
    )
    .execute(&mut *conn)
    .await?;
    // No timeline has so many changes that its revisions reach those of the next one.
    sqlx::query!(
        r#"WITH locked AS (
               SELECT node_id FROM node_revision ORDER BY node_id FOR NO KEY UPDATE
           )
           UPDATE node_revision r SET revision = GREATEST(r.revision, $1) + 1
           FROM locked WHERE r.node_id = locked.node_id"#,
        timeline << 32
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!("SELECT pg_notify($1, '')", DOORBELL)
        .execute(conn)
        .await?;
    Ok(true)
}
