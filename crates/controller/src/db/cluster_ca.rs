//! The cluster's authority: one row.

use sqlx::PgConnection;

/// The authority as it is stored.
pub(crate) struct StoredAuthority {
    /// DER.
    pub(crate) certificate: Vec<u8>,
    /// Sealed.
    pub(crate) private: Vec<u8>,
}

/// The authority, if there is one.
pub(crate) async fn cluster_ca_get(
    conn: &mut PgConnection,
) -> sqlx::Result<Option<StoredAuthority>> {
    sqlx::query_as!(
        StoredAuthority,
        "SELECT certificate, private FROM cluster_ca"
    )
    .fetch_optional(conn)
    .await
}

/// Stores the authority.
pub(crate) async fn cluster_ca_insert(
    conn: &mut PgConnection,
    certificate: &[u8],
    private: &[u8],
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "INSERT INTO cluster_ca (certificate, private) VALUES ($1, $2)",
        certificate,
        private
    )
    .execute(conn)
    .await?;
    super::ensure_one_row(&result)
}
