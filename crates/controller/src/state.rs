//! What every handler and every loop of the controller shares.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{extract::FromRequestParts, http::request::Parts};
use headworks_bootstrap::{Clock, Tasks};
use sqlx::PgPool;
use tokio::sync::Notify;
use uuid::{ContextV7, Timestamp, Uuid};

use crate::{
    Config,
    app::{audit::Refusals, auth::SignInDesk, edge::Edges},
    http::Limits,
    keys::Keys,
    pki::Authority,
};

/// Shared parts. Clones are cheap.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) pool: PgPool,
    pub(crate) keys: Arc<Keys>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) config: Arc<Config>,
    pub(crate) wake: Wake,
    pub(crate) tasks: Tasks,
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
    pub(crate) edges: Edges,
    pub(crate) refusals: Refusals,
    pub(crate) limits: Limits,
    pub(crate) auth: SignInDesk,
}

/// Tells the loops of this process that there is something to do. Only a hint: each loop also has
/// a period, since the change may come from another replica.
#[derive(Clone, Default)]
pub(crate) struct Wake {
    planner: Arc<Notify>,
    sessions: Arc<Notify>,
}

impl Wake {
    /// Cameras, slots or nodes have changed.
    pub(crate) fn planner(&self) {
        self.planner.notify_one();
    }

    /// Somebody watches, or rights have changed.
    pub(crate) fn sessions(&self) {
        self.sessions.notify_one();
    }

    /// Waits for [`Wake::sessions`], in the same way.
    pub(crate) async fn sessions_called(&self) {
        self.sessions.notified().await;
    }

    /// Waits for [`Wake::planner`]. A call from before is not lost; several count as one.
    pub(crate) async fn planner_called(&self) {
        self.planner.notified().await;
    }
}

/// Makes UUIDv7 ids that rise even within one millisecond, so that what was created first is
/// listed first.
#[derive(Clone)]
pub(crate) struct Ids {
    clock: Clock,
    context: Arc<Mutex<ContextV7>>,
}

impl Ids {
    /// Ids that carry this clock's time.
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            context: Arc::default(),
        }
    }

    /// A new id.
    pub(crate) fn next<Id: From<Uuid>>(&self) -> Id {
        let now = self.clock.now();
        let context = self.context.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
        let time = Timestamp::from_unix(&*context, seconds, now.timestamp_subsec_nanos());
        Uuid::new_v7(time).into()
    }
}

/// Handlers take the state as a plain argument.
impl FromRequestParts<State> for State {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, state: &State) -> Result<Self, Infallible> {
        Ok(state.clone())
    }
}
