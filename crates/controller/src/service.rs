//! The running controller.

use std::net::SocketAddr;

use headworks_bootstrap::Tasks;
use headworks_types::Secret;

use crate::Config;

/// A running controller.
pub struct Service {}

impl Service {
    /// Starts it.
    pub async fn start(_config: Config, _tasks: Tasks) -> anyhow::Result<Self> {
        anyhow::bail!("being written")
    }
    /// Its address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        SocketAddr::from(([0, 0, 0, 0], 0))
    }
    /// Admin key.
    #[must_use]
    pub fn admin_key(&self) -> Option<Secret> {
        None
    }
    /// Join token.
    pub async fn join_token(&self) -> anyhow::Result<Secret> {
        anyhow::bail!("being written")
    }
}
