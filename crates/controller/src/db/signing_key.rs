//! The keys that sign tokens: rows of `signing_key`. They belong to the cluster.

use chrono::{DateTime, Utc};
use headworks_types::{NodeId, SigningKeyState};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ensure_one_row, node::DOORBELL};

/// The key that signs now.
pub(crate) struct ActiveKey {
    pub(crate) kid: String,
    /// Sealed.
    pub(crate) private: Vec<u8>,
}

/// A key that tokens may be signed with.
pub(crate) struct PublicKey {
    pub(crate) kid: String,
    pub(crate) public: Vec<u8>,
}

/// A key, without its halves.
#[derive(Debug, Clone)]
pub(crate) struct KeyRow {
    pub(crate) kid: String,
    pub(crate) state: SigningKeyState,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) activated_at: Option<DateTime<Utc>>,
    pub(crate) retired_at: Option<DateTime<Utc>>,
    pub(crate) revoked_at: Option<DateTime<Utc>>,
    /// For how many seconds it has been in its state.
    pub(crate) seconds: f64,
}

/// The key that signs now.
pub(crate) async fn signing_key_get_active(
    conn: &mut PgConnection,
) -> sqlx::Result<Option<ActiveKey>> {
    sqlx::query_as!(
        ActiveKey,
        r#"SELECT kid, private AS "private!" FROM signing_key WHERE state = 'active'"#
    )
    .fetch_optional(conn)
    .await
}

/// The public halves of all keys whose signatures count, also of those that do not sign yet or any
/// more.
pub(crate) async fn signing_key_list(conn: &mut PgConnection) -> sqlx::Result<Vec<PublicKey>> {
    sqlx::query_as!(
        PublicKey,
        "SELECT kid, public FROM signing_key
         WHERE state IN ('pending', 'active', 'retiring')
         ORDER BY created_at, kid"
    )
    .fetch_all(conn)
    .await
}

/// All keys, the oldest first.
pub(crate) async fn signing_key_list_all(conn: &mut PgConnection) -> sqlx::Result<Vec<KeyRow>> {
    let rows = sqlx::query!(
        r#"SELECT kid, state, created_at, activated_at, retired_at, revoked_at,
                  EXTRACT(EPOCH FROM clock_timestamp() -
                      COALESCE(revoked_at, retired_at, activated_at, created_at)
                  )::float8 AS "seconds!"
           FROM signing_key
           ORDER BY created_at, kid
           LIMIT 1000"#
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let state = SigningKeyState::from_name(&row.state);
        Ok(KeyRow {
            state: state.ok_or_else(|| sqlx::Error::Decode("no such state".into()))?,
            kid: row.kid,
            created_at: row.created_at,
            activated_at: row.activated_at,
            retired_at: row.retired_at,
            revoked_at: row.revoked_at,
            seconds: row.seconds,
        })
    });
    rows.collect()
}

/// Keeps all others from changing keys until the transaction ends. Who only reads does not wait.
pub(crate) async fn signing_key_lock(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("LOCK TABLE signing_key IN SHARE ROW EXCLUSIVE MODE")
        .execute(conn)
        .await?;
    Ok(())
}

/// A new key that signs from now on, or, if `pending`, later.
pub(crate) async fn signing_key_insert(
    conn: &mut PgConnection,
    kid: &str,
    public: &[u8],
    private: &[u8],
    state: SigningKeyState,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "INSERT INTO signing_key (kid, state, public, private, activated_at)
         VALUES ($1, $2, $3, $4, CASE WHEN $2 = 'active' THEN clock_timestamp() END)",
        kid,
        state.as_str(),
        public,
        private
    )
    .execute(&mut *conn)
    .await?;
    ensure_one_row(&result)?;
    ring(conn).await
}

/// The active key signs no more; its signatures still count.
pub(crate) async fn signing_key_retire(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE signing_key SET state = 'retiring', retired_at = clock_timestamp(), private = NULL
         WHERE state = 'active'"
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The pending key signs from now on. There must be no active one.
pub(crate) async fn signing_key_activate(conn: &mut PgConnection, kid: &str) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE signing_key SET state = 'active', activated_at = clock_timestamp()
         WHERE kid = $1 AND state = 'pending'",
        kid
    )
    .execute(conn)
    .await?;
    ensure_one_row(&result)
}

/// Nothing that the key has signed counts any more.
pub(crate) async fn signing_key_revoke(conn: &mut PgConnection, kid: &str) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE signing_key SET state = 'revoked', revoked_at = clock_timestamp(), private = NULL
         WHERE kid = $1 AND state <> 'revoked'",
        kid
    )
    .execute(&mut *conn)
    .await?;
    ensure_one_row(&result)?;
    ring(conn).await
}

/// Removes keys that were revoked `days` ago.
pub(crate) async fn signing_key_sweep(conn: &mut PgConnection, days: i32) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM signing_key
         WHERE state = 'revoked' AND revoked_at < clock_timestamp() - make_interval(days => $1)",
        days
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// Stores which keys these nodes know, where that has changed.
pub(crate) async fn signing_key_confirm(
    conn: &mut PgConnection,
    known: &[(NodeId, Vec<String>)],
) -> sqlx::Result<()> {
    let nodes: Vec<Uuid> = known.iter().map(|(node, _)| node.uuid()).collect();
    // No name of a key has a space in it.
    let kids: Vec<String> = known.iter().map(|(_, kids)| kids.join(" ")).collect();
    sqlx::query!(
        r#"WITH changed AS (
               SELECT l.node_id, string_to_array(r.kids, ' ') AS kids
               FROM unnest($1::uuid[], $2::text[]) AS r (node_id, kids)
               JOIN node_lease l ON l.node_id = r.node_id
               WHERE l.signing_keys IS DISTINCT FROM string_to_array(r.kids, ' ')
               ORDER BY l.node_id
               FOR NO KEY UPDATE OF l
           )
           UPDATE node_lease l SET signing_keys = c.kids
           FROM changed c WHERE c.node_id = l.node_id"#,
        &nodes,
        &kids
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The names of living nodes that have not said that they know the key.
pub(crate) async fn signing_key_unaware(
    conn: &mut PgConnection,
    kid: &str,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"SELECT n.name FROM node n JOIN node_lease l ON l.node_id = n.id
           WHERE n.died_at IS NULL AND n.removed_at IS NULL AND NOT l.goodbye
             AND l.expires_at > clock_timestamp() AND NOT $1 = ANY (l.signing_keys)
           ORDER BY n.name
           LIMIT 100"#,
        kid
    )
    .fetch_all(conn)
    .await
}

/// Tells all controllers, and so the edges, when the transaction commits.
async fn ring(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("SELECT pg_notify($1, '')", DOORBELL)
        .execute(conn)
        .await?;
    Ok(())
}
