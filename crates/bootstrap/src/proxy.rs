//! Who is the client of a request that came through proxies.
//!
//! A header says what anybody wrote into it. Only what a trusted proxy has added counts: the hops
//! are read from the right, and the first address that is no trusted proxy is the client.

use std::net::{IpAddr, SocketAddr};

use headworks_types::Network;
use serde::{Deserialize, Deserializer, de::Error as _};

/// The proxies whose word counts; nobody's by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// True if the address is one of a trusted proxy.
    #[must_use]
    pub fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// The client's address: `peer` is who is connected, `forwarded` the values of all
    /// `X-Forwarded-For` headers in order, as they came. They are bytes: a client may write into
    /// them what is no text, before a proxy adds to the same value who that client is.
    #[must_use]
    pub fn client<'a>(
        &self,
        peer: IpAddr,
        forwarded: impl DoubleEndedIterator<Item = &'a [u8]>,
    ) -> IpAddr {
        let mut client = peer.to_canonical();
        let hops = forwarded
            .rev()
            .flat_map(|value| value.rsplit(|byte| *byte == b','));
        for hop in hops {
            if !self.trust(client) {
                break;
            }
            // What is no address hides who was before; the proxy that wrote it is known.
            let Some(before) = std::str::from_utf8(hop).ok().and_then(address) else {
                break;
            };
            client = before;
        }
        client
    }
}

/// As proxies write it: an address, perhaps with a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|found| found.ip());
    let plain = text.parse().ok();
    let found = plain.or_else(bracketed).or_else(with_port)?;
    Some(found.to_canonical())
}

/// A list, or one text with commas, as variables have it.
impl<'de> Deserialize<'de> for TrustedProxies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            List(Vec<String>),
            Text(String),
        }
        let words = match Given::deserialize(deserializer)? {
            Given::List(words) => words,
            Given::Text(text) => text.split(',').map(|word| word.trim().to_owned()).collect(),
        };
        let words = words.iter().filter(|word| !word.is_empty());
        let networks = words.map(|word| word.parse().map_err(D::Error::custom));
        networks.collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(text: &str) -> TrustedProxies {
        serde_json::from_value(text.into()).expect("parses")
    }

    fn client<T: AsRef<[u8]>>(peer: &str, forwarded: &[T]) -> String {
        let proxies = proxies("10.0.0.0/8, 2001:db8::/32");
        let peer = peer.parse().expect("is an address");
        let forwarded = forwarded.iter().map(AsRef::as_ref);
        proxies.client(peer, forwarded).to_string()
    }

    #[test]
    fn the_client_is_the_right_most_hop_that_is_not_trusted() {
        for (peer, forwarded, expected) in [
            // Nobody's word counts but a trusted proxy's.
            ("192.0.2.1", &["203.0.113.9"][..], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            // What the client itself wrote stands to the left.
            ("10.0.0.1", &["127.0.0.1, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["127.0.0.1", "203.0.113.9"], "203.0.113.9"),
            (
                "10.0.0.1",
                &["1.1.1.1, 203.0.113.9, 10.0.0.2"],
                "203.0.113.9",
            ),
            ("10.0.0.1", &["10.0.0.3,10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["203.0.113.9, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
            ("2001:db8::1", &["[2a00::1]:443"], "2a00::1"),
            ("2001:db8::1", &["[2a00::1]"], "2a00::1"),
            ("2001:db8::1", &["::ffff:203.0.113.9"], "203.0.113.9"),
        ] {
            assert_eq!(client(peer, forwarded), expected, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn who_writes_what_is_no_text_hides_nobody() {
        let joined = [b"\xff, 203.0.113.9"];
        assert_eq!(client("10.0.0.1", &joined), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &[b"203.0.113.9, \xff"]), "10.0.0.1");
    }

    #[test]
    fn networks_are_a_list_or_a_text() {
        let list: TrustedProxies =
            serde_json::from_value(serde_json::json!(["10.0.0.0/8", "2001:db8::/32"]))
                .expect("parses");
        assert_eq!(list, proxies("10.0.0.0/8, 2001:db8::/32"));
        assert_eq!(proxies(""), TrustedProxies::default());
        for wrong in ["10.0.0.1/8", "x"] {
            assert!(serde_json::from_value::<TrustedProxies>(wrong.into()).is_err());
        }
    }
}
