//! The addresses that are closed to everybody: those by which a machine, its neighbours on the
//! wire, or the cloud that it runs in are reached as only the machine itself should.
//!
//! Private networks are open: cameras live there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where clouds answer whoever asks with the machine's own secrets, outside of link-local.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200), // Alibaba Cloud
    Ipv4Addr::new(168, 63, 129, 16),   // Azure
    Ipv4Addr::new(192, 0, 0, 192),     // Oracle Cloud
];
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254), // AWS
    Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254), // Google Cloud
];

/// Why the address is closed, if it is.
#[must_use]
pub fn closed(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => closed_v4(address),
        IpAddr::V6(address) => closed_v6(address),
    }
}

fn closed_v4(address: Ipv4Addr) -> Option<&'static str> {
    if METADATA_V4.contains(&address) {
        return Some("metadata of a cloud");
    }
    match address.octets() {
        [0, ..] => Some("no address"),
        [127, ..] => Some("this machine"),
        [169, 254, ..] => Some("link-local"),
        [224..=239, ..] => Some("multicast"),
        // With it the broadcast address.
        [240..=255, ..] => Some("reserved"),
        _ => None,
    }
}

fn closed_v6(address: Ipv6Addr) -> Option<&'static str> {
    if METADATA_V6.contains(&address) {
        return Some("metadata of a cloud");
    }
    if address.is_unspecified() {
        return Some("no address");
    }
    if address.is_loopback() {
        return Some("this machine");
    }
    if address.is_multicast() {
        return Some("multicast");
    }
    address.is_unicast_link_local().then_some("link-local")
}

/// The IPv4 address that an IPv6 one leads to, where a translator or a tunnel stands between.
/// Mapped ones (`::ffff:0:0/96`) are canonical before.
#[must_use]
pub fn embedded(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(v6) = address else {
        return None;
    };
    let segments = v6.segments();
    let [.., a, b] = segments;
    let v4 = match segments {
        // IPv4-compatible (RFC 4291 §2.5.5.1); `::` and `::1` are none.
        [0, 0, 0, 0, 0, 0, _, _] if !v6.is_loopback() && !v6.is_unspecified() => (a, b),
        // NAT64 (RFC 6052, RFC 8215).
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] | [0x64, 0xff9b, 1, ..] => (a, b),
        // 6to4 (RFC 3056).
        [0x2002, a, b, ..] => (a, b),
        _ => return None,
    };
    let bits = u32::from(v4.0) << 16 | u32::from(v4.1);
    Some(Ipv4Addr::from_bits(bits).into())
}
