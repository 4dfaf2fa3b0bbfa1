//! A pooler before a database: Debian's `PgBouncer` in transaction mode.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, bail};
use headworks_postgres::Server;
use tempfile::TempDir;

use crate::{Place, Process, Signal, wait_until};

const START: Duration = Duration::from_secs(30);

/// A running `PgBouncer` that keeps few sessions with the database, so that its clients share them.
/// It ends when this is dropped.
#[derive(Debug)]
pub struct PgBouncer {
    process: Process,
    port: u16,
    _directory: TempDir,
}

impl PgBouncer {
    /// Starts one on 127.0.0.1 before `database` and waits until it listens.
    pub fn start(database: &Server, sessions: u32) -> anyhow::Result<Self> {
        // It cannot choose a port by itself.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Self::start_in(&Place::default(), database, port, sessions)
    }

    /// As [`PgBouncer::start`], at this port somewhere else.
    pub(crate) fn start_in(
        place: &Place,
        database: &Server,
        port: u16,
        sessions: u32,
    ) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()?;
        let config = configure(directory.path(), database, port, sessions)?;
        let mut process = Process::spawn(command(place, &config), Signal::Kill, |_, _| {})
            .context("pgbouncer needs `cargo xtask setup`")?;
        let listens = wait_until("pgbouncer listens", START, || {
            if let Some(status) = process.try_wait() {
                return Some(Err(status));
            }
            process.tail().contains("process up").then_some(Ok(()))
        });
        match listens {
            Ok(Ok(())) => Ok(Self {
                process,
                port,
                _directory: directory,
            }),
            Ok(Err(status)) => bail!("pgbouncer ended ({status})\n{}", process.tail()),
            Err(error) => Err(error.context(process.tail())),
        }
    }

    /// `postgres://postgres@127.0.0.1:<port>/postgres`
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// What it said last.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.tail()
    }
}

/// Writes its configuration; returns where.
fn configure(
    directory: &Path,
    database: &Server,
    port: u16,
    sessions: u32,
) -> anyhow::Result<PathBuf> {
    let url = database.url();
    let (_, host) = url
        .rsplit_once("?host=")
        .context("the database is at a socket")?;
    let config = directory.join("pgbouncer.ini");
    // A database that was away is tried again at once.
    fs::write(
        &config,
        format!(
            "[databases]\npostgres = host={host} user=postgres\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = transaction\ndefault_pool_size = {sessions}\n\
             max_client_conn = 500\nserver_login_retry = 1\n"
        ),
    )?;
    Ok(config)
}

/// It refuses to be root, and a change of user forgets what is to become of orphans.
fn command(place: &Place, config: &Path) -> Command {
    let mut command;
    let is_root =
        fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    if is_root {
        command = place.command("setpriv");
        command
            .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
            .args(["--pdeathsig=KILL", "pgbouncer"]);
    } else {
        command = place.command("pgbouncer");
    }
    command.arg(config);
    command
}
