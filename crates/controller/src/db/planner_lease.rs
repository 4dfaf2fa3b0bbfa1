//! Who plans. One controller at a time holds the lease, under a term that rises with every change
//! of the holder.
//!
//! Each transaction of a planner calls [`planner_hold`] first: it locks the row for sharing, so
//! that nobody can take the lease over before the transaction has ended, and it fails if somebody
//! already has. A deposed planner can therefore not commit.

use sqlx::PgConnection;
use uuid::Uuid;

use super::node::DOORBELL;

/// What the doorbell says when whoever plans has something to do at once.
pub(crate) const PLAN: &str = "plan";

/// Wakes whoever plans, in whichever replica, when the transaction commits. Only a doorbell.
pub(crate) async fn planner_ring(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("SELECT pg_notify($1, $2)", DOORBELL, PLAN)
        .execute(conn)
        .await?;
    Ok(())
}

/// Takes or extends the lease for `seconds`. Returns the term, or `None` while another holds it.
pub(crate) async fn planner_acquire(
    conn: &mut PgConnection,
    me: Uuid,
    seconds: f64,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        r#"INSERT INTO planner_lease AS l (holder, term, expires_at)
           VALUES ($1, 1, clock_timestamp() + make_interval(secs => $2))
           ON CONFLICT (id) DO UPDATE SET
               holder = excluded.holder,
               term = l.term + CASE WHEN l.holder = excluded.holder THEN 0 ELSE 1 END,
               expires_at = excluded.expires_at
           WHERE l.holder = excluded.holder OR l.expires_at < clock_timestamp()
           RETURNING term"#,
        me,
        seconds
    )
    .fetch_optional(conn)
    .await
}

/// True if `me` still plans under `term`. Until the transaction ends, nobody else can.
pub(crate) async fn planner_hold(
    conn: &mut PgConnection,
    me: Uuid,
    term: i64,
) -> sqlx::Result<bool> {
    let row = sqlx::query_scalar!(
        r#"SELECT term FROM planner_lease WHERE holder = $1 AND term = $2 FOR SHARE"#,
        me,
        term
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.is_some())
}

/// Gives the lease up, so that another need not wait until it has run out.
pub(crate) async fn planner_resign(
    conn: &mut PgConnection,
    me: Uuid,
    term: i64,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"UPDATE planner_lease SET expires_at = '-infinity' WHERE holder = $1 AND term = $2"#,
        me,
        term
    )
    .execute(conn)
    .await?;
    Ok(())
}
