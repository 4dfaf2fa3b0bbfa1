//! Sealed columns, whatever their tables. The names of tables and columns are those of
//! [`SEALED`](crate::keys::SEALED); nothing that comes from outside gets into a statement.
#![expect(
    clippy::disallowed_methods,
    reason = "one statement for all columns; a test runs it on each of them"
)]

use sqlx::{AssertSqlSafe, PgConnection};

use crate::keys::{Keys, SealedColumn};

/// Values of one column that another master key has sealed: the key of each row, and the value.
/// Those behind `after`, in order; the rows stay locked.
pub(crate) async fn sealed_list(
    conn: &mut PgConnection,
    column: &SealedColumn,
    id: &[u8],
    after: &str,
    limit: i64,
) -> sqlx::Result<Vec<(String, Vec<u8>)>> {
    let SealedColumn {
        table, column, key, ..
    } = column;
    let (start, length) = Keys::ID_PLACE;
    let statement = format!(
        r#"SELECT ({key}) COLLATE "C", {column} FROM {table}
           WHERE substring({column} FROM {start} FOR {length}) <> $1 AND ({key}) COLLATE "C" > $2
           ORDER BY ({key}) COLLATE "C"
           LIMIT $3
           FOR NO KEY UPDATE"#
    );
    sqlx::query_as(AssertSqlSafe(statement))
        .bind(id)
        .bind(after)
        .bind(limit)
        .fetch_all(conn)
        .await
}

/// Replaces one value.
pub(crate) async fn sealed_update(
    conn: &mut PgConnection,
    column: &SealedColumn,
    row: &str,
    sealed: &[u8],
) -> sqlx::Result<()> {
    let SealedColumn {
        table,
        column,
        is_row,
        ..
    } = column;
    let statement = format!("UPDATE {table} SET {column} = $2 WHERE {is_row}");
    let result = sqlx::query(AssertSqlSafe(statement))
        .bind(row)
        .bind(sealed)
        .execute(conn)
        .await?;
    super::ensure_one_row(&result)
}
