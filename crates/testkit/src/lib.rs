//! Dev only: what tests, `cargo xtask demo` and the benchmarks run Headworks against.
//!
//! * [`Postgres`]: a throw-away database server.
//! * [`Camera`]: a real IP camera (GStreamer's RTSP server) that can be killed, frozen, restarted.
//! * [`Player`], [`judge`]: foreign decoders (two versions of FFmpeg) that say what they could
//!   decode. An output is judged by these, never by our own parsers alone.
//! * [`Publisher`]: a foreign encoder (FFmpeg) that publishes to us.
//! * [`Browser`]: Chromium with a player of web pages.
//! * [`RtmpServer`] (nginx), [`RtspRecorder`] (GStreamer): somebody else's servers, to push to.
//! * [`PgBouncer`]: a pooler before a database.
//! * [`OidcProvider`]: somebody else's OpenID provider, to sign in with.
//! * [`Headworks`]: the built binary as a process.
//! * [`interop`]: the table of real peers, in both directions.
//! * [`lab`]: sites, controllers and edges in networks of their own, and faults in them.
//! * [`http`]: a minimal client, for what a typed one would not send.
//!
//! Everything blocks, everything has a deadline, and no child outlives the process. An
//! asynchronous test needs `#[tokio::test(flavor = "multi_thread")]` if what it blocks on is
//! served by the same runtime.

mod browser;
mod camera;
mod certificate;
mod deadline;
mod headworks;
pub mod http;
pub mod interop;
pub mod judge;
pub mod lab;
mod oidc_provider;
mod pgbouncer;
mod place;
mod player;
mod process;
mod publisher;
mod recorder;
mod rtmp_server;
pub mod tool;

pub use browser::{Browser, Facts, WebPlayer};
pub use camera::{Audio, Camera, CameraOptions, Login, Scheme, Video};
pub use certificate::Certificate;
pub use deadline::{Deadline, Stopwatch, wait_until};
pub use headworks::{Headworks, Launch, binary};
pub use headworks_postgres::{Options as PostgresOptions, Server as Postgres};
pub use oidc_provider::OidcProvider;
pub use pgbouncer::PgBouncer;
pub use place::Place;
pub use player::{Player, Seen, TrackSeen};
pub use process::{Interrupt, Process, Signal, Stream};
pub use publisher::Publisher;
pub use recorder::RtspRecorder;
pub use rtmp_server::RtmpServer;
