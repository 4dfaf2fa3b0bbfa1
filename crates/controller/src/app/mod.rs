//! Use cases: each authorises, changes rows and appends the event in one transaction, commits, and
//! wakes who has to act on it.

pub(crate) mod access;
pub(crate) mod api_key;
pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod bootstrap;
pub(crate) mod caller;
pub(crate) mod camera;
pub(crate) mod camera_bulk;
pub(crate) mod camera_group;
pub(crate) mod camera_playback;
pub(crate) mod cluster;
pub(crate) mod edge;
mod error;
pub(crate) mod explain;
pub(crate) mod grant;
pub(crate) mod join_token;
pub(crate) mod node;
pub(crate) mod once;
pub(crate) mod plan;
pub(crate) mod playback_key;
pub(crate) mod playback_token;
pub(crate) mod project;
pub(crate) mod reseal;
pub(crate) mod restream;
pub(crate) mod revocation;
pub(crate) mod role;
pub(crate) mod session;
pub(crate) mod signing_key;
pub(crate) mod slot;
pub(crate) mod stream_key;
pub(crate) mod user;
pub(crate) mod user_group;
mod version;
mod visitor;

pub(crate) use access::Sight;
pub(crate) use caller::{Caller, Identity, Origin, Reach, Scope};
pub(crate) use error::{Error, Result};
pub(crate) use once::{Begun, Once};
pub(crate) use version::{Expected, Versioned};
