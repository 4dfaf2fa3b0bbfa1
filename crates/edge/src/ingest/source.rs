//! The protocols by which cameras are pulled: one session each, from connecting to its end.

pub(crate) mod dial;
mod file;
mod flv;
mod hls;
mod rtmp;
mod rtsp;
mod transport;

use headworks_types::{CameraSource, PullProtocol};

use super::{Config, Feed, Job, failure::Failure};
use crate::{ffmpeg::Ffmpeg, turns::Turns};

/// Runs one session with the camera; returns why it has ended. `connects` limits how many connect
/// at once.
pub(super) async fn run(
    config: &Config,
    connects: &Turns,
    ffmpeg: &Ffmpeg,
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
        return other(config, ffmpeg, &job.work.source, feed).await;
    };
    let (transport, tls_verify) = (*transport, *tls_verify);
    let credentials = job.work.credentials.as_ref();
    let gate = &config.outbound.gate(&job.work.outbound_allow);
    // Futures that are large and rare are boxed: other cameras need not have room for them.
    match PullProtocol::new(url, *format) {
        Some(PullProtocol::Rtsp) => {
            let session = rtsp::Session {
                config,
                clock: &feed.clock().clone(),
                connects,
                gate,
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
                gate,
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
                gate,
                url,
                tls_verify,
                credentials,
            };
            session.run(feed).await
        }
        Some(PullProtocol::Hls) => {
            let session = hls::Session {
                config,
                clock: &feed.clock().clone(),
                connects,
                gate,
                ffmpeg,
                url,
                tls_verify,
                credentials,
            };
            Box::pin(session.run(feed)).await
        }
        None => Failure::Internal,
    }
}

/// What is not behind a URL.
async fn other(
    config: &Config,
    ffmpeg: &Ffmpeg,
    source: &CameraSource,
    feed: &mut Feed,
) -> Failure {
    match source {
        CameraSource::File { path } => {
            let session = file::Session {
                config,
                ffmpeg,
                path,
            };
            Box::pin(session.run(feed)).await
        }
        // A published camera has a seat, and a pulled one was handled before.
        CameraSource::Publish | CameraSource::Pull { .. } => Failure::Internal,
    }
}
