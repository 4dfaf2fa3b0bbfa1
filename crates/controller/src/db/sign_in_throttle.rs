//! Failed attempts to sign in: rows of `sign_in_throttle`.

use sqlx::PgConnection;

/// How often something failed, and how long it is blocked yet.
pub(crate) struct Failures {
    pub(crate) key: Vec<u8>,
    pub(crate) failures: i32,
    /// Rounded up.
    pub(crate) blocked_seconds: i32,
}

/// Locks the rows of these keys, which must be sorted, and makes those that are missing. Old
/// failures are forgotten.
pub(crate) async fn throttle_lock(
    conn: &mut PgConnection,
    keys: &[Vec<u8>],
    forget_seconds: f64,
) -> sqlx::Result<Vec<Failures>> {
    sqlx::query_as!(
        Failures,
        r#"INSERT INTO sign_in_throttle AS t (key)
           SELECT k.key FROM unnest($1::bytea[]) WITH ORDINALITY AS k (key, place) ORDER BY k.place
           ON CONFLICT (key) DO UPDATE
           SET failures = CASE
                   WHEN t.failed_at < clock_timestamp() - make_interval(secs => $2) THEN 0
                   ELSE t.failures
               END
           RETURNING t.key, t.failures,
                     GREATEST(0, ceil(extract(epoch FROM t.blocked_until - clock_timestamp())))::int
                         AS "blocked_seconds!""#,
        keys,
        forget_seconds
    )
    .fetch_all(conn)
    .await
}

/// One failure more of each, and a wait from now on for each.
pub(crate) async fn throttle_count(
    conn: &mut PgConnection,
    keys: &[Vec<u8>],
    wait_seconds: &[f64],
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE sign_in_throttle t
         SET failures = failures + 1,
             failed_at = clock_timestamp(),
             blocked_until = clock_timestamp() + make_interval(secs => w.seconds)
         FROM unnest($1::bytea[], $2::float8[]) AS w (key, seconds)
         WHERE t.key = w.key",
        keys,
        wait_seconds
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets the failures of an account, and takes back one of a network.
pub(crate) async fn throttle_clear(
    conn: &mut PgConnection,
    of_account: &[Vec<u8>],
    network: &[u8],
) -> sqlx::Result<()> {
    // In the order in which `throttle_lock` takes them.
    sqlx::query!(
        "SELECT key FROM sign_in_throttle WHERE key = ANY($1) OR key = $2 ORDER BY key FOR UPDATE",
        of_account,
        network
    )
    .fetch_all(&mut *conn)
    .await?;
    sqlx::query!(
        "DELETE FROM sign_in_throttle WHERE key = ANY($1)",
        of_account
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "UPDATE sign_in_throttle SET failures = GREATEST(0, failures - 1), blocked_until = NULL
         WHERE key = $1",
        network
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes what has not failed for so long.
pub(crate) async fn throttle_sweep(
    conn: &mut PgConnection,
    forget_seconds: f64,
    limit: i64,
) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM sign_in_throttle WHERE key IN (
             SELECT key FROM sign_in_throttle
             WHERE failed_at < clock_timestamp() - make_interval(secs => $1)
             ORDER BY failed_at
             LIMIT $2
             FOR UPDATE SKIP LOCKED
         )",
        forget_seconds,
        limit
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
