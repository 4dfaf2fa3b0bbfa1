//! The metadata of the SQL queries in `.sqlx`, so that nobody needs a database to compile.
//!
//! What `cargo sqlx prepare` does, without another tool: the query macros write a file for each
//! query when they see a database and a directory.

use std::{collections::BTreeMap, fs, path::Path, time::SystemTime};

use anyhow::{Context, bail};
use headworks_testkit::tool;

use crate::{cargo, database};

type Files = BTreeMap<String, String>;

/// Brings `.sqlx` up to date.
pub(crate) fn write() -> anyhow::Result<()> {
    let files = generate()?;
    let directory = tool::workspace().join(".sqlx");
    fs::create_dir_all(&directory)?;
    for name in read(&directory)?.keys() {
        if !files.contains_key(name) {
            fs::remove_file(directory.join(name))?;
        }
    }
    for (name, text) in &files {
        fs::write(directory.join(name), text)?;
    }
    println!("sqlx: {} queries in .sqlx", files.len());
    Ok(())
}

/// Fails if `.sqlx` is not up to date.
pub(crate) fn check() -> anyhow::Result<()> {
    let files = generate()?;
    let committed = read(&tool::workspace().join(".sqlx"))?;
    if committed != files {
        let changed = files
            .iter()
            .filter(|(name, text)| committed.get(*name) != Some(text))
            .count();
        let old = committed
            .keys()
            .filter(|name| !files.contains_key(*name))
            .count();
        bail!(
            ".sqlx is not up to date ({changed} queries new or changed, {old} no longer used): \
             run `cargo xtask sqlx` and commit it"
        );
    }
    println!("sqlx: .sqlx is up to date ({} queries)", files.len());
    Ok(())
}

fn generate() -> anyhow::Result<Files> {
    let server = database::start()?;
    database::migrate(&server)?;
    let directory = tempfile::tempdir()?;
    touch(&tool::workspace().join("crates/controller/src/lib.rs"))?;
    cargo::run(
        cargo::cargo(&[
            "check",
            "--package",
            "headworks-controller",
            "--all-targets",
        ])
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", directory.path())
        .env("DATABASE_URL", server.url()),
    )?;
    read(directory.path())
}

/// Makes cargo expand the macros again: it does not know that they have seen another database.
#[expect(
    clippy::disallowed_methods,
    reason = "a file's time of change is the wall clock's"
)]
fn touch(file: &Path) -> anyhow::Result<()> {
    fs::File::options()
        .write(true)
        .open(file)
        .and_then(|file| file.set_modified(SystemTime::now()))
        .with_context(|| format!("touch {}", file.display()))
}

fn read(directory: &Path) -> anyhow::Result<Files> {
    let mut files = Files::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string() {
            files.insert(name, fs::read_to_string(entry.path())?);
        }
    }
    Ok(files)
}
