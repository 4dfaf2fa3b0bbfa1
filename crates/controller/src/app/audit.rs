//! The audit log: what each request adds to it.
//!
//! A request runs inside of [`Request::scope`]. What it changes is recorded where its events are
//! appended, in the same transaction, so that there is no change without a record and no record
//! without a change ([`of_change`]). What was refused, what failed, and what was asked for but was
//! so already ([`Request::outcome`]) has no transaction: [`Refusals`] takes it, and
//! `reconcile::audit` writes it in batches.

use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use headworks_types::{AuditResult, NodeId, ProblemCode, ProjectId, edge::AuditDelivery};
use serde_json::json;
use sqlx::PgConnection;
use tokio::{sync::mpsc, task_local};

use super::{Caller, Origin, Result};
use crate::{
    db::audit::{NewAudit, audit_deliver, audit_insert},
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
    /// It is there to change something.
    changes: bool,
    /// The id of the thing that the path names.
    object: Option<String>,
    /// Who it turned out to be.
    caller: OnceLock<(String, Option<ProjectId>)>,
    /// A record of it was written.
    is_recorded: AtomicBool,
}

impl Request {
    pub(crate) fn new(origin: Origin, action: &'static str, object: Option<String>) -> Self {
        Self {
            origin,
            action,
            changes: false,
            object,
            caller: OnceLock::new(),
            is_recorded: AtomicBool::new(false),
        }
    }

    /// Says whether it is there to change something.
    pub(crate) fn changing(self, changes: bool) -> Self {
        Self { changes, ..self }
    }

    /// Runs the request's answer.
    pub(crate) async fn scope<T>(self: Arc<Self>, answer: impl Future<Output = T>) -> T {
        REQUEST.scope(self, answer).await
    }

    /// The record of its end, as far as no transaction has written it: of a refusal and a failure
    /// that somebody may want to know of, and of a change that was none.
    pub(crate) fn outcome(&self, problem: Option<ProblemCode>) -> Option<NewAudit> {
        let Some(code) = problem else {
            let is_told = self.is_recorded.load(Ordering::Relaxed);
            let same = json!({ "message": "nothing had to be changed" });
            return (self.changes && !is_told).then(|| self.record(AuditResult::Ok, None, same));
        };
        let result = self.result_of(code)?;
        Some(self.record(result, Some(code), json!({})))
    }

    /// What a problem is for the log; nothing, if it could not even be understood what was wanted.
    fn result_of(&self, code: ProblemCode) -> Option<AuditResult> {
        match code {
            ProblemCode::Unauthenticated
            | ProblemCode::PasswordChangeRequired
            | ProblemCode::Forbidden
            | ProblemCode::TooManyRequests => Some(AuditResult::Refused),
            // What may not be known of is not found.
            ProblemCode::NotFound if self.caller.get().is_some() => Some(AuditResult::Refused),
            ProblemCode::Conflict
            | ProblemCode::PreconditionFailed
            | ProblemCode::IdempotencyKeyReused
            | ProblemCode::Full
            | ProblemCode::NoPicture
            | ProblemCode::Unavailable
            | ProblemCode::Internal
                if self.changes =>
            {
                Some(AuditResult::Failed)
            }
            _ => None,
        }
    }

    fn record(
        &self,
        result: AuditResult,
        code: Option<ProblemCode>,
        detail: serde_json::Value,
    ) -> NewAudit {
        let caller = self.caller.get();
        NewAudit {
            project_id: caller.and_then(|(_, project)| *project),
            actor: caller.map(|(actor, _)| actor.clone()),
            action: self.action.to_owned(),
            // Strangers may make one up each time.
            object: caller.and_then(|_| self.object.clone()),
            result,
            code: code.map(|code| code.to_string()),
            address: self.origin.address,
            request_id: Some(self.origin.request_id.clone()),
            detail,
        }
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
    let record = |request: &Arc<Request>| {
        request.is_recorded.store(true, Ordering::Relaxed);
        NewAudit {
            project_id,
            actor: Some(actor.to_owned()),
            object: Some(object.to_owned()),
            ..request.record(AuditResult::Ok, None, json!({ "message": message }))
        }
    };
    REQUEST.try_with(record).ok()
}

/// Records a change of which there is no event. Call it in the transaction that makes it.
pub(crate) async fn record_change(
    conn: &mut PgConnection,
    project_id: Option<ProjectId>,
    actor: &str,
    object: &str,
    message: &str,
) -> sqlx::Result<()> {
    match of_change(project_id, actor, object, message) {
        Some(record) => audit_insert(conn, &[record]).await,
        None => Ok(()),
    }
}

/// Stores what an edge has kept. What came before is not stored again.
pub(crate) async fn edge_audit_deliver(
    state: &State,
    node: NodeId,
    delivery: &AuditDelivery,
) -> Result<()> {
    let mut tx = state.pool.begin().await?;
    audit_deliver(&mut tx, node, delivery).await?;
    tx.commit().await?;
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
        let refused = |code| request.outcome(Some(code));
        assert!(refused(ProblemCode::NotFound).is_none());
        assert!(refused(ProblemCode::Invalid).is_none());
        assert!(refused(ProblemCode::Unauthenticated).is_some());
        let _ = request.caller.set(("key_1".to_owned(), None));
        assert!(refused(ProblemCode::NotFound).is_some());
        assert!(refused(ProblemCode::Conflict).is_none(), "changes nothing");
        assert!(request.outcome(None).is_none());
    }

    #[tokio::test]
    async fn what_is_to_change_something_has_a_record_however_it_ends() {
        let fresh = || Arc::new(request("camera_update").changing(true));
        let same = fresh().outcome(None).expect("says that it was so already");
        assert_eq!((same.result, same.code), (AuditResult::Ok, None));
        let done = fresh();
        let change = async { of_change(None, "key_1", "cam_1", "words") };
        assert!(Arc::clone(&done).scope(change).await.is_some());
        assert!(done.outcome(None).is_none(), "once");
        // Then what was written was taken back with its transaction.
        let failed = done.outcome(Some(ProblemCode::PreconditionFailed));
        let failed = failed.expect("is recorded");
        assert_eq!(failed.result, AuditResult::Failed);
        assert_eq!(failed.code.as_deref(), Some("precondition_failed"));
    }

    #[test]
    fn what_a_stranger_names_is_not_written_down() {
        let mut request = request("camera_view");
        request.object = Some("cam_1".to_owned());
        let object = |request: &Request| {
            let record = request.outcome(Some(ProblemCode::Unauthenticated));
            record.expect("is recorded").object
        };
        assert_eq!(object(&request), None);
        let _ = request.caller.set(("key_1".to_owned(), None));
        assert_eq!(object(&request).as_deref(), Some("cam_1"));
    }

    #[test]
    fn a_full_queue_loses_and_counts() {
        let refusals = Refusals::default();
        let request = request("camera_view");
        let record = request
            .outcome(Some(ProblemCode::Forbidden))
            .expect("is one");
        for _ in 0..QUEUE + 3 {
            refusals.push(record.clone());
        }
        assert_eq!(refusals.take_lost(), 3);
        assert_eq!(refusals.take_lost(), 0);
    }
}
