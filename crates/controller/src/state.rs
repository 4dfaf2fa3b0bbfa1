//! What every handler and every loop of the controller shares.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{extract::FromRequestParts, http::request::Parts};
use headworks_bootstrap::{Clock, Tasks};
use headworks_types::SessionId;
use tokio::sync::Notify;
use uuid::{ContextV7, Timestamp, Uuid};

use crate::{
    Config,
    app::{audit::Refusals, auth::SignInDesk, edge::Edges},
    database::Pool,
    http::Limits,
    keys::Keys,
    pki::Authority,
};

/// Shared parts. Clones are cheap.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) pool: Pool,
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
    drains: Arc<Notify>,
    sessions: Arc<Notify>,
    to_judge: Arc<Mutex<ToJudge>>,
}

/// Which sessions may have become wrong.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ToJudge {
    /// Any of them.
    pub(crate) all: bool,
    /// These are new.
    pub(crate) opened: Vec<SessionId>,
}

/// So many new sessions wait for their judgement; more are judged with all.
const OPENED: usize = 2000;

impl Wake {
    /// Cameras, slots or nodes have changed.
    pub(crate) fn planner(&self) {
        self.planner.notify_one();
    }

    /// Rights have changed.
    pub(crate) fn sessions(&self) {
        self.to_judge().all = true;
        self.sessions.notify_one();
    }

    /// Somebody watches.
    pub(crate) fn sessions_opened(&self, opened: impl Iterator<Item = SessionId>) {
        let mut to_judge = self.to_judge();
        let free = OPENED.saturating_sub(to_judge.opened.len());
        to_judge.opened.extend(opened.take(free));
        self.sessions.notify_one();
    }

    /// Waits for [`Wake::sessions`] or [`Wake::sessions_opened`], in the same way.
    pub(crate) async fn sessions_called(&self) -> ToJudge {
        self.sessions.notified().await;
        std::mem::take(&mut *self.to_judge())
    }

    fn to_judge(&self) -> MutexGuard<'_, ToJudge> {
        self.to_judge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node is to be drained, or was removed.
    pub(crate) fn drains(&self) {
        self.drains.notify_one();
    }

    /// Waits for [`Wake::drains`], in the same way as for the planner.
    pub(crate) async fn drains_called(&self) {
        self.drains.notified().await;
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
