//! Networks of addresses: `10.20.0.0/16`, `2001:db8::/32`, or one address.

use std::{borrow::Cow, fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

/// Addresses that begin alike (CIDR).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "Cow<'_, str>")]
pub struct Network(IpNet);

impl Network {
    /// True if the address is in it. An IPv4 address that is written as an IPv6 one counts as what
    /// it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// How many bits its addresses have in common.
    #[must_use]
    pub fn prefix_len(&self) -> u8 {
        self.0.prefix_len()
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let network = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse().map_err(
                |_| "expected a network such as 10.20.0.0/16 or 2001:db8::/32, or an address",
            )?,
        };
        if network.trunc() != network {
            return Err(format!(
                "{network} is one address of the network {}",
                network.trunc()
            ));
        }
        Ok(Self(network))
    }
}

impl TryFrom<Cow<'_, str>> for Network {
    type Error = String;

    fn try_from(text: Cow<'_, str>) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PartialSchema for Network {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("A network (CIDR), or one address."))
            .examples(["10.20.0.0/16"])
            .into()
    }
}

impl ToSchema for Network {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_exact() {
        let network: Network = "10.20.0.0/16".parse().expect("parses");
        assert!(network.contains("10.20.255.255".parse().expect("parses")));
        assert!(network.contains("::ffff:10.20.1.1".parse().expect("parses")));
        assert!(!network.contains("10.21.0.0".parse().expect("parses")));
        let one: Network = "2001:db8::7".parse().expect("parses");
        assert_eq!(one.to_string(), "2001:db8::7/128");
        for bad in ["10.20.1.0/16", "10.20.0.0/33", "lan", "", "10.20/16"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
