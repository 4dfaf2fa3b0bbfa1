//! POST requests: one transaction each, and with an `Idempotency-Key` at most one in 24 hours.
//!
//! The key is claimed by a row at the start of the transaction and the answer is kept in it at the
//! end. A concurrent duplicate waits at the claim; when the first commits it answers the same, and
//! when the first fails it runs itself. Refused requests are not kept: they had no effect.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};
use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use super::{Caller, Error, Result};
use crate::{
    db::idempotency::{idempotency_claim, idempotency_get, idempotency_update},
    keys::{Keys, Row},
    state::State,
};

/// A request's idempotency key, if it carries one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Once(Option<Key>);

#[derive(Debug, Clone)]
struct Key {
    key: String,
    fingerprint: Vec<u8>,
}

/// How a POST request begins.
pub(crate) enum Begun<T> {
    /// It is to be done, in this transaction.
    Fresh(Write),
    /// It was done before; this was the answer.
    Again(T),
}

/// The transaction of a POST request. Only [`Write::commit`] commits it.
pub(crate) struct Write {
    tx: Transaction<'static, Postgres>,
    claim: Option<Claim>,
}

struct Claim {
    caller: Uuid,
    key: String,
    keys: Arc<Keys>,
}

impl Once {
    /// This key belongs to the request of this fingerprint.
    pub(crate) fn new(key: String, fingerprint: Vec<u8>) -> Self {
        Self(Some(Key { key, fingerprint }))
    }

    /// Begins the request's transaction, or finds its answer.
    pub(crate) async fn begin<T: DeserializeOwned>(
        self,
        state: &State,
        caller: &Caller,
    ) -> Result<Begun<T>> {
        let mut tx = state.pool.begin().await?;
        let Some(Key { key, fingerprint }) = self.0 else {
            return Ok(Begun::Fresh(Write { tx, claim: None }));
        };
        let caller = caller.identity.uuid();
        if idempotency_claim(&mut tx, caller, &key, &fingerprint).await? {
            let claim = Some(Claim {
                caller,
                key,
                keys: state.keys.clone(),
            });
            return Ok(Begun::Fresh(Write { tx, claim }));
        }
        let stored = idempotency_get(&mut tx, caller, &key)
            .await?
            .ok_or(Error::Unavailable(sqlx::Error::RowNotFound))?;
        if stored.fingerprint != fingerprint {
            return Err(Error::KeyReused);
        }
        let answer = state
            .keys
            .unseal(&row(caller, &key), &stored.body)
            .map_err(|error| Error::Internal(error.into()))?;
        serde_json::from_slice(&answer)
            .map(Begun::Again)
            .map_err(|error| Error::Internal(error.into()))
    }
}

impl Write {
    /// The transaction, for `db` functions.
    pub(crate) fn conn(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// Keeps the answer for repetitions of the request, and commits.
    pub(crate) async fn commit<T: Serialize>(mut self, answer: &T) -> Result<()> {
        if let Some(claim) = &self.claim {
            let json = serde_json::to_vec(answer).map_err(|error| Error::Internal(error.into()))?;
            let sealed = claim.keys.seal(&row(claim.caller, &claim.key), &json);
            idempotency_update(&mut self.tx, claim.caller, &claim.key, &sealed).await?;
        }
        Ok(self.tx.commit().await?)
    }
}

fn row(caller: Uuid, key: &str) -> Row {
    Row::new("idempotency", "body", &format!("{}|{key}", caller.simple()))
}
