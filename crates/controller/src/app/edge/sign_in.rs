//! Node keys. Each renewal carries one, so a replica remembers for a while which it has found
//! good: the load on the database must not grow with the fleet.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use headworks_types::NodeId;
use tokio::time::Instant;

use crate::{
    app::{Error, Result},
    credential::{self, Kind},
    db::node::node_present,
    state::State,
};

/// For how long a row that was read is believed.
const REMEMBERED: Duration = Duration::from_secs(30);

/// The node that asks, signed in by its key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeCaller(pub(crate) NodeId);

/// Digests of keys that exist, by their lookup part. Holds at most one entry for each node, since
/// only what is in the database gets in.
#[derive(Clone, Default)]
pub(super) struct KnownKeys(Arc<Mutex<HashMap<String, Known>>>);

#[derive(Clone)]
struct Known {
    node: NodeId,
    digest: Vec<u8>,
    read_at: Instant,
}

impl NodeCaller {
    /// Signs in with a node key: mostly without a query.
    pub(crate) async fn sign_in(state: &State, key: &str) -> Result<Self> {
        const BAD: Error = Error::Unauthenticated(
            "the node key is not known; remove it from the data directory to join anew",
        );
        let presented = credential::parse(Kind::NodeKey, key).ok_or(BAD)?;
        let now = state.clock.monotonic();
        let keys = &state.edges.keys;
        let known = match keys.get(presented.lookup, now) {
            Some(known) => known,
            None => {
                let mut conn = state.pool.acquire().await?;
                let row = node_present(&mut conn, presented.lookup)
                    .await?
                    .ok_or(BAD)?;
                let known = Known {
                    node: row.id.into(),
                    digest: row.digest,
                    read_at: now,
                };
                keys.insert(presented.lookup, known.clone());
                known
            }
        };
        if presented.matches(&state.keys, &known.digest) {
            Ok(Self(known.node))
        } else {
            Err(BAD)
        }
    }
}

impl KnownKeys {
    fn get(&self, lookup: &str, now: Instant) -> Option<Known> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get(lookup)?;
        (now - known.read_at < REMEMBERED).then(|| known.clone())
    }

    fn insert(&self, lookup: &str, known: Known) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(lookup.to_owned(), known);
    }
}
