//! The protocols by which cameras are pulled: one session each, from connecting to its end.

mod file;
mod hls;
mod rtsp;
mod tls;
mod transport;

use headworks_bootstrap::Clock;
use headworks_types::{CameraSource, PullProtocol};
use tokio::sync::Semaphore;

use super::{Config, Feed, Job, failure::Failure};
use crate::ffmpeg::Ffmpeg;

/// Runs one session with the camera; returns why it has ended. `connects` limits how many connect
/// at once.
pub(super) async fn run(
    config: &Config,
    clock: &Clock,
    connects: &Semaphore,
    ffmpeg: &Ffmpeg,
    job: &Job,
    feed: &mut Feed,
) -> Failure {
    match &job.work.source {
        CameraSource::Pull {
            url,
            format,
            tls_verify,
            ..
        } if PullProtocol::new(url, *format) == Some(PullProtocol::Hls) => {
            let session = hls::Session {
                config,
                clock,
                connects,
                ffmpeg,
                url,
                tls_verify: *tls_verify,
                credentials: job.work.credentials.as_ref(),
            };
            // Rare, and large: other cameras need not have room for it.
            Box::pin(session.run(feed)).await
        }
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
        CameraSource::File { path } => {
            let session = file::Session {
                config,
                ffmpeg,
                path,
            };
            Box::pin(session.run(feed)).await
        }
        CameraSource::Publish => Failure::Internal,
    }
}
