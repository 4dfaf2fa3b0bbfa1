//! Headworks as its users have it: the real binary on a real PostgreSQL, with real cameras and
//! foreign players. A test that could be a unit test does not belong here.

mod away;
mod camera;
mod cluster;
mod database;
mod drain;
mod hls;
mod interop;
mod lifecycle;
mod limit;
mod operator;
mod parts;
mod playback;
mod pooled;
mod publish;
mod relay;
mod restream;
mod scene;
mod secret;
mod session;
mod sign;
mod signing_key;
mod tls;
mod watched;
