//! The connection to PostgreSQL: waits for it at the start, and fails fast when it goes away later.

mod pool;

use std::{str::FromStr, time::Duration};

use anyhow::{Context, bail};
use headworks_bootstrap::Clock;
use sqlx::{
    ConnectOptions, Connection, PgConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

pub(crate) use pool::{Pool, Way};

use crate::{Config, db::schema::schema_migrate};
use pool::ACQUIRE_TIMEOUT;

/// A connection that has been idle for longer is tried before it is used.
const FRESH: Duration = Duration::from_secs(1);
/// What a connection of the pool may take, so that nothing that hangs keeps its locks: neither a
/// statement nor a transaction whose owner is gone. PostgreSQL finds out by keepalives when our
/// machine is. `lock_timeout` is shorter than a planner's turn.
///
/// Plans are made for each execution, and not compiled: what callers may see comes as lists of ids
/// that are empty for one and long for the next, and no plan fits both.
/// Only transactions write, see [`Pool`].
const LIMITS: [(&str, &str); 9] = [
    ("statement_timeout", "30s"),
    ("lock_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "30s"),
    ("tcp_keepalives_idle", "30s"),
    ("tcp_keepalives_interval", "5s"),
    ("tcp_keepalives_count", "4"),
    ("plan_cache_mode", "force_custom_plan"),
    ("jit", "off"),
    ("default_transaction_read_only", "on"),
];
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Waits for the database, brings its schema up to date, and opens the pool. A migration may take
/// as long as it does.
pub(crate) async fn open(config: &Config, clock: &Clock) -> anyhow::Result<Pool> {
    let options = options(config)?;
    let way = if config.database_pooled {
        Way::Pooled
    } else {
        Way::Straight
    };
    let mut conn = wait(&options, config.database_wait, clock).await?;
    schema_migrate(&mut conn, way.begin())
        .await
        .with_context(|| format!("bring the schema of {} up to date", place(&options)))?;
    conn.close().await.ok();
    let connections = PgPoolOptions::new()
        .max_connections(config.database_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .after_connect(move |conn, _| {
            Box::pin(async move {
                match way {
                    Way::Straight => limit(conn).await,
                    Way::Pooled => Ok(()),
                }
            })
        })
        .before_acquire(|conn, meta| {
            Box::pin(async move {
                if meta.idle_for > FRESH {
                    conn.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options);
    Ok(Pool::new(connections, way))
}

/// Sets [`LIMITS`] by a statement: a pooler between us and PostgreSQL may refuse start parameters.
pub(crate) async fn limit(conn: &mut PgConnection) -> sqlx::Result<()> {
    let (names, values): (Vec<_>, Vec<_>) = LIMITS
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .unzip();
    sqlx::query!(
        r#"SELECT set_config(name, value, false) AS "value!"
           FROM unnest($1::text[], $2::text[]) AS l (name, value)"#,
        &names,
        &values
    )
    .fetch_all(conn)
    .await?;
    Ok(())
}

fn options(config: &Config) -> anyhow::Result<PgConnectOptions> {
    let url = config
        .database_url
        .as_ref()
        .context("controller.database_url is missing; it says where PostgreSQL is")?;
    // The error of the parser may repeat what it was given; the password is in there.
    let options = Some(url.expose())
        .filter(|url| url.starts_with("postgres://") || url.starts_with("postgresql://"))
        .and_then(|url| PgConnectOptions::from_str(url).ok())
        .context(
            "controller.database_url must look like postgres://user:password@host:5432/database",
        )?;
    // Behind a pooler no statement outlives its transaction.
    let options = match config.database_pooled {
        true => options.statement_cache_capacity(0),
        false => options,
    };
    Ok(options
        .application_name("headworks-controller")
        // A pooler refuses to start with it, and PostgreSQL sends us no floats as text.
        .extra_float_digits(None)
        .log_slow_statements(tracing::log::LevelFilter::Warn, Duration::from_secs(1))
        .log_statements(tracing::log::LevelFilter::Trace))
}

/// Tries until the database answers. Gives up at once where waiting cannot help.
async fn wait(
    options: &PgConnectOptions,
    limit: Duration,
    clock: &Clock,
) -> anyhow::Result<PgConnection> {
    let deadline = clock.monotonic() + limit;
    let mut pause = FIRST_PAUSE;
    loop {
        let attempt = tokio::time::timeout_at(deadline, options.connect());
        let error = match attempt.await {
            Ok(Ok(conn)) => return Ok(conn),
            Ok(Err(error)) if is_refusal(&error) => {
                bail!("the database at {} refuses us: {error}", place(options));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        let place = place(options);
        if clock.monotonic() + pause >= deadline {
            bail!("the database at {place} did not answer within {limit:?}: {error}");
        }
        tracing::warn!(
            database = place,
            error,
            "database is not there yet; trying again"
        );
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// A wrong password (class 28) and a missing database (3D000) stay so until somebody acts.
fn is_refusal(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| code.starts_with("28") || code == "3D000"),
        sqlx::Error::Configuration(_) => true,
        _ => false,
    }
}

/// Where the database is, without the password.
fn place(options: &PgConnectOptions) -> String {
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => options.get_host().to_owned(),
    };
    let database = options.get_database().unwrap_or(options.get_username());
    format!("{host}:{}/{database}", options.get_port())
}

#[cfg(test)]
mod tests {
    use sqlx::PgPool;

    use super::*;
    use crate::{app::Error, db::schema::schema_lock};

    async fn setting(conn: &mut PgConnection, name: &str) -> String {
        sqlx::query_scalar!(r#"SELECT current_setting($1) AS "value!""#, name)
            .fetch_one(conn)
            .await
            .expect("is a setting")
    }

    fn config(pool: &PgPool, pooled: bool) -> Config {
        let config = serde_json::json!({
            "listen": "127.0.0.1:0",
            "database_url": pool.connect_options().to_url_lossy(),
            "database_pooled": pooled,
            "database_connections": 2,
            "database_wait": "10s",
            "request_timeout": "5s",
            "lease_renew": "2s",
            "lease_suspect": "6s",
            "lease_dead": "10s",
        });
        serde_json::from_value(config).expect("is a configuration")
    }

    #[sqlx::test(migrations = false)]
    async fn nothing_is_written_outside_a_transaction_behind_a_pooler_or_not(pool: PgPool) {
        for pooled in [false, true] {
            let config = config(&pool, pooled);
            let limited = open(&config, &Clock::system()).await.expect("opens");
            let mut reader = limited.acquire().await.expect("connects");
            assert_eq!(setting(&mut reader, "transaction_read_only").await, "on");
            assert_eq!(setting(&mut reader, "statement_timeout").await, "30s");
            drop(reader);
            let mut snapshot = limited.snapshot().await.expect("begins");
            assert_eq!(setting(&mut snapshot, "transaction_read_only").await, "on");
            drop(snapshot);
            let mut tx = limited.begin().await.expect("begins");
            assert_eq!(setting(&mut tx, "transaction_read_only").await, "off");
            for (name, value) in &LIMITS[..3] {
                assert_eq!(setting(&mut tx, name).await, *value);
            }
            drop(tx);
            limited.close().await;
        }
    }

    /// As by another client of the pooler in the same session.
    #[sqlx::test(migrations = false)]
    async fn behind_a_pooler_no_statement_of_somebody_else_is_in_the_way(pool: PgPool) {
        let mut config = config(&pool, true);
        config.database_connections = 1;
        let limited = open(&config, &Clock::system()).await.expect("opens");
        let mut tx = limited.begin().await.expect("begins");
        for number in 1..20 {
            let theirs = format!("PREPARE sqlx_s_{number} AS SELECT 'theirs'");
            sqlx::raw_sql(sqlx::AssertSqlSafe(theirs))
                .execute(&mut *tx)
                .await
                .expect("prepares");
        }
        tx.commit().await.expect("commits");
        let mut reader = limited.acquire().await.expect("connects");
        assert_eq!(setting(&mut reader, "jit").await, "off");
    }

    #[sqlx::test(migrations = false)]
    async fn connections_are_limited_but_for_the_set_up(pool: PgPool) {
        let config = config(&pool, false);
        let limited = open(&config, &Clock::system()).await.expect("opens");
        let mut tx = limited.begin().await.expect("begins");
        for (name, value) in &LIMITS[..3] {
            assert_eq!(setting(&mut tx, name).await, *value);
        }
        schema_lock(&mut tx).await.expect("locks");
        assert_eq!(setting(&mut tx, "statement_timeout").await, "0");
        assert_eq!(setting(&mut tx, "lock_timeout").await, "0");
        tx.rollback().await.expect("rolls back");

        let mut tx = limited.begin().await.expect("begins");
        sqlx::query!("SELECT set_config('statement_timeout', '1ms', true)")
            .fetch_one(&mut *tx)
            .await
            .expect("sets");
        let slow = sqlx::query!(r#"SELECT pg_sleep(10) AS "slept: ()""#);
        let error = slow.fetch_one(&mut *tx).await.expect_err("is cancelled");
        let error = Error::from(error);
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
        tx.rollback().await.expect("rolls back");
        limited.close().await;
    }
}
