//! The protocols by which cameras are pulled: one session each, from connecting to its end.

mod rtsp;
mod sync;

use headworks_types::CameraSource;
use tokio::sync::Semaphore;

use super::{Config, Feed, Job, failure::Failure};

/// Runs one session with the camera; returns why it has ended. `connects` limits how many connect
/// at once.
pub(super) async fn run(
    config: &Config,
    connects: &Semaphore,
    job: &Job,
    feed: &mut Feed,
) -> Failure {
    match &job.work.source {
        CameraSource::Pull { url, transport, .. } => {
            let session = rtsp::Session {
                config,
                connects,
                url,
                transport: *transport,
                credentials: job.work.credentials.as_ref(),
            };
            session.run(feed).await
        }
        CameraSource::Publish | CameraSource::File { .. } => Failure::Internal,
    }
}
