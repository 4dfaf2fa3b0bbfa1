//! The section `[controller]` of the configuration. What each knob means, and its default, stands
//! in `config.default.toml`.

use std::{collections::BTreeMap, time::Duration};

use headworks_bootstrap::{TrustedProxies, tls::Files};
use headworks_types::{ProjectId, Secret, edge::STRICT_STOP};
use serde::Deserialize;
use url::Url;

use crate::{http::RateLimitConfig, zone::Zones};

/// Where edges reach a controller, unless it is told otherwise.
pub(crate) const EDGE_LISTEN: &str = "[::]:8443";

/// What the controller is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the API listens: `address:port`; port 0 takes a free one.
    pub listen: String,
    /// Where edges reach it: `address:port`; `[::]:8443` if absent.
    #[serde(default)]
    pub edge_listen: Option<String>,
    /// Certificate and key of `listen`.
    #[serde(default)]
    pub tls: Files,
    /// Networks of proxies whose `X-Forwarded-For` counts.
    #[serde(default)]
    pub trusted_proxies: TrustedProxies,
    /// `postgres://user:password@host:port/database`.
    #[serde(default)]
    pub database_url: Option<Secret>,
    /// How many connections to the database at most.
    pub database_connections: u32,
    /// A pooler in transaction mode is before the database.
    #[serde(default)]
    pub database_pooled: bool,
    /// How long a start waits for the database.
    #[serde(with = "humantime_serde")]
    pub database_wait: Duration,
    /// 32 bytes in base64. Seals the secrets in the database.
    #[serde(default)]
    pub master_key: Option<Secret>,
    /// How long a key signs tokens before the next one does.
    #[serde(with = "humantime_serde", default = "month")]
    pub signing_key_rotation: Duration,
    /// Another master key, which only opens.
    #[serde(default)]
    pub second_master_key: Option<Secret>,
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
    #[serde(default = "audit_retention", with = "humantime_serde")]
    pub audit_retention: Duration,
    /// Connections that one address may have at the API.
    #[serde(default = "connections_per_address")]
    pub connections_per_address: usize,
    /// How many requests somebody may make.
    #[serde(default)]
    pub rate_limit: RateLimitConfig,
    /// Which zone viewers are in, by their addresses.
    #[serde(default)]
    pub zones: Zones,
    /// OpenID providers that people can sign in with, by name.
    #[serde(default)]
    pub oidc: BTreeMap<String, OidcConfig>,
}

/// The section `[controller.oidc.<name>]`: an OpenID provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcConfig {
    /// The provider's own name for itself, to the letter: an `https://` URL.
    pub issuer: String,
    /// What the provider calls us.
    pub client_id: String,
    /// What we show the provider to be that; none for a public client.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// The project that users belong to who come from there.
    pub project_id: ProjectId,
    /// Where the provider may send browsers back to.
    pub redirect_uris: Vec<Url>,
    /// What is asked for beside `openid`.
    #[serde(default = "profile_and_email")]
    pub scopes: Vec<String>,
    /// The claim with the `external_id`s of the user groups that a user is in.
    #[serde(default)]
    pub groups_claim: Option<String>,
    /// Makes a user of everybody whom the provider knows.
    #[serde(default)]
    pub create_users: bool,
    /// After what time a user must be sent to the provider again.
    #[serde(default = "a_working_day", with = "humantime_serde")]
    pub sign_in_lasts: Duration,
}

fn audit_retention() -> Duration {
    Duration::from_secs(400 * 86_400)
}

/// Each edge has two or three, and many may be behind one address.
fn connections_per_address() -> usize {
    2000
}

fn profile_and_email() -> Vec<String> {
    vec!["profile".to_owned(), "email".to_owned()]
}

fn a_working_day() -> Duration {
    Duration::from_secs(12 * 3600)
}

impl OidcConfig {
    fn validate(&self, mut wrong: impl FnMut(&str)) {
        if !Url::parse(&self.issuer).is_ok_and(|issuer| is_safe(&issuer)) {
            wrong("issuer: must be an https:// URL (http:// on this machine only)");
        }
        if self.client_id.is_empty() {
            wrong("client_id: is missing");
        }
        if self.redirect_uris.is_empty() || !self.redirect_uris.iter().all(is_safe) {
            wrong("redirect_uris: must be https:// URLs (http:// on this machine only)");
        }
        let word = |scope: &String| {
            !scope.is_empty() && scope.bytes().all(|b| b.is_ascii_graphic() && b != b'"')
        };
        if !self.scopes.iter().all(word) {
            wrong("scopes: must be words");
        }
        let longest = Duration::from_secs(90 * 86_400);
        if !(Duration::from_secs(60)..=longest).contains(&self.sign_in_lasts) {
            wrong("sign_in_lasts: must be 1m to 90days");
        }
    }
}

/// True if nobody between can read or change what is sent there.
pub(crate) fn is_safe(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.has_host(),
        "http" => match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        },
        _ => false,
    }
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
            is_address(&self.listen),
            "listen: must be `address:port`, for example `[::]:8080`",
        );
        check(
            self.edge_listen.as_deref().is_none_or(is_address),
            "edge_listen: must be `address:port`, for example `[::]:8443`",
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
            self.signing_key_rotation >= Duration::from_secs(3600),
            "signing_key_rotation: must be at least 1h",
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
        check(
            self.lease_dead >= STRICT_STOP,
            &format!(
                "lease_dead: must be at least {}s, or pushes could not go on until a lease runs out",
                STRICT_STOP.as_secs()
            ),
        );
        found.extend(self.tls.validate("controller.tls"));
        for (name, provider) in &self.oidc {
            provider.validate(|wrong| found.push(format!("controller.oidc.{name}.{wrong}")));
            let letters =
                |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
            if !(1..=64).contains(&name.len()) || !name.bytes().all(letters) {
                found.push(format!(
                    "controller.oidc.{name}: its name must be a-z, 0-9, - and _"
                ));
            }
        }
        found.extend(self.rate_limit.validate());
        found.extend(self.zones.validate());
        found
    }
}

fn is_address(text: &str) -> bool {
    let parts = text.rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

fn month() -> Duration {
    Duration::from_secs(30 * 86_400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_to_providers_cannot_be_read_on_the_way() {
        let safe = |text: &str| is_safe(&Url::parse(text).expect("is a URL"));
        for good in [
            "https://id.example.com/",
            "http://127.0.0.1:1/x",
            "http://[::1]/",
        ] {
            assert!(safe(good), "{good}");
        }
        for bad in [
            "http://id.example.com/",
            "ftp://localhost/",
            "http://localhost.evil.com/",
        ] {
            assert!(!safe(bad), "{bad}");
        }
    }

    #[test]
    fn everything_wrong_with_a_provider_is_named() {
        let provider: OidcConfig = serde_json::from_value(serde_json::json!({
            "issuer": "http://id.example.com",
            "client_id": "",
            "project_id": "prj_0190f3c2a1b27c3d8e4f5a6b7c8d9e0f",
            "redirect_uris": [],
            "scopes": ["a b"],
            "sign_in_lasts": "1s",
        }))
        .expect("parses");
        let mut found = Vec::new();
        provider.validate(|wrong| found.push(wrong.split(':').next().map(str::to_owned)));
        let names: Vec<_> = found.into_iter().flatten().collect();
        assert_eq!(
            names,
            [
                "issuer",
                "client_id",
                "redirect_uris",
                "scopes",
                "sign_in_lasts"
            ]
        );
    }
}
