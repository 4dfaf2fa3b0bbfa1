//! The section `[edge.restream]` of the configuration.

use std::time::Duration;

use serde::Deserialize;

use crate::outbound::Outbound;

/// How cameras are pushed to other people's servers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Connection attempts that may be under way at once.
    pub(crate) connects: usize,
    /// From the first packet to the target's consent.
    #[serde(with = "humantime_serde")]
    pub(crate) connect_timeout: Duration,
    /// A target that takes nothing for this long is given up.
    #[serde(with = "humantime_serde")]
    pub(crate) stall: Duration,
    /// A connection that jumps to a key frame more often than this within a minute is given up.
    pub(crate) jumps: u32,
    /// The wait before the first new attempt; doubles with each.
    #[serde(with = "humantime_serde")]
    pub(crate) retry_min: Duration,
    /// The longest wait between attempts.
    #[serde(with = "humantime_serde")]
    pub(crate) retry_max: Duration,
    /// A connection is kept for this long while the camera gives no picture.
    #[serde(with = "humantime_serde")]
    pub(crate) camera_grace: Duration,
    /// Where it may connect to, which has a section of its own.
    #[serde(skip)]
    pub(crate) outbound: Outbound,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connects: 16,
            connect_timeout: Duration::from_secs(10),
            stall: Duration::from_secs(10),
            jumps: 5,
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(30),
            camera_grace: Duration::from_secs(15),
            outbound: Outbound::default(),
        }
    }
}
