//! The section `[edge.pull]` of the configuration.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use crate::{ffmpeg, outbound::Outbound};

/// How cameras are pulled.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Connection attempts that may be under way at once.
    pub(crate) connects: usize,
    /// From the first packet to the answer to PLAY.
    #[serde(with = "humantime_serde")]
    pub(crate) connect_timeout: Duration,
    /// A camera that gives no picture for this long has failed.
    #[serde(with = "humantime_serde")]
    pub(crate) video_timeout: Duration,
    /// The wait before the first new attempt; doubles with each.
    #[serde(with = "humantime_serde")]
    pub(crate) retry_min: Duration,
    /// The longest wait between attempts.
    #[serde(with = "humantime_serde")]
    pub(crate) retry_max: Duration,
    /// An on-demand camera is left alone when nobody has watched for this long.
    #[serde(with = "humantime_serde")]
    pub(crate) idle: Duration,
    /// When a publisher has been away for this long, its last pictures are forgotten.
    #[serde(with = "humantime_serde")]
    pub(crate) publisher_grace: Duration,
    /// The directory below which files may be played; none if absent.
    pub(crate) files: Option<PathBuf>,
    /// Where it may connect to, which has a section of its own.
    #[serde(skip)]
    pub(crate) outbound: Outbound,
    /// FFmpeg, which has a section of its own.
    #[serde(skip)]
    pub(crate) ffmpeg: ffmpeg::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connects: 16,
            connect_timeout: Duration::from_secs(10),
            video_timeout: Duration::from_secs(10),
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(8),
            idle: Duration::from_secs(20),
            publisher_grace: Duration::from_secs(10),
            files: None,
            outbound: Outbound::default(),
            ffmpeg: ffmpeg::Config::default(),
        }
    }
}
