//! The connection to PostgreSQL: waits for it at the start, and fails fast when it goes away later.

use std::{str::FromStr, time::Duration};

use anyhow::{Context, bail};
use headworks_bootstrap::Clock;
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{Config, db::schema::schema_migrate};

/// How long a request waits for a connection before it is told to try again.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection that has been idle for longer is tried before it is used.
const FRESH: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Waits for the database, brings its schema up to date, and opens the pool.
pub(crate) async fn open(config: &Config, clock: &Clock) -> anyhow::Result<PgPool> {
    let options = options(config)?;
    let mut conn = wait(&options, config.database_wait, clock).await?;
    schema_migrate(&mut conn)
        .await
        .with_context(|| format!("bring the schema of {} up to date", place(&options)))?;
    conn.close().await.ok();
    Ok(PgPoolOptions::new()
        .max_connections(config.database_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|conn, meta| {
            Box::pin(async move {
                if meta.idle_for > FRESH {
                    conn.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options))
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
    Ok(options
        .application_name("headworks-controller")
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
