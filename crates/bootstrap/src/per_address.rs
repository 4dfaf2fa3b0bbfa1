//! Log lines that strangers cause: seldom for each address, with a count.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{Clock, Seldom, subnet};

/// For how long one address is not mentioned again.
const EVERY: Duration = Duration::from_secs(60);

/// So many addresses are known at once; of more nothing is said for the moment.
const MOST: usize = 1024;

/// Counts what addresses do, so that each of them is mentioned once a minute at most. Clones count
/// together.
#[derive(Clone)]
pub struct PerAddress {
    clock: Clock,
    seen: Arc<Mutex<HashMap<IpAddr, Seldom>>>,
}

impl PerAddress {
    /// Nobody has done anything yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            seen: Arc::default(),
        }
    }

    /// `address` does it again. If that is to be said: how often it did since it was mentioned last.
    #[must_use]
    pub fn count(&self, address: IpAddr) -> Option<u64> {
        let now = self.clock.monotonic();
        let from = subnet(address);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST && !seen.contains_key(&from) {
            seen.retain(|_, seldom| !seldom.is_due(now));
            if seen.len() >= MOST {
                return None;
            }
        }
        let seldom = seen.entry(from).or_insert_with(|| Seldom::new(EVERY));
        seldom.count(now)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use chrono::DateTime;

    use super::*;

    #[tokio::test]
    async fn an_address_is_mentioned_once_a_minute_and_memory_is_bounded() {
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let counted = PerAddress::new(clock.clone());
        let address = |number: u32| IpAddr::from(Ipv4Addr::from_bits(number));
        assert_eq!(counted.count(address(1)), Some(1));
        assert_eq!(counted.count(address(1)), None);
        assert_eq!(counted.count(address(2)), Some(1));
        clock.advance(EVERY);
        assert_eq!(counted.count(address(1)), Some(2));
        for number in 0..2 * MOST as u32 {
            let _ = counted.count(address(number));
        }
        let seen = || counted.seen.lock().expect("is not poisoned").len();
        assert_eq!(seen(), MOST);
        clock.advance(EVERY);
        assert_eq!(counted.count(address(u32::MAX)), Some(1));
        assert_eq!(seen(), 1);
    }
}
