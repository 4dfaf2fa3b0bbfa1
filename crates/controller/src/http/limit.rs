//! How many requests somebody may make: an address, a signed-in caller, and an address whose
//! credentials are wrong.
//!
//! Each has a bucket that refills evenly (GCRA). Not `governor`: the memory is bounded here also
//! while millions of addresses come, and time is our clock's. Each replica counts by itself.
//!
//! Answers say how a caller stands in `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-
//! ratelimit-headers-10).

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use headworks_bootstrap::{Clock, subnet};
use headworks_types::ProblemCode;
use serde::Deserialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::error::Refusal;

/// Buckets that are not full, of one kind; beyond, newcomers share one.
const MOST: usize = 100_000;

/// The section `[controller.rate_limit]`: for each bucket, requests per second in the long run, and
/// how many at once.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimitConfig {
    /// Of one signed-in caller.
    pub key_per_second: u32,
    /// Of one signed-in caller, at once.
    pub key_burst: u32,
    /// Of one address.
    pub address_per_second: u32,
    /// Of one address, at once.
    pub address_burst: u32,
    /// Wrong credentials from one address, in a minute.
    pub failures_per_minute: u32,
    /// Wrong credentials from one address, at once.
    pub failures_burst: u32,
}

impl Default for RateLimitConfig {
    fn default() -> Self {
        Self {
            key_per_second: 500,
            key_burst: 5000,
            address_per_second: 2000,
            address_burst: 20_000,
            failures_per_minute: 30,
            failures_burst: 60,
        }
    }
}

impl RateLimitConfig {
    /// Everything that is wrong with it.
    pub(crate) fn validate(&self) -> Vec<String> {
        [
            ("key_per_second", self.key_per_second),
            ("key_burst", self.key_burst),
            ("address_per_second", self.address_per_second),
            ("address_burst", self.address_burst),
            ("failures_per_minute", self.failures_per_minute),
            ("failures_burst", self.failures_burst),
        ]
        .into_iter()
        .filter(|(_, value)| !(1..=1_000_000).contains(value))
        .map(|(key, _)| format!("controller.rate_limit.{key}: must be 1 to 1000000"))
        .collect()
    }
}

/// All buckets of this replica. Clones are the same.
#[derive(Clone)]
pub(crate) struct Limits(Arc<Inner>);

struct Inner {
    clock: Clock,
    callers: Buckets<Uuid>,
    addresses: Buckets<IpAddr>,
    failures: Buckets<IpAddr>,
}

/// How somebody stands with a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    policy: &'static str,
    burst: u32,
    /// From empty to full.
    window: Duration,
    left: u32,
    /// Until one more is allowed, if none is; else until all are.
    wait: Duration,
    /// There was none.
    is_over: bool,
}

/// Of one request: who may spend from which bucket, and how its caller stands then.
#[derive(Clone)]
pub(crate) struct Meter {
    limits: Limits,
    standing: Arc<OnceLock<Standing>>,
}

impl Limits {
    pub(crate) fn new(config: &RateLimitConfig, clock: Clock) -> Self {
        let second = Duration::from_secs(1);
        let per_second = |rate: u32| second / rate.max(1);
        let failure = Duration::from_secs(60) / config.failures_per_minute.max(1);
        Self(Arc::new(Inner {
            clock,
            callers: Buckets::new(
                "caller",
                per_second(config.key_per_second),
                config.key_burst,
            ),
            addresses: Buckets::new(
                "address",
                per_second(config.address_per_second),
                config.address_burst,
            ),
            failures: Buckets::new("failures", failure, config.failures_burst),
        }))
    }

    /// For one request.
    pub(crate) fn meter(&self) -> Meter {
        Meter {
            limits: self.clone(),
            standing: Arc::default(),
        }
    }
}

impl Meter {
    /// Whoever the request is from, it comes from there.
    pub(crate) fn come_from(&self, address: IpAddr) -> Result<(), Refusal> {
        let inner = &self.limits.0;
        let now = inner.clock.monotonic();
        self.take(inner.addresses.spend(subnet(address), now))
    }

    /// It has turned out who asks.
    pub(crate) fn spend(&self, caller: Uuid) -> Result<(), Refusal> {
        let inner = &self.limits.0;
        let standing = inner.callers.spend(caller, inner.clock.monotonic());
        let _ = self.standing.set(standing);
        self.take(standing)
    }

    /// The credential was wrong. Where too many were, nobody is told so any more. A right one is taken
    /// all the same: who guesses is no reason to keep out those behind the same address.
    pub(crate) fn failed(&self, address: IpAddr) -> Result<(), Refusal> {
        let inner = &self.limits.0;
        let now = inner.clock.monotonic();
        self.take(inner.failures.spend(subnet(address), now))
    }

    fn take(&self, standing: Standing) -> Result<(), Refusal> {
        if !standing.is_over {
            return Ok(());
        }
        let _ = self.standing.set(standing);
        Err(Refusal::new(
            ProblemCode::TooManyRequests,
            format!("too many requests; try again in {} s", standing.seconds()),
        ))
    }

    /// Tells the caller how it stands.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let Some(standing) = self.standing.get() else {
            return;
        };
        let Standing { policy, burst, .. } = standing;
        let window = standing.window.as_secs().max(1);
        let seconds = standing.seconds();
        let left = standing.left;
        let lines = [
            (
                "ratelimit-policy",
                format!("\"{policy}\";q={burst};w={window}"),
            ),
            ("ratelimit", format!("\"{policy}\";r={left};t={seconds}")),
        ];
        for (name, line) in lines {
            if let Ok(value) = HeaderValue::from_str(&line) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        if standing.is_over {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
    }
}

impl Standing {
    /// Whole seconds, never too few.
    fn seconds(&self) -> u64 {
        self.wait
            .as_millis()
            .div_ceil(1000)
            .try_into()
            .unwrap_or(u64::MAX)
    }
}

/// One bucket for each of many.
struct Buckets<K> {
    policy: &'static str,
    /// One more is allowed after this time.
    each: Duration,
    burst: u32,
    /// When each bucket will be full. Those that are full already count as none.
    full_at: Mutex<HashMap<Option<K>, Instant>>,
}

impl<K: Hash + Eq> Buckets<K> {
    fn new(policy: &'static str, each: Duration, burst: u32) -> Self {
        Self {
            policy,
            each,
            burst,
            full_at: Mutex::default(),
        }
    }

    /// Takes one out, if there is one.
    fn spend(&self, key: K, now: Instant) -> Standing {
        let mut all = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = Some(key);
        if all.len() >= MOST && !all.contains_key(&key) {
            all.retain(|_, full_at| *full_at > now);
            if all.len() >= MOST {
                key = None;
            }
        }
        let full_at = all.get(&key).copied().unwrap_or(now).max(now);
        let after = full_at + self.each;
        if after - now > self.window() {
            return self.standing(full_at, now, true);
        }
        all.insert(key, after);
        self.standing(after, now, false)
    }

    fn window(&self) -> Duration {
        self.each * self.burst
    }

    fn standing(&self, full_at: Instant, now: Instant, is_over: bool) -> Standing {
        let used = full_at - now;
        let free = self.window().saturating_sub(used);
        let left = free.as_nanos() / self.each.as_nanos().max(1);
        let wait = match is_over {
            true => (full_at + self.each - now).saturating_sub(self.window()),
            false => used,
        };
        Standing {
            policy: self.policy,
            burst: self.burst,
            window: self.window(),
            left: u32::try_from(left).unwrap_or(u32::MAX),
            wait,
            is_over,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(burst: u32) -> Buckets<u32> {
        Buckets::new("caller", Duration::from_millis(100), burst)
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let start = Clock::system().monotonic();
        let buckets = buckets(5);
        for left in (0..5).rev() {
            let standing = buckets.spend(1, start);
            assert_eq!((standing.is_over, standing.left), (false, left));
        }
        let over = buckets.spend(1, start);
        assert!(over.is_over);
        assert_eq!(over.wait, Duration::from_millis(100));
        assert_eq!(over.seconds(), 1);
        assert!(!buckets.spend(2, start).is_over, "another has its own");
        let later = start + Duration::from_millis(250);
        let two: Vec<_> = (0..4).map(|_| buckets.spend(1, later).is_over).collect();
        assert_eq!(two, [false, false, true, true]);
        let full = buckets.spend(1, start + Duration::from_secs(60));
        assert_eq!(full.left, 4, "no more than the burst gathers");
    }

    #[test]
    fn memory_is_bounded_and_newcomers_share_what_is_left() {
        let now = Clock::system().monotonic();
        let buckets = buckets(2);
        let most = u32::try_from(MOST).expect("fits");
        for key in 0..most {
            assert!(!buckets.spend(key, now).is_over);
        }
        let crowd: Vec<_> = (most..most + 3)
            .map(|key| buckets.spend(key, now).is_over)
            .collect();
        assert_eq!(crowd, [false, false, true]);
        assert!(!buckets.spend(0, now).is_over, "who was there has its own");
        assert!(buckets.full_at.lock().expect("is well").len() <= MOST + 1);
        let later = now + Duration::from_secs(1);
        assert!(!buckets.spend(most + 9, later).is_over);
        assert_eq!(buckets.full_at.lock().expect("is well").len(), 1);
    }
}
