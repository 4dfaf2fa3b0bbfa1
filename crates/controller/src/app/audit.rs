//! The audit log: what each request adds to it.
//!
//! A request runs inside of [`Request::scope`]. What it changes is recorded where its events are
//! appended, in the same transaction, so that there is no change without a record and no record
//! without a change ([`of_change`]). Refusals have no transaction: [`Refusals`] takes them, and
//! `reconcile::audit` writes them in batches.

use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use headworks_types::{AuditResult, NodeId, ProblemCode, ProjectId, edge::AuditDelivery};
use serde_json::json;
use tokio::{sync::mpsc, task_local};

use super::{Caller, Origin, Result};
use crate::{
    db::audit::{NewAudit, audit_deliver},
    state::State,
};

/// Refusals that wait for their batch.
const QUEUE: usize = 4096;

task_local! {
    static REQUEST: Arc<Request>;
}

/// The request that this task answers.
#[derive(Debug)]
pub(crate) struct Request {
    origin: Origin,
    /// The operation's id.
    action: &'static str,
    /// The id of the thing that the path names.
    object: Option<String>,
    /// Who it turned out to be.
    caller: OnceLock<(String, Option<ProjectId>)>,
}

impl Request {
    pub(crate) fn new(origin: Origin, action: &'static str, object: Option<String>) -> Self {
        Self {
            origin,
            action,
            object,
            caller: OnceLock::new(),
        }
    }

    /// Runs the request's answer.
    pub(crate) async fn scope<T>(self: Arc<Self>, answer: impl Future<Output = T>) -> T {
        REQUEST.scope(self, answer).await
    }

    /// The record of its refusal, if it is one that somebody may want to know of.
    pub(crate) fn refused(&self, code: ProblemCode) -> Option<NewAudit> {
        let caller = self.caller.get();
        match code {
            ProblemCode::Unauthenticated
            | ProblemCode::Forbidden
            | ProblemCode::TooManyRequests => {}
            // What may not be known of is not found.
            ProblemCode::NotFound if caller.is_some() => {}
            _ => return None,
        }
        Some(NewAudit {
            project_id: caller.and_then(|(_, project)| *project),
            actor: caller.map(|(actor, _)| actor.clone()),
            action: self.action.to_owned(),
            object: self.object.clone(),
            result: AuditResult::Refused,
            code: Some(code.to_string()),
            address: self.origin.address,
            request_id: Some(self.origin.request_id.clone()),
            detail: json!({}),
        })
    }
}

/// Remembers who asks, for the record of what becomes of it.
pub(crate) fn identified(caller: &Caller) {
    is_by(caller.identity.to_string(), Some(caller.project_id));
}

/// The same of a node.
pub(crate) fn identified_node(node: NodeId) {
    is_by(node.to_string(), None);
}

fn is_by(actor: String, project: Option<ProjectId>) {
    // Outside of a request nobody asks.
    let _ = REQUEST.try_with(|request| request.caller.set((actor, project)));
}

/// The record of a change, if a request makes it.
pub(crate) fn of_change(
    project_id: Option<ProjectId>,
    actor: &str,
    object: &str,
    message: &str,
) -> Option<NewAudit> {
    let record = |request: &Arc<Request>| NewAudit {
        project_id,
        actor: Some(actor.to_owned()),
        action: request.action.to_owned(),
        object: Some(object.to_owned()),
        result: AuditResult::Ok,
        code: None,
        address: request.origin.address,
        request_id: Some(request.origin.request_id.clone()),
        detail: json!({ "message": message }),
    };
    REQUEST.try_with(record).ok()
}

/// Stores what an edge has kept. What came before is not stored again.
pub(crate) async fn edge_audit_deliver(
    state: &State,
    node: NodeId,
    delivery: &AuditDelivery,
) -> Result<()> {
    let mut conn = state.pool.acquire().await?;
    audit_deliver(&mut conn, node, delivery).await?;
    Ok(())
}

/// The way into the log for refusals. It never waits: what finds no place is counted, and the
/// count is recorded. Clones lead into the same.
#[derive(Clone)]
pub(crate) struct Refusals(Arc<Inner>);

struct Inner {
    queue: mpsc::Sender<NewAudit>,
    outlet: Mutex<Option<mpsc::Receiver<NewAudit>>>,
    lost: AtomicU64,
}

impl Default for Refusals {
    fn default() -> Self {
        let (queue, outlet) = mpsc::channel(QUEUE);
        Self(Arc::new(Inner {
            queue,
            outlet: Mutex::new(Some(outlet)),
            lost: AtomicU64::new(0),
        }))
    }
}

impl Refusals {
    /// Leaves a record to be written.
    pub(crate) fn push(&self, record: NewAudit) {
        if self.0.queue.try_send(record).is_err() {
            self.lose(1);
        }
    }

    /// So many could not be written.
    pub(crate) fn lose(&self, count: u64) {
        self.0.lost.fetch_add(count, Ordering::Relaxed);
    }

    /// How many were lost since this was asked last.
    pub(crate) fn take_lost(&self) -> u64 {
        self.0.lost.swap(0, Ordering::Relaxed)
    }

    /// The end of the queue, for the one who empties it.
    pub(crate) fn outlet(&self) -> Option<mpsc::Receiver<NewAudit>> {
        let mut outlet = self.0.outlet.lock().unwrap_or_else(PoisonError::into_inner);
        outlet.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(action: &'static str) -> Request {
        let origin = Origin {
            address: Some(std::net::Ipv4Addr::LOCALHOST.into()),
            request_id: "r".to_owned(),
        };
        Request::new(origin, action, None)
    }

    #[tokio::test]
    async fn changes_are_of_the_request_that_makes_them() {
        let of = || of_change(None, "key_1", "cam_1", "words");
        assert_eq!(of(), None, "the planner's work is nobody's request");
        let request = Arc::new(request("camera_update"));
        let record = request.scope(async { of() }).await.expect("is recorded");
        assert_eq!(record.action, "camera_update");
        assert_eq!(record.request_id.as_deref(), Some("r"));
    }

    #[test]
    fn what_a_stranger_does_not_find_is_no_refusal() {
        let request = request("camera_view");
        assert!(request.refused(ProblemCode::NotFound).is_none());
        assert!(request.refused(ProblemCode::Invalid).is_none());
        assert!(request.refused(ProblemCode::Unauthenticated).is_some());
        let _ = request.caller.set(("key_1".to_owned(), None));
        assert!(request.refused(ProblemCode::NotFound).is_some());
    }

    #[test]
    fn a_full_queue_loses_and_counts() {
        let refusals = Refusals::default();
        let request = request("camera_view");
        let record = request.refused(ProblemCode::Forbidden).expect("is one");
        for _ in 0..QUEUE + 3 {
            refusals.push(record.clone());
        }
        assert_eq!(refusals.take_lost(), 3);
        assert_eq!(refusals.take_lost(), 0);
    }
}
