//! The controller: HTTP, use cases, SQL, reconcilers.
//!
//! `http` parses and answers, `app` decides and writes, `db` holds the SQL, `reconcile` makes the
//! database's observed state follow its desired state. Committed rows are the only side effect: a
//! controller never calls an edge. Any number of controllers may run on one database.

mod app;
mod config;
mod credential;
mod database;
mod db;
mod http;
mod keys;
mod password;
mod pki;
mod pointer;
mod reconcile;
mod service;
mod state;
mod zone;

pub use app::reseal::{Resealed, reseal};
pub use config::{Config, OidcConfig};
pub use http::{RateLimitConfig, edge_openapi, openapi};
pub use service::Service;
pub use zone::Zones;
