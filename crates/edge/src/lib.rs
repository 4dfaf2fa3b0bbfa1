//! The edge node: pulls the cameras that the controller gives it, keeps each stream in a hub and
//! serves it to viewers whose playback tokens it checks by itself.
//!
//! Once joined, an edge needs the controller only to learn of changes: desired state, epochs and
//! token keys are on disk, and nothing here asks the controller per packet or per viewer.

mod access;
mod agent;
mod audit;
mod backoff;
mod config;
mod directory;
mod elsewhere;
mod ffmpeg;
#[cfg(fuzzing)]
pub mod fuzzing;
mod http;
mod hub;
mod ingest;
mod jumps;
mod metrics;
mod outbound;
pub mod peer;
mod printable;
mod relay;
mod restream;
mod rtmp;
mod rtsp;
mod secrets;
mod service;
mod session;
mod socket;
mod streams;
#[cfg(test)]
mod testing;
mod tls;
mod turns;
mod udp;
mod viewing;
mod work;

use headworks_bootstrap::visitors;

pub use config::Config;
pub use service::Service;
