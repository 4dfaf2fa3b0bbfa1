//! Seals everything anew with the master key that seals now. It can be stopped and started again at
//! any time, beside running controllers: what is done is seen in each value.

use anyhow::Context as _;
use headworks_bootstrap::Clock;

use super::bootstrap;
use crate::{
    Config,
    database::{self, Pool},
    db::reseal::{sealed_list, sealed_update},
    keys::{Keys, Row, SEALED, SealedColumn},
};

/// How many values one transaction changes.
const BATCH: i64 = 500;

/// What was done with one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resealed {
    /// `table.column`.
    pub column: String,
    /// How many values were sealed anew.
    pub resealed: u64,
    /// How many values no master key of ours opens; they stay as they are.
    pub unreadable: u64,
}

/// Seals everything anew that was sealed with `controller.second_master_key`.
///
/// # Errors
/// What is wrong with the configuration or the database.
pub async fn reseal(config: &Config) -> anyhow::Result<Vec<Resealed>> {
    headworks_bootstrap::config::check(&config.validate())?;
    let master = config.master_key.as_ref();
    let master = master.context("controller.master_key is missing")?;
    let keys = Keys::new(master, config.second_master_key.as_ref())
        .context("controller.master_key or controller.second_master_key")?;
    let pool = database::open(config, &Clock::system()).await?;
    let keys = bootstrap::open_keys(&pool, keys).await?;
    let mut done = Vec::new();
    for column in SEALED {
        done.push(reseal_column(&pool, &keys, column).await?);
    }
    pool.close().await;
    Ok(done)
}

async fn reseal_column(
    pool: &Pool,
    keys: &Keys,
    column: &SealedColumn,
) -> anyhow::Result<Resealed> {
    let mut done = Resealed {
        column: format!("{}.{}", column.table, column.column),
        resealed: 0,
        unreadable: 0,
    };
    let mut after = String::new();
    loop {
        let mut tx = pool.begin().await?;
        let rows = sealed_list(&mut tx, column, keys.id(), &after, BATCH).await?;
        let Some((last, _)) = rows.last() else {
            return Ok(done);
        };
        after.clone_from(last);
        for (key, sealed) in rows {
            let row = Row::new(column.table, column.column, &key);
            match keys.unseal(&row, &sealed) {
                Ok(plain) => {
                    sealed_update(&mut tx, column, &key, &keys.seal(&row, &plain)).await?;
                    done.resealed += 1;
                }
                Err(error) => {
                    tracing::warn!(%error, column = done.column, row = key, "stays as it is");
                    done.unreadable += 1;
                }
            }
        }
        tx.commit().await?;
    }
}
