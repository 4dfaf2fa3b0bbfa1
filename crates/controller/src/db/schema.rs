//! The schema itself: brings it up to date, and says whether it is.

use sqlx::{
    Connection, PgConnection,
    migrate::{Migrate, MigrateError, Migrator},
};

static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// Any number will do, if nobody else takes it.
const LOCK: i64 = 0x6865_6164_776f_726b;

/// Applies the migrations that are missing, all or none, in a transaction that `begin` begins.
///
/// Replicas that start together come one after the other. The lock is one of a transaction: sqlx's
/// own is one of the session, which a pooler between us and PostgreSQL would give to somebody else.
/// Migrations that only a newer release knows are left alone, so that an older replica can restart
/// during an upgrade.
pub(crate) async fn schema_migrate(
    conn: &mut PgConnection,
    begin: &'static str,
) -> Result<(), MigrateError> {
    let mut migrator = Migrator::with_migrations(MIGRATOR.iter().cloned().collect());
    migrator.set_locking(false).set_ignore_missing(true);
    let mut tx = conn.begin_with(begin).await?;
    schema_lock(&mut tx).await?;
    migrator.run_direct(None, &mut *tx, false).await?;
    tx.commit().await?;
    Ok(())
}

/// Waits, as long as it takes, until no other replica migrates or sets up the database; holds until
/// the transaction ends.
pub(crate) async fn schema_lock(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT set_config('statement_timeout', '0', true) AS statement,
                set_config('lock_timeout', '0', true) AS lock"
    )
    .fetch_one(&mut *conn)
    .await?;
    sqlx::query!(r#"SELECT pg_advisory_xact_lock($1) AS "locked: ()""#, LOCK)
        .fetch_one(conn)
        .await?;
    Ok(())
}

/// True if every migration that we know has been applied.
pub(crate) async fn schema_is_current(conn: &mut PgConnection) -> sqlx::Result<bool> {
    let applied = match conn.list_applied_migrations(&MIGRATOR.table_name).await {
        Ok(applied) => applied,
        Err(MigrateError::Execute(error)) => return Err(error),
        Err(error) => return Err(sqlx::Error::Decode(error.into())),
    };
    let newest = applied.iter().map(|migration| migration.version).max();
    Ok(MIGRATOR.iter().map(|migration| migration.version).max() <= newest)
}

#[cfg(test)]
mod tests {
    use sqlx::PgPool;

    use super::*;
    use crate::database::Way;

    #[sqlx::test(migrations = false)]
    async fn a_schema_is_current_with_all_migrations(pool: PgPool) {
        let mut conn = pool.acquire().await.expect("connects");
        assert!(schema_is_current(&mut conn).await.is_err(), "has no table");
        schema_migrate(&mut conn, Way::Straight.begin())
            .await
            .expect("migrates");
        assert!(schema_is_current(&mut conn).await.expect("looks"));
        sqlx::raw_sql(
            "UPDATE _sqlx_migrations SET version = version + 1
             WHERE version = (SELECT max(version) FROM _sqlx_migrations)",
        )
        .execute(&mut *conn)
        .await
        .expect("becomes newer");
        assert!(schema_is_current(&mut conn).await.expect("looks"));
        sqlx::raw_sql(
            "DELETE FROM _sqlx_migrations
             WHERE version = (SELECT max(version) FROM _sqlx_migrations)",
        )
        .execute(&mut *conn)
        .await
        .expect("becomes older");
        assert!(!schema_is_current(&mut conn).await.expect("looks"));
    }
}
