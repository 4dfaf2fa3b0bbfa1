//! Slows down who guesses passwords. Failures are counted in the database, so that every replica
//! knows them.
//!
//! Three things are counted: an account from one network, which stops a guesser; a network, which
//! stops who tries one password on many accounts; and an account from everywhere, which slows down
//! a guesser with many addresses. The last one is slow to begin and soon at its longest, and does not
//! count where the account has signed in before: nobody can lock its owner out.

use std::net::IpAddr;

use headworks_bootstrap::subnet;
use sqlx::PgConnection;

use crate::{
    app::{Error, Result},
    db::sign_in_throttle::{throttle_clear, throttle_count, throttle_lock},
    keys::Keys,
    state::State,
};

/// How many failures are free, and how long the wait is after more: it doubles with each.
#[derive(Debug, Clone, Copy)]
struct Rule {
    free: i32,
    longest: u32,
}

const ACCOUNT_FROM_NETWORK: Rule = Rule {
    free: 5,
    longest: 900,
};
const NETWORK: Rule = Rule {
    free: 30,
    longest: 900,
};
const ACCOUNT: Rule = Rule {
    free: 50,
    longest: 30,
};

/// Failures are forgotten when there was no other for so long.
pub(crate) const FORGET_SECONDS: f64 = 3600.0;

impl Rule {
    /// The wait after so many failures, in seconds.
    fn wait(self, failures: i32) -> u32 {
        let Ok(beyond @ 1..) = u32::try_from(failures - self.free) else {
            return 0;
        };
        let doubled = 1_u32.checked_shl(beyond - 1).unwrap_or(u32::MAX);
        doubled.min(self.longest)
    }
}

/// What is counted, in the order in which rows are locked.
pub(crate) struct Attempt {
    counted: Vec<(Vec<u8>, Rule)>,
    of_account: Vec<Vec<u8>>,
    network: Vec<u8>,
}

impl Attempt {
    /// An attempt to sign in to `account` (an email in lower case, or a user's id) from `network`.
    pub(crate) fn new(keys: &Keys, account: &str, network: &str, known_network: bool) -> Self {
        let key = |parts: [&str; 3]| keys.fingerprint(&parts.map(str::as_bytes));
        let pair = key(["sign-in throttle", account, network]);
        let everywhere = key(["sign-in throttle", account, ""]);
        let by_network = key(["sign-in throttle", "", network]);
        let mut counted = vec![
            (pair.clone(), ACCOUNT_FROM_NETWORK),
            (by_network.clone(), NETWORK),
        ];
        if !known_network {
            counted.push((everywhere.clone(), ACCOUNT));
        }
        Self::sorted(counted, vec![pair, everywhere], by_network)
    }

    /// An attempt that names no account.
    pub(crate) fn of_network(keys: &Keys, network: &str) -> Self {
        let parts = ["sign-in throttle", "", network];
        let network = keys.fingerprint(&parts.map(str::as_bytes));
        Self::sorted(vec![(network.clone(), NETWORK)], vec![], network)
    }

    fn sorted(
        mut counted: Vec<(Vec<u8>, Rule)>,
        of_account: Vec<Vec<u8>>,
        network: Vec<u8>,
    ) -> Self {
        counted.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self {
            counted,
            of_account,
            network,
        }
    }

    /// Counts it as failed before it is looked at, so that many at once are not taken for one.
    /// Refuses if it comes too early; then it is not counted.
    pub(crate) async fn begin(&self, state: &State) -> Result<()> {
        let mut tx = state.pool.begin().await?;
        let keys: Vec<_> = self.counted.iter().map(|(key, _)| key.clone()).collect();
        let found = throttle_lock(&mut tx, &keys, FORGET_SECONDS).await?;
        if let Some(seconds) = found.iter().map(|row| row.blocked_seconds).max()
            && seconds > 0
        {
            let retry_after = u32::try_from(seconds).unwrap_or(u32::MAX);
            return Err(Error::TooMany { retry_after });
        }
        let waits = self.counted.iter().map(|(key, rule)| {
            let failures = found.iter().find(|row| row.key == *key);
            f64::from(rule.wait(failures.map_or(0, |row| row.failures) + 1))
        });
        throttle_count(&mut tx, &keys, &waits.collect::<Vec<_>>()).await?;
        Ok(tx.commit().await?)
    }

    /// It was no failure: the account's are forgotten, and the network's is taken back. Not all of
    /// the network's: a guesser may have one account that is his own.
    pub(crate) async fn succeed(&self, conn: &mut PgConnection) -> sqlx::Result<()> {
        throttle_clear(conn, &self.of_account, &self.network).await
    }
}

/// What counts as one place: an address, or the 64-bit network that one IPv6 customer has.
pub(crate) fn network(address: Option<IpAddr>) -> String {
    match address.map(subnet) {
        Some(IpAddr::V6(network)) => format!("{network}/64"),
        Some(address) => address.to_string(),
        None => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits = |rule: Rule, failures: &[i32]| -> Vec<u32> {
            failures
                .iter()
                .map(|&failures| rule.wait(failures))
                .collect()
        };
        let of_pair = [0, 5, 6, 7, 8, 15, 16, 100];
        assert_eq!(
            waits(ACCOUNT_FROM_NETWORK, &of_pair),
            [0, 0, 1, 2, 4, 512, 900, 900]
        );
        assert_eq!(waits(ACCOUNT, &[50, 51, 56, 1000]), [0, 1, 30, 30]);
        assert_eq!(waits(NETWORK, &[30, 31]), [0, 1]);
    }

    proptest! {
        #[test]
        fn more_failures_never_shorten_the_wait(failures in 0..i32::MAX - 1) {
            for rule in [ACCOUNT_FROM_NETWORK, NETWORK, ACCOUNT] {
                prop_assert!(rule.wait(failures) <= rule.wait(failures + 1));
                prop_assert!(rule.wait(failures) <= rule.longest);
            }
        }
    }

    #[test]
    fn an_ipv6_customer_is_one_place() {
        let network = |text: &str| network(Some(text.parse().expect("is an address")));
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(network("2001:db8:1:2::"), network("2001:db8:1:2:ffff::1"));
        assert_ne!(network("2001:db8:1:2::"), network("2001:db8:1:3::"));
        assert_eq!(super::network(None), "unknown");
    }
}
