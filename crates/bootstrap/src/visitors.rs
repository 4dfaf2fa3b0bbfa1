//! How many connections one address may have: nobody takes all places of a listener alone.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OwnedSemaphorePermit;

use crate::{
    Clock, TrustedProxies,
    per_address::{PerAddress, network},
};

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

/// A connection's place among those that a listener takes, free again when it is dropped.
pub struct Place {
    _taken: Option<(OwnedSemaphorePermit, Visit)>,
}

impl Visitors {
    /// So many from each address, and any number from each of these proxies.
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

    fn try_enter(&self, address: IpAddr) -> Option<Visit> {
        if self.0.proxies.trust(address) {
            return Some(Visit {
                visitors: self.clone(),
                from: None,
            });
        }
        let from = network(address);
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

impl Place {
    /// A place of a listener, taken by somebody who is counted.
    #[must_use]
    pub fn new(listener: OwnedSemaphorePermit, visit: Visit) -> Self {
        Self {
            _taken: Some((listener, visit)),
        }
    }

    /// Of a connection inside of another one, which holds the place.
    #[must_use]
    pub fn of_another() -> Self {
        Self { _taken: None }
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
}
