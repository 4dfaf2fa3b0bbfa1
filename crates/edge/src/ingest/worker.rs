//! One camera: connects when there is reason to, and starts anew when it fails.

use std::{future::pending, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;
use headworks_bootstrap::Clock;
use headworks_types::{CameraSource, StartMode, edge::SlotState};
use tokio::{sync::watch, time::sleep};

use super::{Config, Feed, Job, failure::Failure, publish::Seat, source};
use crate::{
    backoff::{self, Backoff},
    ffmpeg::Ffmpeg,
    hub::Stream,
    turns::Turns,
};

/// A camera that gave pictures for this long was well; its next failure is a new one.
const WELL: Duration = Duration::from_secs(10);

pub(super) struct Worker {
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) connects: Arc<Turns>,
    pub(super) ffmpeg: Ffmpeg,
    /// Where the feed is left for publishers.
    pub(super) seat: Arc<Seat>,
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
    /// Never returns.
    pub(super) async fn run(mut self, mut feed: Feed) {
        let mut backoff = Backoff::new(self.config.retry_min, self.config.retry_max);
        loop {
            let job = Arc::clone(&self.desired.borrow_and_update());
            feed.rename(&job.camera_name);
            if job.work.source == CameraSource::Publish {
                feed = self.take_publishers(feed, job).await;
                backoff.reset();
                continue;
            }
            if job.work.start == StartMode::OnDemand && !feed.stream().is_wanted() {
                self.wait_for_demand(&feed, &job).await;
                backoff.reset();
                continue;
            }
            let started = self.clock.monotonic();
            match self.session(&mut feed, &job).await {
                End::Idle => {
                    feed.clear();
                    feed.set_status(SlotState::Idle, "waits for a viewer");
                    backoff.reset();
                }
                End::Changed => {
                    feed.set_status(SlotState::Connecting, "the camera's settings changed");
                    backoff.reset();
                }
                End::Failed(failure) => {
                    feed.set_status(SlotState::Failed, &failure.to_string());
                    if self.clock.monotonic() - started > WELL {
                        backoff.reset();
                    }
                    let wait = backoff.next(backoff::random());
                    tokio::select! {
                        () = sleep(wait) => {}
                        () = changed(&mut self.desired, &job) => backoff.reset(),
                        () = idle(feed.stream(), &job, self.config.idle) => {}
                    }
                }
            }
        }
    }

    /// Until the camera is pulled and not published any more.
    async fn take_publishers(&mut self, feed: Feed, job: Arc<Job>) -> Feed {
        self.seat.open(feed, job);
        let follow = async {
            // The slot's end cancels the worker.
            while self.desired.changed().await.is_ok() {
                let job = Arc::clone(&self.desired.borrow_and_update());
                if job.work.source != CameraSource::Publish {
                    return;
                }
                self.seat.update(job);
            }
            pending::<()>().await;
        };
        tokio::select! {
            () = follow => {}
            () = self.seat.forget_old(self.config.publisher_grace) => {}
        }
        self.seat.close().await
    }

    /// Until somebody watches, or the camera is to be pulled always.
    async fn wait_for_demand(&mut self, feed: &Feed, job: &Job) {
        feed.set_status(SlotState::Idle, "waits for a viewer");
        let mut demand = feed.stream().demand();
        tokio::select! {
            _ = demand.wait_for(|viewers| *viewers > 0) => {
                feed.set_status(SlotState::Connecting, "connecting");
            }
            () = changed(&mut self.desired, job) => {}
        }
    }

    /// One session with the camera, from connecting to its end.
    async fn session(&mut self, feed: &mut Feed, job: &Job) -> End {
        if feed.status().state != SlotState::Failed {
            feed.set_status(SlotState::Connecting, "connecting");
        }
        let stream = Arc::clone(feed.stream());
        let demand = idle(&stream, job, self.config.idle);
        // A depacketizer that panics over garbage must not end the camera.
        let run = AssertUnwindSafe(source::run(
            &self.config,
            &self.connects,
            &self.ffmpeg,
            job,
            feed,
        ));
        tokio::select! {
            ended = run.catch_unwind() => End::Failed(ended.unwrap_or(Failure::Internal)),
            () = changed(&mut self.desired, job) => End::Changed,
            () = demand => End::Idle,
        }
    }
}

/// Until something that matters for the session has changed. A new epoch or name does not.
async fn changed(desired: &mut watch::Receiver<Arc<Job>>, job: &Job) {
    let matters = |new: &Arc<Job>| {
        new.work.source != job.work.source
            || new.work.credentials != job.work.credentials
            || new.work.start != job.work.start
            || new.work.outbound_allow != job.work.outbound_allow
    };
    if desired.wait_for(matters).await.is_err() {
        // The slot is gone; the worker is cancelled at once.
        pending::<()>().await;
    }
}

/// Until an on-demand camera has had no viewer for `limit`.
async fn idle(stream: &Stream, job: &Job, limit: Duration) {
    if job.work.start == StartMode::Always {
        pending::<()>().await;
    }
    stream.idle(limit).await;
}
