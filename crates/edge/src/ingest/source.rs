//! The protocols by which cameras are pulled: one session each, from connecting to its end.

mod rtsp;
pub(crate) mod tls;

use headworks_bootstrap::Clock;
use headworks_types::CameraSource;
use tokio::sync::Semaphore;

use super::{Config, Feed, Job, failure::Failure};

/// Runs one session with the camera; returns why it has ended. `connects` limits how many connect
/// at once.
pub(super) async fn run(
    config: &Config,
    clock: &Clock,
    connects: &Semaphore,
    job: &Job,
    feed: &mut Feed,
) -> Failure {
    match &job.work.source {
        CameraSource::Pull {
            url,
            transport,
            tls_verify,
            ..
        } => {
            let session = rtsp::Session {
                config,
                clock,
                connects,
                url,
                transport: *transport,
                tls_verify: *tls_verify,
                credentials: job.work.credentials.as_ref(),
            };
            session.run(feed).await
        }
        CameraSource::Publish | CameraSource::File { .. } => Failure::Internal,
    }
}
