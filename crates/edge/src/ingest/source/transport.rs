//! MPEG-TS on its way into the feed.

use headworks_media::{Demuxed, Error, ts::Demuxer};
use tokio::{io::AsyncReadExt as _, process::ChildStdout, time::timeout_at};

use crate::ingest::{Feed, failure::Failure};

/// Gives `feed` what a child writes, until it has written everything. Fails if that shows nothing,
/// or nothing more for too long.
pub(super) async fn play(output: &mut ChildStdout, feed: &mut Feed) -> Result<(), Failure> {
    let mut demuxer = Demuxer::default();
    let mut buffer = vec![0; 64 << 10];
    let mut has_pictures = false;
    let mut is_open = true;
    while is_open {
        match timeout_at(feed.deadline(), output.read(&mut buffer)).await {
            Ok(Ok(count @ 1..)) => demuxer.push(&buffer[..count]),
            Ok(Ok(0) | Err(_)) => {
                demuxer.finish();
                is_open = false;
            }
            Err(_) => {}
        }
        take(&mut demuxer, |found| {
            has_pictures |= matches!(found, Demuxed::Video { .. });
            feed.take(found);
        })?;
        feed.flush();
        feed.check()?;
    }
    if has_pictures {
        Ok(())
    } else {
        Err(Failure::NoVideoTrack)
    }
}

/// Takes everything that the demuxer has found. What it cannot understand is left out, except if
/// it is the picture or no MPEG-TS at all.
pub(super) fn take(demuxer: &mut Demuxer, mut give: impl FnMut(Demuxed)) -> Result<(), Failure> {
    while let Some(found) = demuxer.poll() {
        match found {
            Ok(found) => give(found),
            Err(Error::UnsupportedCodec { track, codec }) => {
                if track == headworks_media::TrackKind::Video {
                    return Err(Failure::Codec(codec.to_owned()));
                }
                tracing::debug!(codec, "this sound is left out");
            }
            Err(error @ Error::Malformed { .. }) => {
                return Err(Failure::Protocol(error.to_string()));
            }
            Err(error) => tracing::debug!(%error, "left out"),
        }
    }
    Ok(())
}
