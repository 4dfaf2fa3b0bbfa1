//! One camera: connects when there is reason to, and starts anew when it fails.

use std::{future::pending, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;
use headworks_bootstrap::Clock;
use headworks_types::{CameraSource, StartMode, edge::SlotState};
use tokio::{
    sync::{Semaphore, watch},
    time::sleep,
};

use super::{Config, Job, failure::Failure, rtsp::Session};
use crate::{
    backoff::{self, Backoff},
    hub::Publisher,
};

/// A camera that gave pictures for this long was well; its next failure is a new one.
const WELL: Duration = Duration::from_secs(10);

pub(super) struct Worker {
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) connects: Arc<Semaphore>,
    pub(super) publisher: Publisher,
    pub(super) desired: watch::Receiver<Arc<Job>>,
}

/// Why a session has ended.
enum End {
    /// It failed.
    Failed(Failure),
    /// Something that matters has changed.
    Changed,
    /// Nobody watches any more.
    Idle,
}

impl Worker {
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new(self.config.retry_min, self.config.retry_max);
        loop {
            let slot = Arc::clone(&self.desired.borrow_and_update());
            if slot.work.start == StartMode::OnDemand && self.publisher.stream().viewers() == 0 {
                self.wait_for_demand(&slot).await;
                backoff.reset();
                continue;
            }
            let started = self.clock.monotonic();
            match self.session(&slot).await {
                End::Idle => {
                    self.publisher.clear();
                    self.set_status(&slot, SlotState::Idle, "waits for a viewer");
                    backoff.reset();
                }
                End::Changed => {
                    self.set_status(
                        &slot,
                        SlotState::Connecting,
                        "the camera's settings changed",
                    );
                    backoff.reset();
                }
                End::Failed(failure) => {
                    self.set_status(&slot, SlotState::Failed, &failure.to_string());
                    if self.clock.monotonic() - started > WELL {
                        backoff.reset();
                    }
                    let wait = backoff.next(backoff::random());
                    tokio::select! {
                        () = sleep(wait) => {}
                        () = changed(&mut self.desired, &slot) => backoff.reset(),
                        () = idle(&self.publisher, &slot, self.config.idle) => {}
                    }
                }
            }
        }
    }

    /// Until somebody watches, or the camera is to be pulled always.
    async fn wait_for_demand(&mut self, slot: &Job) {
        self.set_status(slot, SlotState::Idle, "waits for a viewer");
        let mut demand = self.publisher.stream().demand();
        tokio::select! {
            _ = demand.wait_for(|viewers| *viewers > 0) => {
                self.set_status(slot, SlotState::Connecting, "connecting");
            }
            () = changed(&mut self.desired, slot) => {}
        }
    }

    /// One session with the camera, from connecting to its end.
    async fn session(&mut self, slot: &Job) -> End {
        if self.publisher.stream().status().state != SlotState::Failed {
            self.set_status(slot, SlotState::Connecting, "connecting");
        }
        let CameraSource::Pull { url, transport, .. } = &slot.work.source else {
            return self.reject(slot).await;
        };
        let session = Session {
            config: &self.config,
            connects: &self.connects,
            clock: &self.clock,
            url,
            transport: *transport,
            credentials: slot.work.credentials.as_ref(),
        };
        let watched = Arc::clone(self.publisher.stream());
        let live = |message: &str| report(&watched, slot, SlotState::Live, message);
        let demand = idle_stream(&watched, slot, self.config.idle);
        // A depacketizer that panics over garbage must not end the camera.
        let run = AssertUnwindSafe(session.run(&mut self.publisher, &live)).catch_unwind();
        tokio::select! {
            ended = run => End::Failed(ended.unwrap_or(Failure::Internal)),
            () = changed(&mut self.desired, slot) => End::Changed,
            () = demand => End::Idle,
        }
    }

    /// This version has no protocol for publishing.
    async fn reject(&mut self, slot: &Job) -> End {
        self.set_status(slot, SlotState::Failed, &Failure::Publish.to_string());
        changed(&mut self.desired, slot).await;
        End::Changed
    }

    fn set_status(&self, slot: &Job, state: SlotState, message: &str) {
        report(self.publisher.stream(), slot, state, message);
    }
}

/// Sets the status, and logs it if it is new: once per change, not per attempt.
fn report(stream: &crate::hub::Stream, slot: &Job, state: SlotState, message: &str) {
    if !stream.set_status(state, message) {
        return;
    }
    let (camera, name) = (slot.key.camera_id, slot.camera_name.as_str());
    if state == SlotState::Failed {
        tracing::warn!(camera.id = %camera, camera.name = name, reason = message, "camera fails");
    } else {
        tracing::info!(camera.id = %camera, camera.name = name, state = state.as_str(), message, "camera");
    }
}

/// Until something that matters for the session has changed. A new epoch or name does not.
async fn changed(desired: &mut watch::Receiver<Arc<Job>>, slot: &Job) {
    let matters = |new: &Arc<Job>| {
        new.work.source != slot.work.source
            || new.work.credentials != slot.work.credentials
            || new.work.start != slot.work.start
    };
    if desired.wait_for(matters).await.is_err() {
        // The slot is gone; the worker is cancelled at once.
        pending::<()>().await;
    }
}

async fn idle(publisher: &Publisher, slot: &Job, limit: Duration) {
    idle_stream(publisher.stream(), slot, limit).await;
}

/// Until an on-demand camera has had no viewer for `limit`.
async fn idle_stream(stream: &crate::hub::Stream, slot: &Job, limit: Duration) {
    if slot.work.start == StartMode::Always {
        pending::<()>().await;
    }
    let mut demand = stream.demand();
    loop {
        // The stream outlives this worker, and its sender with it.
        let _ = demand.wait_for(|viewers| *viewers == 0).await;
        tokio::select! {
            () = sleep(limit) => return,
            _ = demand.wait_for(|viewers| *viewers > 0) => {}
        }
    }
}
