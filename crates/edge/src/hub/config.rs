//! The section `[edge.hub]` of the configuration.

use std::time::Duration;

use headworks_media::VIDEO_CLOCK;
use serde::Deserialize;

use super::ring::Limits;

/// How streams are buffered and written.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// A stream buffers at most so many frames …
    pub(crate) buffer_frames: usize,
    /// … and so many bytes.
    pub(crate) buffer_bytes: usize,
    /// It buffers at least this much, as far as those allow.
    #[serde(with = "humantime_serde")]
    pub(crate) buffer_past: Duration,
    /// How long frames may wait for more.
    pub(crate) flush: Flush,
    /// Sound waits at most this long for the next picture, so that one write carries both.
    #[serde(with = "humantime_serde")]
    pub(crate) sound_wait: Duration,
    /// A viewer that jumps more often than this within a minute is closed.
    pub(crate) viewer_jumps: u32,
    /// A viewer that takes nothing for this long is closed.
    #[serde(with = "humantime_serde")]
    pub(crate) viewer_stall: Duration,
    /// How many tasks write to viewers; 0: one for each processor.
    pub(crate) shards: usize,
    /// A viewer waits at most this long for a camera's first picture.
    #[serde(with = "humantime_serde")]
    pub(crate) picture_wait: Duration,
    /// HLS.
    pub(crate) hls: HlsConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            buffer_frames: 4096,
            buffer_bytes: 32 << 20,
            buffer_past: Duration::from_secs(4),
            flush: Flush::default(),
            sound_wait: Duration::from_millis(40),
            viewer_jumps: 10,
            viewer_stall: Duration::from_secs(15),
            shards: 0,
            picture_wait: Duration::from_secs(15),
            hls: HlsConfig::default(),
        }
    }
}

impl Config {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            frames: self.buffer_frames.max(1),
            bytes: self.buffer_bytes,
            past: i64::from(ticks(self.buffer_past)),
        }
    }
}

/// How long a frame may wait for the next one, so that one write carries both. 0: not at all.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Flush {
    /// FLV over HTTP and in a WebSocket.
    #[serde(with = "humantime_serde")]
    pub(crate) flv: Duration,
    /// RTMP and its relatives.
    #[serde(with = "humantime_serde")]
    pub(crate) rtmp: Duration,
    /// MPEG-TS over HTTP.
    #[serde(with = "humantime_serde")]
    pub(crate) ts: Duration,
    /// RTSP, both transports.
    #[serde(with = "humantime_serde")]
    pub(crate) rtsp: Duration,
}

/// How streams are cut for HLS.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HlsConfig {
    /// Segments are at least this long where key frames allow it.
    #[serde(with = "humantime_serde")]
    pub(crate) segment: Duration,
    /// A longer one is cut between key frames.
    #[serde(with = "humantime_serde")]
    pub(crate) segment_longest: Duration,
    /// How many segments a playlist lists.
    pub(crate) segments: usize,
    /// About how long parts are, for low latency; 0: no parts.
    #[serde(with = "humantime_serde")]
    pub(crate) part: Duration,
    /// A stream is no longer cut when nobody has asked for this long.
    #[serde(with = "humantime_serde")]
    pub(crate) idle: Duration,
}

impl Default for HlsConfig {
    fn default() -> Self {
        Self {
            segment: Duration::from_secs(2),
            segment_longest: Duration::from_secs(10),
            segments: 8,
            part: Duration::from_millis(250),
            idle: Duration::from_secs(20),
        }
    }
}

impl HlsConfig {
    pub(super) fn segmenter(&self) -> headworks_hls::Config {
        headworks_hls::Config {
            segment: ticks(self.segment),
            longest: ticks(self.segment_longest),
            listed: self.segments,
            part: (!self.part.is_zero()).then(|| ticks(self.part)),
            limits: headworks_hls::Limits::default(),
        }
    }
}

fn ticks(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis() * u128::from(VIDEO_CLOCK / 1000)).unwrap_or(u32::MAX)
}
