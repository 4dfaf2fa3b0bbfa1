//! The controller over HTTP, on a real PostgreSQL.

mod access;
mod api_key;
mod bulk;
mod camera;
mod edge;
mod edge_cluster;
mod event;
mod grant;
mod harness;
mod idempotency;
mod node;
mod openapi;
mod planner;
mod playback_key;
mod playback_token;
mod problem;
mod project;
mod publish;
mod restream;
mod restream_edge;
mod restream_import;
mod session;
mod start;
mod stream_key;
mod user;
