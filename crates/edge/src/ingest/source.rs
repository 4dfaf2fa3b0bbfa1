//! The protocols by which cameras are pulled: one session each, from connecting to its end.

mod dial;
mod flv;
mod rtmp;
mod rtsp;

use headworks_types::{CameraSource, PullProtocol};
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
    let CameraSource::Pull {
        url,
        transport,
        format,
        tls_verify,
    } = &job.work.source
    else {
        return Failure::Internal;
    };
    let (transport, tls_verify) = (*transport, *tls_verify);
    let credentials = job.work.credentials.as_ref();
    match PullProtocol::new(url, *format) {
        Some(PullProtocol::Rtsp) => {
            let session = rtsp::Session {
                config,
                clock: &feed.clock().clone(),
                connects,
                url,
                transport,
                tls_verify,
                credentials,
            };
            session.run(feed).await
        }
        Some(PullProtocol::Rtmp) => {
            let session = rtmp::Session {
                config,
                connects,
                url,
                tls_verify,
                credentials,
            };
            session.run(feed).await
        }
        Some(PullProtocol::HttpFlv) => {
            let session = flv::Session {
                config,
                connects,
                url,
                tls_verify,
                credentials,
            };
            session.run(feed).await
        }
        Some(PullProtocol::Hls) | None => Failure::Internal,
    }
}
