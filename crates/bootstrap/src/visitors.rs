//! How many connections one address may have: nobody takes all places of a listener alone.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OwnedSemaphorePermit;

use crate::{Clock, PerAddress, TrustedProxies, subnet};

/// Counts connections by the address that they come from. Clones count together.
#[derive(Clone)]
pub struct Visitors(Arc<Inner>);

struct Inner {
    limit: usize,
    /// Who comes for many, and is not counted.
    proxies: TrustedProxies,
    /// Has only addresses with connections, so that it is no longer than there are connections.
    visits: Mutex<HashMap<IpAddr, usize>>,
    refused: PerAddress,
}

/// One connection, counted until it is dropped.
pub struct Visit {
    visitors: Visitors,
    /// Absent of one that is not counted.
    from: Option<IpAddr>,
}

/// Who is behind the proxy at the other end of a connection: counted in its stead, as each request
/// says, until the connection ends. Clones are of the same connection.
#[derive(Clone)]
pub struct Behind {
    visitors: Visitors,
    now: Arc<Mutex<Option<(IpAddr, Visit)>>>,
}

/// A connection's place among those that a listener takes, free again when it is dropped.
pub struct Place {
    _taken: Option<(OwnedSemaphorePermit, Visit)>,
    _behind: Option<Behind>,
}

impl Visitors {
    /// So many from each address, and any number from each of these proxies: who is behind them is
    /// counted by [`Visitors::behind`].
    #[must_use]
    pub fn new(limit: usize, proxies: TrustedProxies, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            limit,
            proxies,
            visits: Mutex::default(),
            refused: PerAddress::new(clock),
        }))
    }

    /// Who comes through `peer`: see [`TrustedProxies::client`].
    #[must_use]
    pub fn client<'a>(
        &self,
        peer: IpAddr,
        forwarded: impl DoubleEndedIterator<Item = &'a [u8]>,
    ) -> IpAddr {
        self.0.proxies.client(peer, forwarded)
    }

    /// One more from `address`; `None` if it has as many as it may, which is logged.
    #[must_use]
    pub fn enter(&self, address: IpAddr) -> Option<Visit> {
        let visit = self.try_enter(address);
        if visit.is_none()
            && let Some(times) = self.0.refused.count(address)
        {
            tracing::warn!(
                %address, times, limit = self.0.limit,
                "connections refused: their address has as many as connections_per_address allows"
            );
        }
        visit
    }

    /// For a connection from `peer`, if that is a trusted proxy and so is not counted itself.
    #[must_use]
    pub fn behind(&self, peer: IpAddr) -> Option<Behind> {
        self.0.proxies.trust(peer).then(|| Behind {
            visitors: self.clone(),
            now: Arc::default(),
        })
    }

    fn try_enter(&self, address: IpAddr) -> Option<Visit> {
        if self.0.proxies.trust(address) {
            return Some(Visit {
                visitors: self.clone(),
                from: None,
            });
        }
        let from = subnet(address);
        let mut visits = self.visits();
        let count = visits.get(&from).copied().unwrap_or_default();
        if count >= self.0.limit {
            return None;
        }
        visits.insert(from, count + 1);
        Some(Visit {
            visitors: self.clone(),
            from: Some(from),
        })
    }

    fn visits(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.visits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let Some(from) = self.from else {
            return;
        };
        let mut visits = self.visitors.visits();
        if let Some(count) = visits.get_mut(&from) {
            *count -= 1;
            if *count == 0 {
                visits.remove(&from);
            }
        }
    }
}

impl Behind {
    /// The connection is this client's from now on; false if the client has as many as it may, and
    /// the connection is still whose it was.
    #[must_use]
    pub fn is_of(&self, client: IpAddr) -> bool {
        let client = subnet(client);
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.as_ref().is_some_and(|(counted, _)| *counted == client) {
            return true;
        }
        let visit = self.visitors.enter(client);
        let entered = visit.is_some();
        if let Some(visit) = visit {
            *now = Some((client, visit));
        }
        entered
    }
}

impl Place {
    /// A place of a listener, taken by somebody who is counted.
    #[must_use]
    pub fn new(listener: OwnedSemaphorePermit, visit: Visit) -> Self {
        Self {
            _taken: Some((listener, visit)),
            _behind: None,
        }
    }

    /// The same place, which also keeps count of who is behind the proxy that has it.
    #[must_use]
    pub fn with(self, behind: Option<Behind>) -> Self {
        Self {
            _behind: behind,
            ..self
        }
    }

    /// Of a connection inside of another one, which holds the place.
    #[must_use]
    pub fn of_another() -> Self {
        Self {
            _taken: None,
            _behind: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_count_and_leaves_nothing_behind() {
        let visitors = Visitors::new(2, TrustedProxies::default(), Clock::system());
        let enter = |text: &str| visitors.enter(text.parse().expect("an address"));
        let first = enter("192.0.2.1").expect("there is room");
        let second = enter("::ffff:192.0.2.1").expect("there is room");
        assert!(enter("192.0.2.1").is_none());
        let neighbours = [enter("2001:db8::1"), enter("2001:db8::2:1")];
        assert!(neighbours.iter().all(Option::is_some));
        assert!(enter("2001:db8::3").is_none());
        assert!(enter("2001:db8:0:1::1").is_some(), "another network");
        drop(first);
        let third = enter("192.0.2.1").expect("there is room again");
        drop((second, third, neighbours));
        assert!(visitors.visits().is_empty());
    }

    #[test]
    fn who_comes_through_a_proxy_is_counted_in_its_stead() {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let proxies: TrustedProxies = serde_json::from_value("10.0.0.0/8".into()).expect("parses");
        let visitors = Visitors::new(1, proxies, Clock::system());
        let proxy = address("10.0.0.1");
        let behind = || visitors.behind(proxy).expect("is a proxy");
        assert!(
            visitors.behind(address("192.0.2.1")).is_none(),
            "is counted"
        );
        let (first, second) = (behind(), behind());
        assert!(first.is_of(address("192.0.2.1")));
        assert!(first.is_of(address("192.0.2.1")), "the same connection");
        assert!(!second.is_of(address("192.0.2.1")));
        assert!(second.is_of(address("192.0.2.2")));
        assert!(
            first.is_of(address("192.0.2.3")),
            "the connection is another's"
        );
        assert!(second.is_of(address("192.0.2.1")), "there is room again");
        // The proxy asks in its own name, as often as it likes.
        assert!(first.is_of(proxy) && second.is_of(proxy));
        assert!(visitors.visits().is_empty());
    }
}
