//! Join tokens.

use headworks_types::{JoinToken, JoinTokenId};
use sqlx::PgConnection;
use uuid::Uuid;

/// Adds a token that works for `seconds` from now.
pub(crate) async fn join_token_insert(
    conn: &mut PgConnection,
    id: JoinTokenId,
    name: &str,
    lookup: &str,
    digest: &[u8],
    seconds: f64,
    max_uses: u32,
) -> sqlx::Result<JoinToken> {
    let row = sqlx::query_as!(
        Row,
        r#"INSERT INTO join_token (id, name, lookup, digest, created_at, expires_at, max_uses)
           SELECT $1, $2, $3, $4, time.now, time.now + make_interval(secs => $5), $6
           FROM (SELECT clock_timestamp() AS now) AS time
           RETURNING id, name, expires_at, revoked_at, created_at, max_uses, uses"#,
        id.uuid(),
        name,
        lookup,
        digest,
        seconds,
        i32::try_from(max_uses).unwrap_or(i32::MAX)
    )
    .fetch_one(conn)
    .await?;
    Ok(row.into())
}

/// The tokens after `after`, oldest first.
pub(crate) async fn join_token_list(
    conn: &mut PgConnection,
    after: Option<JoinTokenId>,
    limit: i64,
) -> sqlx::Result<Vec<JoinToken>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT id, name, expires_at, revoked_at, created_at, max_uses, uses
           FROM join_token
           WHERE $1::uuid IS NULL OR id > $1
           ORDER BY id
           LIMIT $2"#,
        after.map(JoinTokenId::uuid),
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(JoinToken::from).collect())
}

/// Revokes the token, once; a second time leaves the first time standing.
pub(crate) async fn join_token_revoke(
    conn: &mut PgConnection,
    id: JoinTokenId,
) -> sqlx::Result<Option<Revoked>> {
    let row = sqlx::query_as!(
        Row,
        r#"UPDATE join_token SET revoked_at = clock_timestamp()
           WHERE id = $1 AND revoked_at IS NULL
           RETURNING id, name, expires_at, revoked_at, created_at, max_uses, uses"#,
        id.uuid()
    )
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(row) = row {
        return Ok(Some(Revoked::Now(row.into())));
    }
    let row = sqlx::query_as!(
        Row,
        r#"SELECT id, name, expires_at, revoked_at, created_at, max_uses, uses FROM join_token WHERE id = $1"#,
        id.uuid()
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Revoked::Before(row.into())))
}

/// Removes the tokens that have not worked for `days`; says how many.
pub(crate) async fn join_token_sweep(conn: &mut PgConnection, days: i32) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        r#"DELETE FROM join_token
           WHERE LEAST(expires_at, revoked_at) < clock_timestamp() - make_interval(days => $1)"#,
        days
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// What a revocation found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Revoked {
    /// A token that worked, or would have.
    Now(JoinToken),
    /// One that was revoked already.
    Before(JoinToken),
}

/// What is needed to check a presented token.
pub(crate) struct Presented {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) digest: Vec<u8>,
    pub(crate) expired: bool,
    pub(crate) revoked: bool,
}

/// The token of this lookup part, whatever its state. The row stays locked, so that a
/// revocation, or another use, either comes before the join or waits for it.
pub(crate) async fn join_token_present(
    conn: &mut PgConnection,
    lookup: &str,
) -> sqlx::Result<Option<Presented>> {
    sqlx::query_as!(
        Presented,
        r#"SELECT id, name, digest,
                  expires_at <= clock_timestamp() AS "expired!",
                  revoked_at IS NOT NULL AS "revoked!"
           FROM join_token WHERE lookup = $1 FOR UPDATE"#,
        lookup
    )
    .fetch_optional(conn)
    .await
}

/// Counts one use. False if there are none left.
pub(crate) async fn join_token_use(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "UPDATE join_token SET uses = uses + 1 WHERE id = $1 AND uses < max_uses",
        id
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

struct Row {
    id: Uuid,
    name: String,
    expires_at: chrono::DateTime<chrono::Utc>,
    revoked_at: Option<chrono::DateTime<chrono::Utc>>,
    created_at: chrono::DateTime<chrono::Utc>,
    max_uses: i32,
    uses: i32,
}

impl From<Row> for JoinToken {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            name: row.name,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            created_at: row.created_at,
            max_uses: row.max_uses.unsigned_abs(),
            uses: row.uses.unsigned_abs(),
        }
    }
}
