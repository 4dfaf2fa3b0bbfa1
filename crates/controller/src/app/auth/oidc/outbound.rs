//! Where the controller connects to on an OpenID provider's word: its description names endpoints, and
//! names lead to addresses.
//!
//! Closed is what edges keep closed to everybody too: this machine, link-local addresses, the
//! metadata of clouds. This machine is open only where the configured issuer itself is on it, as it
//! says so in its URL. Private networks are open: providers live there. Names are resolved once,
//! and what was judged is what is connected to.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use headworks_bootstrap::network::{closed, embedded};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Judges addresses, and resolves names for reqwest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gate {
    /// This machine is open.
    is_local: bool,
}

/// It is not connected to.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{host} is closed ({why})")]
pub(super) struct Closed {
    host: String,
    why: &'static str,
}

impl Gate {
    /// For the endpoints of this issuer.
    pub(super) fn new(issuer: &str) -> Self {
        let host = Url::parse(issuer).ok();
        let host = host.as_ref().and_then(Url::host);
        Self {
            is_local: match host {
                Some(Host::Domain(name)) => name == "localhost",
                Some(Host::Ipv4(address)) => address.is_loopback(),
                Some(Host::Ipv6(address)) => address.is_loopback(),
                None => false,
            },
        }
    }

    /// Refuses a URL with an address for a host, which nobody resolves.
    pub(super) fn check(self, url: &Url) -> Result<(), Closed> {
        match url.host() {
            Some(Host::Ipv4(address)) => self.judge(&address.to_string(), address.into()),
            Some(Host::Ipv6(address)) => self.judge(&address.to_string(), address.into()),
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }

    fn judge(self, host: &str, address: IpAddr) -> Result<(), Closed> {
        let address = address.to_canonical();
        if self.is_local && address.is_loopback() {
            return Ok(());
        }
        let mut forms = std::iter::once(address).chain(embedded(address));
        match forms.find_map(closed) {
            None => Ok(()),
            Some(why) => Err(Closed {
                host: host.to_owned(),
                why,
            }),
        }
    }

    /// A name of which one address is closed is closed: whoever has it may want us there.
    fn judge_all(self, host: &str, found: &[SocketAddr]) -> Result<(), Closed> {
        let mut found = found.iter();
        found.try_for_each(|address| self.judge(host, address.ip()))
    }
}

impl Resolve for Gate {
    fn resolve(&self, name: Name) -> Resolving {
        let gate = *self;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<_> = found.collect();
            gate.judge_all(name.as_str(), &found)
                .map_err(io::Error::other)?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(issuer: &str, url: &str) -> Result<(), String> {
        let url = Url::parse(url).expect("is a URL");
        let checked = Gate::new(issuer).check(&url);
        checked.map_err(|closed| closed.to_string())
    }

    #[test]
    fn a_provider_elsewhere_leads_neither_here_nor_to_metadata() {
        let issuer = "https://id.example.com/";
        for url in ["https://id.example.com/keys", "https://10.0.0.7/keys"] {
            assert_eq!(check(issuer, url), Ok(()), "{url}");
        }
        for url in [
            "https://127.0.0.1/keys",
            "https://[::1]/keys",
            "https://169.254.169.254/latest/meta-data",
            "https://[::ffff:169.254.169.254]/",
            "https://[64:ff9b::a9fe:a9fe]/",
            "https://[fd00:ec2::254]/",
            "https://[fe80::1]/",
            "https://0.0.0.0/",
            "https://2852039166/",
        ] {
            assert!(check(issuer, url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_provider_on_this_machine_is_reached_and_still_leads_to_no_metadata() {
        for issuer in [
            "http://127.0.0.1:8080/",
            "http://localhost/",
            "http://[::1]/",
        ] {
            assert_eq!(check(issuer, "http://127.0.0.1:9/keys"), Ok(()));
            assert!(check(issuer, "https://169.254.169.254/").is_err());
        }
    }

    #[test]
    fn one_closed_address_closes_the_name() {
        let gate = Gate::new("https://id.example.com/");
        let addresses = |texts: &[&str]| {
            let parse = |text: &&str| SocketAddr::new(text.parse().expect("an address"), 0);
            texts.iter().map(parse).collect::<Vec<_>>()
        };
        let good = addresses(&["192.0.2.1", "2001:db8::1"]);
        assert_eq!(gate.judge_all("x", &good), Ok(()));
        let mixed = addresses(&["192.0.2.1", "169.254.169.254"]);
        let refused = gate.judge_all("x", &mixed).expect_err("is closed");
        assert_eq!(refused.to_string(), "x is closed (link-local)");
    }

    #[tokio::test]
    async fn names_are_judged_by_where_they_lead() {
        let name = || "localhost".parse::<Name>().expect("is a name");
        let here = Gate::new("http://localhost/").resolve(name()).await;
        assert!(here.is_ok_and(|mut found| found.next().is_some()));
        let elsewhere = Gate::new("https://id.example.com/").resolve(name()).await;
        assert!(elsewhere.is_err());
    }
}
