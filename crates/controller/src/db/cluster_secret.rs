//! Secrets of the whole cluster, sealed.

use sqlx::PgConnection;

/// The secret of this name, sealed.
pub(crate) async fn cluster_secret_get(
    conn: &mut PgConnection,
    name: &str,
) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar!("SELECT sealed FROM cluster_secret WHERE name = $1", name)
        .fetch_optional(conn)
        .await
}

/// Adds a secret.
pub(crate) async fn cluster_secret_insert(
    conn: &mut PgConnection,
    name: &str,
    sealed: &[u8],
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "INSERT INTO cluster_secret (name, sealed) VALUES ($1, $2)",
        name,
        sealed
    )
    .execute(conn)
    .await?;
    super::ensure_one_row(&result)
}
