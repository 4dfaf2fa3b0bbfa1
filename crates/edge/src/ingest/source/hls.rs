//! HLS as a source (RFC 8216): fetched, demuxed and paced by three parts that run side by side.
//!
//! The URL may hold what nobody else should know, so FFmpeg never gets it: we fetch everything
//! ourselves. Segments of MPEG-TS are understood here; fragmented MP4 goes through FFmpeg, which
//! makes MPEG-TS of it. Segments come at once and are given away in real time.

mod demux;
mod fetch;
mod pace;

use std::pin::pin;

use bytes::Bytes;
use headworks_bootstrap::Clock;
use headworks_media::Demuxed;
use headworks_types::Credentials;
use tokio::sync::mpsc;
use url::Url;

use crate::{
    ffmpeg::Ffmpeg,
    ingest::{Config, Feed, failure::Failure},
    outbound::Gate,
    turns::Turns,
};
use fetch::Fetcher;

/// Segments that are fetched ahead.
const AHEAD: usize = 1;

/// Frames that wait for their time.
const FRAMES: usize = 256;

/// What a session needs to know.
pub(super) struct Session<'a> {
    pub(super) config: &'a Config,
    pub(super) clock: &'a Clock,
    pub(super) connects: &'a Turns,
    pub(super) gate: &'a Gate,
    pub(super) ffmpeg: &'a Ffmpeg,
    pub(super) url: &'a Url,
    pub(super) tls_verify: bool,
    pub(super) credentials: Option<&'a Credentials>,
}

/// A segment.
#[derive(Debug)]
struct Piece {
    /// It does not go on from the one before.
    starts_anew: bool,
    /// What its fragmented MP4 begins with; none: it is MPEG-TS.
    init: Option<Bytes>,
    bytes: Bytes,
}

/// What is to be shown.
#[derive(Debug)]
enum Item {
    /// What follows does not go on from what was before.
    Begin,
    Found(Demuxed),
}

impl Session<'_> {
    /// Gives `feed` what comes, until the session fails or the stream ends.
    pub(super) async fn run(&self, feed: &mut Feed) -> Failure {
        let limit = self.config.connect_timeout;
        let fetcher = match Fetcher::new(
            self.gate,
            self.url,
            self.credentials,
            self.tls_verify,
            limit,
        ) {
            Ok(fetcher) => fetcher,
            Err(failure) => return failure,
        };
        // The playlist of variants, and that of one.
        let attempt = self.connects.attempt(2 * limit, fetcher.open(self.url));
        let media = match attempt.await.unwrap_or(Err(Failure::Timeout(limit))) {
            Ok(media) => media,
            Err(failure) => return failure,
        };
        feed.begin("HLS");
        let (pieces, fetched) = mpsc::channel(AHEAD);
        let (items, found) = mpsc::channel(FRAMES);
        let fetch = fetcher.follow(media, self.clock, pieces);
        let demux = demux::run(self.ffmpeg, fetched, items);
        let mut work = pin!(async { tokio::join!(fetch, demux) });
        let mut show = pin!(pace::run(found, self.clock, feed));
        let mut worked = None;
        loop {
            tokio::select! {
                done = &mut work, if worked.is_none() => worked = Some(done),
                shown = &mut show => {
                    if let Err(failure) = shown {
                        return failure;
                    }
                    break;
                }
            }
        }
        // Everything is shown, so that the others are done or about to be.
        let (fetched, demuxed) = match worked {
            Some(done) => done,
            None => work.await,
        };
        demuxed.err().or(fetched.err()).unwrap_or(Failure::Ended)
    }
}
