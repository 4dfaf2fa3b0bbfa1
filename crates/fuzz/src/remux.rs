//! What a publisher over RTMP can do to every output: bodies of FLV go through the time line into
//! FLV, MPEG-TS, RTP and HLS.

use std::sync::Arc;

use bytes::Bytes;
use headworks_hls::{Config, Flavor, Limits, Segmenter, multivariant};
use headworks_media::{
    AudioParameters, Demuxed, Frame, Timeline, TrackKind, Tracks,
    flv::{self, Demuxer},
    ts,
};
use headworks_rtp::{MAX_PACKET, Outgoing};

use crate::flv::{body_seeds, each_body};

pub(crate) fn run(bytes: &[u8]) {
    let (mut demuxer, mut outputs) = (Demuxer::default(), Outputs::default());
    each_body(bytes, |kind, timestamp, body| {
        let _ = demuxer.push(kind, timestamp, body);
        while let Some(found) = demuxer.poll() {
            outputs.take(found);
        }
    });
    demuxer.finish();
    while let Some(found) = demuxer.poll() {
        outputs.take(found);
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    body_seeds()
}

/// The hub's part, and all packagers.
#[derive(Debug, Default)]
struct Outputs {
    timeline: Timeline,
    stream: Option<Stream>,
    /// Decoding times of pictures and of sound, which have to rise.
    last: [Option<i64>; 2],
}

#[derive(Debug)]
struct Stream {
    tracks: Arc<Tracks>,
    has_key: bool,
    /// Not of AV1.
    ts: Option<ts::Muxer>,
    hls: Option<Segmenter>,
}

impl Outputs {
    fn take(&mut self, found: Demuxed) {
        match found {
            Demuxed::Tracks(tracks) => self.tracks(tracks),
            Demuxed::Video {
                dts,
                pts,
                key,
                payload,
            } => {
                let stream = self.stream.as_mut().expect("tracks come first");
                stream.has_key |= key;
                if !stream.has_key {
                    return;
                }
                let stamp = self.timeline.video_with_dts(dts, pts);
                self.write(Frame {
                    track: TrackKind::Video,
                    dts: stamp.dts,
                    pts: stamp.pts,
                    key,
                    payload,
                });
            }
            Demuxed::Audio {
                timestamp,
                length,
                payload,
            } => self.sound(timestamp, length, payload),
        }
    }

    fn tracks(&mut self, tracks: Arc<Tracks>) {
        let goes_on = self
            .stream
            .as_ref()
            .is_some_and(|s| tracks.goes_on_from(&s.tracks));
        let depth = tracks.video.reorder_depth();
        if goes_on {
            self.timeline.set_reorder_depth(depth);
        } else {
            let clock = tracks.audio.as_ref().map(AudioParameters::clock_rate);
            self.timeline.restart(depth, clock);
            self.last[1] = None;
        }
        let _ = flv::start(&tracks, 0);
        let config = Config {
            segment: 90_000,
            longest: 360_000,
            listed: 3,
            part: Some(18_000),
            limits: Limits::default(),
        };
        let hls = match self.stream.take().and_then(|stream| stream.hls) {
            Some(mut hls) => hls.restart(Arc::clone(&tracks)).ok().map(|_| hls),
            None => Segmenter::new(config, Arc::clone(&tracks), 0).ok(),
        };
        self.stream = Some(Stream {
            ts: ts::Muxer::new(Tracks::clone(&tracks)).ok(),
            hls,
            tracks,
            has_key: false,
        });
    }

    fn sound(&mut self, timestamp: i64, length: u32, payload: Bytes) {
        if let Some(dts) = self.timeline.audio(timestamp, length) {
            self.write(Frame {
                track: TrackKind::Audio,
                dts,
                pts: dts,
                key: true,
                payload,
            });
        }
    }

    fn write(&mut self, frame: Frame) {
        let last = &mut self.last[usize::from(frame.track == TrackKind::Audio)];
        assert!(
            last.is_none_or(|last| last < frame.dts),
            "{last:?}, then {}",
            frame.dts
        );
        assert!(
            frame.dts <= frame.pts,
            "{} is shown at {}",
            frame.dts,
            frame.pts
        );
        *last = Some(frame.dts);
        let stream = self.stream.as_mut().expect("tracks come first");
        let _ = flv::tag(&frame, &stream.tracks);
        let head = Outgoing {
            ssrc: 1,
            sequence: u16::MAX,
            timestamp_offset: u32::MAX,
        };
        let _ = headworks_rtp::interleaved(&frame, &stream.tracks, MAX_PACKET, head);
        let _ = headworks_rtp::datagrams(&frame, &stream.tracks, 100, head);
        if let Some(ts) = &mut stream.ts {
            assert_eq!(ts.write(&frame).len() % ts::CELL, 0, "whole cells");
        }
        let Some(hls) = &mut stream.hls else { return };
        if hls.push(frame)
            && let Some(window) = hls.window()
        {
            let _ = (
                window.playlist(Flavor::Plain),
                window.playlist(Flavor::Delta),
            );
            let _ = multivariant(window, "media.m3u8");
        }
    }
}
