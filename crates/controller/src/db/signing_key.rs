//! The keys that sign playback tokens: rows of `signing_key`. They belong to the cluster.

use sqlx::PgConnection;

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

/// The key that signs now.
pub(crate) async fn signing_key_get_active(
    conn: &mut PgConnection,
) -> sqlx::Result<Option<ActiveKey>> {
    sqlx::query_as!(
        ActiveKey,
        "SELECT kid, private FROM signing_key WHERE state = 'active'"
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

/// A new key that signs from now on.
pub(crate) async fn signing_key_insert_active(
    conn: &mut PgConnection,
    kid: &str,
    public: &[u8],
    private: &[u8],
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "INSERT INTO signing_key (kid, state, public, private) VALUES ($1, 'active', $2, $3)",
        kid,
        public,
        private
    )
    .execute(conn)
    .await?;
    super::ensure_one_row(&result)
}
