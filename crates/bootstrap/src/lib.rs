//! What each program does first: config, telemetry, private files, limits, signals, task tracking, accepting
//! and counting connections, TLS of listeners, who is behind a proxy, clock.
//!
//! Nothing here knows of cameras. Main functions call [`config::load`], [`telemetry::init`] and
//! [`signal::Signals::listen`] in this order, make one [`Clock`] and one [`Tasks`], and hand them down.

mod accept;
mod bind;
mod clock;
pub mod config;
pub mod file;
pub mod limit;
pub mod network;
mod per_address;
mod proxy;
mod seldom;
pub mod signal;
mod subnet;
mod tasks;
pub mod telemetry;
pub mod tls;
pub mod visitors;

pub use accept::accept;
pub use bind::bind;
pub use clock::Clock;
pub use per_address::PerAddress;
pub use proxy::TrustedProxies;
pub use seldom::Seldom;
pub use subnet::subnet;
pub use tasks::Tasks;
pub use visitors::Visitors;
