//! The section `[edge.relay]` of the configuration.

use std::time::Duration;

use serde::Deserialize;

/// How cameras are had from other edges.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// A camera is no longer had from another edge when nobody has wanted it for this long.
    #[serde(with = "humantime_serde")]
    pub(crate) idle: Duration,
    /// Nobody has to know these; tests are in a hurry, or not.
    #[serde(skip)]
    pub(super) pace: Pace,
}

/// How long everything takes at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// An edge that says nothing for this long is gone.
    pub(super) silence: Duration,
    /// From the first packet to an edge to its answer.
    pub(super) connect: Duration,
    /// One that has not answered after this is not waited for alone.
    pub(super) stagger: Duration,
    /// One that is closer is taken when it has been well for this long; and one that has failed is
    /// asked again after this.
    pub(super) back: Duration,
    /// One that has the camera from nobody and gives nothing for this long is of no use.
    pub(super) hungry: Duration,
    /// An edge that was asked for frames gives the first one within this.
    pub(super) first_frame: Duration,
    /// Waits while nobody gives the camera.
    pub(super) retry_min: Duration,
    pub(super) retry_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(20),
            pace: Pace::default(),
        }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            silence: Duration::from_millis(750),
            connect: Duration::from_secs(3),
            stagger: Duration::from_millis(400),
            back: Duration::from_secs(10),
            hungry: Duration::from_secs(2),
            first_frame: Duration::from_secs(15),
            retry_min: Duration::from_millis(250),
            retry_max: Duration::from_secs(2),
        }
    }
}
