//! POST requests: one transaction each, and with an `Idempotency-Key` at most one in 24 hours.
//!
//! The key is claimed by a row at the start of the transaction and the answer is kept in it at the
//! end. A concurrent duplicate waits at the claim; when the first commits it answers the same, and
//! when the first fails it runs itself. Refused requests are not kept: they had no effect.

use std::sync::Arc;

use headworks_types::ApiKeyId;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{PgConnection, Postgres, Transaction};

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
    api_key_id: ApiKeyId,
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
        let api_key_id = caller.api_key_id;
        if idempotency_claim(&mut tx, api_key_id, &key, &fingerprint).await? {
            let claim = Some(Claim {
                api_key_id,
                key,
                keys: state.keys.clone(),
            });
            return Ok(Begun::Fresh(Write { tx, claim }));
        }
        let stored = idempotency_get(&mut tx, api_key_id, &key)
            .await?
            .ok_or(Error::Unavailable(sqlx::Error::RowNotFound))?;
        if stored.fingerprint != fingerprint {
            return Err(Error::KeyReused);
        }
        let answer = state
            .keys
            .unseal(&row(api_key_id, &key), &stored.body)
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
            let sealed = claim.keys.seal(&row(claim.api_key_id, &claim.key), &json);
            idempotency_update(&mut self.tx, claim.api_key_id, &claim.key, &sealed).await?;
        }
        Ok(self.tx.commit().await?)
    }
}

fn row(api_key_id: ApiKeyId, key: &str) -> Row {
    Row::new("idempotency", "body", &format!("{api_key_id}|{key}"))
}
