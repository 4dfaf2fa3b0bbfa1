//! Who counts as one client.

use std::net::{IpAddr, Ipv6Addr};

/// What belongs to whoever has this address: the address itself, or, since whoever has one IPv6
/// address has the 2^64 beside it (RFC 4291 §2.5.4), the first of these.
#[must_use]
pub fn subnet(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_has_one_ipv4_address_or_64_bits_of_ipv6() {
        let of = |text: &str| subnet(text.parse().expect("an address")).to_string();
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
