//! Does what the controller has said: saves it, applies the difference, and reports it.
//!
//! That takes time, on a slow disk or where strict work has to stop first. Who listens to the
//! controller only sets the [`Target`]; what comes meanwhile is applied together.

use std::{path::PathBuf, sync::Arc};

use headworks_duty::{Change, Desired, Refused, Slots, diff};
use tokio::sync::watch::{Receiver, Sender};
use tokio_util::sync::CancellationToken;

use super::{Status, desired};
use crate::{
    access::{self, Access},
    work::Work,
};

/// What is to be reached.
#[derive(Clone, Default)]
pub(super) struct Target {
    pub(super) desired: Desired,
    /// What could not be taken of the last message that came.
    pub(super) complaint: Option<String>,
    /// The cluster does not take this edge as the node: nothing is to be done.
    pub(super) stopped: bool,
}

impl Target {
    /// Remembers what was refused of a message.
    pub(super) fn complain(&mut self, refused: &[Refused]) {
        self.stopped = false;
        self.complaint = refused
            .split_first()
            .map(|(first, others)| match others.len() {
                0 => first.to_string(),
                more => format!("{first}, and {more} more"),
            });
    }
}

/// Brings what runs to the target.
pub(super) struct Applier {
    path: PathBuf,
    running: Slots,
    work: Work,
    access: Access,
    status: Arc<Sender<Status>>,
}

impl Applier {
    pub(super) fn new(
        path: PathBuf,
        work: Work,
        access: Access,
        status: Arc<Sender<Status>>,
    ) -> Self {
        Self {
            path,
            running: Slots::new(),
            work,
            access,
            status,
        }
    }

    /// Starts what was saved.
    pub(super) fn start(&mut self, desired: &Desired) {
        self.apply(desired);
        self.work.fence().applied(desired.revision);
    }

    /// Follows the target until `token` is cancelled; never while something is half done.
    pub(super) async fn run(mut self, mut target: Receiver<Target>, token: &CancellationToken) {
        while let Some(Ok(())) = token.run_until_cancelled(target.changed()).await {
            let next = target.borrow_and_update().clone();
            if next.stopped {
                self.stop_all().await;
            } else {
                self.reach(next).await;
            }
        }
    }

    async fn reach(&mut self, target: Target) {
        let desired = Arc::new(target.desired);
        // On disk first: after a crash, too, no older epoch may act.
        let saved = self.save(&desired).await;
        self.work.fence().applying();
        self.apply(&desired);
        // Nobody may hear that work was taken away while it is still done.
        self.work.strict_stopped().await;
        let revision = desired.revision;
        self.work.fence().applied(revision);
        let apply_error = target.complaint.or(saved);
        if let Some(error) = &apply_error {
            tracing::error!(error, revision, "not all of it was applied");
        }
        self.status.send_modify(|status| {
            status.ready = true;
            status.revision = revision;
            status.overtaken.clone_from(&desired.overtaken);
            status.apply_error = apply_error;
        });
    }

    /// Says what went wrong.
    async fn save(&self, desired: &Arc<Desired>) -> Option<String> {
        let (desired, path) = (Arc::clone(desired), self.path.clone());
        let saved = tokio::task::spawn_blocking(move || desired::save(&desired, &path)).await;
        let error = match saved {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => format!("{error:#}"),
            Err(error) => error.to_string(),
        };
        tracing::error!(error, "the desired state is not saved");
        Some(format!("not saved: {error}"))
    }

    fn apply(&mut self, desired: &Desired) {
        let slots = desired.slots.values();
        self.access.set_cameras(access::cameras(slots));
        let changes = diff(&self.running, &desired.slots);
        if !changes.is_empty() {
            let count = |wanted: fn(&Change) -> bool| changes.iter().filter(|c| wanted(c)).count();
            tracing::info!(
                revision = desired.revision,
                started = count(|change| matches!(change, Change::Start(_))),
                updated = count(|change| matches!(change, Change::Update(_))),
                stopped = count(|change| matches!(change, Change::Stop(_))),
                "applied"
            );
        }
        for change in changes {
            self.change(change);
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Stop(key) => {
                self.running.remove(&key);
                self.work.stop(key);
            }
            Change::Update(slot) | Change::Start(slot) => {
                self.running.insert(slot.key, slot.clone());
                self.work.start(slot);
            }
        }
    }

    /// The node was removed. What is on disk stays; if it was a mistake, all comes back.
    async fn stop_all(&mut self) {
        self.work.fence().applying();
        for key in std::mem::take(&mut self.running).into_keys() {
            self.work.stop_now(key);
        }
        self.work.strict_stopped().await;
        self.status.send_modify(|status| status.revision = 0);
    }
}
