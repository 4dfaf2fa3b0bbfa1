//! A throw-away PostgreSQL with the schema of `migrations/`.

use std::{fs, process::Command};

use anyhow::Context;
use headworks_testkit::{Postgres, tool};

use crate::cargo;

/// Starts an empty server.
pub(crate) fn start() -> anyhow::Result<Postgres> {
    Postgres::throw_away().context("start a PostgreSQL")
}

/// Applies every migration, in order.
pub(crate) fn migrate(server: &Postgres) -> anyhow::Result<()> {
    let directory = tool::workspace().join("migrations");
    let mut files: Vec<_> = fs::read_dir(&directory)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    let mut psql = Command::new("psql");
    psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"])
        .args(["--single-transaction", "--dbname", &server.url()]);
    for file in files {
        psql.arg("--file").arg(file);
    }
    cargo::run(&mut psql)
}
