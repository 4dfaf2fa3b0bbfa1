//! Answers of POST requests that carried an `Idempotency-Key`, kept for 24 hours.

use sqlx::PgConnection;
use uuid::Uuid;

/// What was answered before.
pub(crate) struct Stored {
    pub(crate) fingerprint: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

/// Claims the key for this transaction; false if a request has used it in the last 24 hours. While
/// another transaction holds the key, this waits for its end. Sweeps some old rows by the way, so
/// that the table needs no loop of its own.
pub(crate) async fn idempotency_claim(
    conn: &mut PgConnection,
    caller: Uuid,
    key: &str,
    fingerprint: &[u8],
) -> sqlx::Result<bool> {
    let claimed = sqlx::query_scalar!(
        r#"WITH swept AS (
               DELETE FROM idempotency
               WHERE (caller_id, key) IN (
                   SELECT caller_id, key FROM idempotency
                   WHERE created_at < clock_timestamp() - interval '24 hours'
                     AND NOT (caller_id = $1 AND key = $2)
                   ORDER BY created_at
                   LIMIT 100
                   FOR UPDATE SKIP LOCKED
               )
           )
           INSERT INTO idempotency AS i (caller_id, key, fingerprint, body)
           VALUES ($1, $2, $3, '')
           ON CONFLICT (caller_id, key) DO UPDATE
               SET fingerprint = $3, body = '', created_at = clock_timestamp()
               WHERE i.created_at < clock_timestamp() - interval '24 hours'
           RETURNING true AS "claimed!""#,
        caller,
        key,
        fingerprint
    )
    .fetch_optional(conn)
    .await?;
    Ok(claimed.is_some())
}

/// What was answered to the request that used the key.
pub(crate) async fn idempotency_get(
    conn: &mut PgConnection,
    caller: Uuid,
    key: &str,
) -> sqlx::Result<Option<Stored>> {
    sqlx::query_as!(
        Stored,
        "SELECT fingerprint, body FROM idempotency WHERE caller_id = $1 AND key = $2",
        caller,
        key
    )
    .fetch_optional(conn)
    .await
}

/// Keeps the answer, sealed, with the key that this transaction claimed.
pub(crate) async fn idempotency_update(
    conn: &mut PgConnection,
    caller: Uuid,
    key: &str,
    body: &[u8],
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE idempotency SET body = $3 WHERE caller_id = $1 AND key = $2",
        caller,
        key,
        body
    )
    .execute(conn)
    .await?;
    super::ensure_one_row(&result)
}
