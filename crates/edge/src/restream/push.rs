//! What the connections of all protocols share: what they send, what they show, when they end.

use std::{future::pending, sync::Arc};

use chrono::{DateTime, Utc};
use headworks_bootstrap::Clock;
use headworks_media::{Frame, TrackKind, Tracks};
use headworks_types::{ShownUrl, edge::SlotState};
use tokio::{
    sync::watch,
    time::{Duration, Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{Config, Job, board::Board, source::Source};

/// A connection that was live for this long was well; its end is a new failure.
const WELL: Duration = Duration::from_secs(10);

/// Why a connection was ended by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It is no longer to be pushed.
    Stop,
    /// Something that matters has changed.
    Changed,
    /// Its URL is about to expire.
    Renew,
    /// The camera gives no picture any more.
    NoPicture,
}

/// One connection's work.
pub(super) struct Push<'a> {
    pub(super) config: &'a Config,
    pub(super) clock: &'a Clock,
    pub(super) source: Source,
    /// What it begins with.
    pub(super) tracks: Arc<Tracks>,
    pub(super) leave: Leave,
    pub(super) board: &'a Board,
    pub(super) url_expires_at: Option<DateTime<Utc>>,
    pub(super) live_since: Option<Instant>,
}

impl Push<'_> {
    /// The target takes pictures.
    pub(super) fn live(&mut self) {
        if self.live_since.is_none() {
            self.live_since = Some(self.clock.monotonic());
            let job = &self.leave.job;
            let message = format!("pushes to {}", ShownUrl(&job.work.url));
            self.board.live(message, self.url_expires_at);
            tracing::info!(
                restream.id = %job.work.id, restream.name = job.work.name,
                camera.name = job.camera_name, url = %ShownUrl(&job.work.url),
                "the target takes the stream"
            );
        }
    }

    /// A frame goes out.
    pub(super) fn saw(&mut self, frame: &Frame) {
        if frame.track == TrackKind::Video {
            self.leave.quiet_at = self.clock.monotonic() + self.config.camera_grace;
        }
    }

    /// Something about the push is worth a remark.
    pub(super) fn remark(&self, remark: &str) {
        if self.live_since.is_some() {
            let url = ShownUrl(&self.leave.job.work.url);
            let message = format!("pushes to {url}; {remark}");
            self.board.set(SlotState::Live, message);
        }
    }

    /// True once it has been live for a while.
    pub(super) fn was_well(&self) -> bool {
        let now = self.clock.monotonic();
        self.live_since.is_some_and(|since| now - since > WELL)
    }
}

/// When a connection has to end.
pub(super) struct Leave {
    pub(super) desired: watch::Receiver<Arc<Job>>,
    pub(super) job: Arc<Job>,
    pub(super) stop: CancellationToken,
    pub(super) renew_at: Option<Instant>,
    /// When the camera has given no picture for too long.
    pub(super) quiet_at: Instant,
}

impl Leave {
    /// Returns when the connection has to end. Losing the future loses nothing.
    pub(super) async fn leave(&mut self) -> End {
        let renew_at = self.renew_at;
        let renew = async {
            match renew_at {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => End::Stop,
            () = changed(&mut self.desired, &self.job) => End::Changed,
            () = renew => End::Renew,
            () = sleep_until(self.quiet_at) => End::NoPicture,
        }
    }
}

/// Until something that matters for the connection has changed. A new epoch or name does not.
pub(super) async fn changed(desired: &mut watch::Receiver<Arc<Job>>, job: &Job) {
    if desired.wait_for(|new| new.differs_from(job)).await.is_err() {
        // The slot is gone; the worker is told to stop.
        pending::<()>().await;
    }
}
