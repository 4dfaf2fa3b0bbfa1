//! The section `[controller]` of the configuration. What each knob means, and its default, stands
//! in `config.default.toml`.

use std::time::Duration;

use headworks_types::Secret;
use serde::Deserialize;
use url::Url;

/// What the controller is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the API listens: `address:port`; port 0 takes a free one.
    pub listen: String,
    /// `postgres://user:password@host:port/database`.
    #[serde(default)]
    pub database_url: Option<Secret>,
    /// How many connections to the database at most.
    pub database_connections: u32,
    /// How long a start waits for the database.
    #[serde(with = "humantime_serde")]
    pub database_wait: Duration,
    /// 32 bytes in base64. Seals the secrets in the database.
    #[serde(default)]
    pub master_key: Option<Secret>,
    /// Where clients reach the API, if it is not where they find its description.
    #[serde(default)]
    pub public_url: Option<Url>,
    /// After what time a request that is still running is given up.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// How often a node renews its lease.
    #[serde(with = "humantime_serde")]
    pub lease_renew: Duration,
    /// After what silence a node gets no new work.
    #[serde(with = "humantime_serde")]
    pub lease_suspect: Duration,
    /// After what silence a node's work goes to others.
    #[serde(with = "humantime_serde")]
    pub lease_dead: Duration,
    /// How long the audit log keeps its records.
    #[serde(with = "humantime_serde")]
    pub audit_retention: Duration,
}

impl Config {
    /// Everything that is wrong with it, each in words that name the key.
    #[must_use]
    pub fn validate(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut check = |good: bool, wrong: &str| {
            if !good {
                found.push(format!("controller.{wrong}"));
            }
        };
        check(
            self.listen
                .rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()),
            "listen: must be `address:port`, for example `[::]:8080`",
        );
        check(
            self.database_url.is_some(),
            "database_url: is missing; it says where PostgreSQL is",
        );
        check(
            self.master_key.is_some(),
            "master_key: is missing; make one with `head -c 32 /dev/urandom | base64` and put it \
             into a file that `master_key_file` names",
        );
        check(
            (2..=1000).contains(&self.database_connections),
            "database_connections: must be 2 to 1000",
        );
        check(
            self.request_timeout >= Duration::from_secs(1),
            "request_timeout: must be at least 1s",
        );
        check(
            self.audit_retention >= Duration::from_secs(3600),
            "audit_retention: must be at least 1h",
        );
        check(
            self.lease_renew >= Duration::from_millis(50),
            "lease_renew: must be at least 50ms",
        );
        check(
            self.lease_renew * 2 <= self.lease_suspect && self.lease_suspect < self.lease_dead,
            "lease_dead: must be longer than lease_suspect, and that at least twice lease_renew",
        );
        found
    }
}
