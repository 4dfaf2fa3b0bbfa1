//! Where the edge may connect to when somebody names a host: cameras that are pulled, and targets
//! of restreams, over every protocol.
//!
//! A host is resolved once. Each address is checked, and the connection goes to a checked address,
//! so that a name which leads elsewhere a moment later (DNS rebinding) leads nowhere. Redirects
//! come here again. What is closed: [`headworks_bootstrap::network`] says. TCP goes through [`Gate::connect`], HTTP
//! through [`Gate::client`] and [`Gate::check`].

mod config;
mod http;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod trap;

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures::future::BoxFuture;
use headworks_bootstrap::network;
use headworks_types::Network;
use tokio::net::{TcpStream, lookup_host};
use url::{Host, Url};

pub(crate) use config::Config;
pub(crate) use http::Redirect;

/// How names become addresses.
pub(crate) trait Resolve: Send + Sync {
    /// All addresses of the host, in the order in which they are to be tried.
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// As this machine resolves names.
struct System;

impl Resolve for System {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// What this edge may connect to. Clones are the same.
#[derive(Clone)]
pub(crate) struct Outbound {
    config: Arc<Config>,
    resolver: Arc<dyn Resolve>,
}

/// What one project may connect to from here.
#[derive(Clone)]
pub(crate) struct Gate {
    outbound: Outbound,
    /// Opened for the project by the cluster's administrators.
    project: Arc<[Network]>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("host name does not resolve")]
    Unresolved,
    #[error(transparent)]
    Closed(#[from] Closed),
    #[error(transparent)]
    Io(io::Error),
}

/// An address that nobody may be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{address} is closed to us ({why}); edge.outbound.allow opens it")]
pub(crate) struct Closed {
    address: IpAddr,
    why: &'static str,
}

impl Default for Outbound {
    fn default() -> Self {
        Self::new(Config::default())
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

impl Outbound {
    /// By these lists, and by the names of this machine.
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config: Arc::new(config),
            resolver: Arc::new(System),
        }
    }

    /// With what is open to the project besides.
    pub(crate) fn gate(&self, project: &[Network]) -> Gate {
        Gate {
            outbound: self.clone(),
            project: project.into(),
        }
    }
}

impl Gate {
    /// The open addresses of the host; never none.
    ///
    /// # Errors
    /// If it has no address, or none that is open.
    pub(crate) async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Error> {
        // As URLs write IPv6 addresses.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let found = match host.parse() {
            Ok(address) => vec![address],
            Err(_) => {
                let found = self.outbound.resolver.resolve(host).await;
                found.map_err(|_| Error::Unresolved)?
            }
        };
        let mut closed = None;
        let mut open = Vec::new();
        for address in found {
            match self.judge(address) {
                Ok(()) => open.push(address),
                Err(error) => closed = Some(error),
            }
        }
        match closed {
            Some(closed) if open.is_empty() => Err(closed.into()),
            None if open.is_empty() => Err(Error::Unresolved),
            _ => Ok(open),
        }
    }

    /// Connects to the first open address of the host that answers. `may` is asked before each.
    ///
    /// # Errors
    /// If none is open, or none answers; `None` if it may not go on.
    pub(crate) async fn connect(
        &self,
        host: &str,
        port: u16,
        may: impl Fn() -> bool,
    ) -> Result<Option<TcpStream>, Error> {
        let mut failure = Error::Unresolved;
        for address in self.resolve(host).await? {
            if !may() {
                return Ok(None);
            }
            match TcpStream::connect(SocketAddr::new(address, port)).await {
                Ok(socket) => {
                    // Failing only costs delay.
                    let _ = socket.set_nodelay(true);
                    return Ok(Some(socket));
                }
                Err(error) => failure = Error::Io(error),
            }
        }
        Err(failure)
    }

    /// Checks an address that stands in a URL, which nobody resolves. A name passes: it is checked
    /// when it is resolved.
    pub(crate) fn check(&self, url: &Url) -> Result<(), Closed> {
        match url.host() {
            Some(Host::Ipv4(address)) => self.judge(address.into()),
            Some(Host::Ipv6(address)) => self.judge(address.into()),
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }

    /// The machine's own lists come first; then what the project may, then what is closed to all.
    fn judge(&self, address: IpAddr) -> Result<(), Closed> {
        let config = &self.outbound.config;
        // An IPv6 address may stand for an IPv4 one, which is where it leads.
        let forms = || std::iter::once(address.to_canonical()).chain(network::embedded(address));
        let is_in = |list: &[Network]| {
            forms().any(|form| list.iter().any(|network| network.contains(form)))
        };
        let closed = |why| Closed { address, why };
        if config.allow.as_deref().is_some_and(is_in) {
            return Ok(());
        }
        if is_in(&config.deny) {
            return Err(closed("edge.outbound.deny"));
        }
        if is_in(&self.project) {
            return Ok(());
        }
        match forms().find_map(network::closed) {
            Some(why) => Err(closed(why)),
            None => Ok(()),
        }
    }
}

/// For tests: an edge that may connect to its own machine.
#[cfg(test)]
pub(crate) fn testing() -> Outbound {
    let mut config = Config::default();
    config.allow_loopback();
    Outbound::new(config)
}
