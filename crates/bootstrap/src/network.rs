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

/// The IPv4 addresses that an IPv6 one may lead to, where a translator or a tunnel stands between.
/// Mapped ones (`::ffff:0:0/96`) are canonical before.
pub fn embedded(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let found = match address {
        IpAddr::V4(_) => Vec::new(),
        IpAddr::V6(v6) => embedded_v4(v6),
    };
    found.into_iter().map(IpAddr::V4)
}

fn embedded_v4(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let segments = address.segments();
    let [.., a, b] = segments;
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    let mut found = match segments {
        // IPv4-compatible (RFC 4291 §2.5.5.1); `::` and `::1` are none.
        [0, 0, 0, 0, 0, 0, _, _] if !address.is_loopback() && !address.is_unspecified() => {
            vec![v4(a, b)]
        }
        // IPv4-translated (RFC 2765 §2.1) and NAT64 (RFC 6052).
        [0, 0, 0, 0, 0xffff, 0, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => vec![v4(a, b)],
        [0x64, 0xff9b, 1, ..] => local_nat64(address),
        // 6to4 (RFC 3056).
        [0x2002, a, b, ..] => vec![v4(a, b)],
        // Teredo (RFC 4380 §4): the server, and the client with its bits turned over.
        [0x2001, 0, c, d, ..] => vec![v4(c, d), v4(!a, !b)],
        _ => Vec::new(),
    };
    // ISATAP (RFC 5214 §6.1), below any prefix.
    if matches!(segments, [.., 0 | 0x200, 0x5efe, _, _]) {
        found.push(v4(a, b));
    }
    found
}

/// NAT64 below `64:ff9b:1::/48` (RFC 8215), where each network chooses for itself how long its prefix
/// is. The address stands behind the prefix, and bits 64 to 71 are left out (RFC 6052 §2.2).
fn local_nat64(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let octets = address.octets();
    let at = |places: [usize; 4]| Ipv4Addr::from(places.map(|place| octets[place]));
    let found = [
        [6, 7, 9, 10],
        [7, 9, 10, 11],
        [9, 10, 11, 12],
        [12, 13, 14, 15],
    ];
    let found = found.into_iter().map(at);
    // Zeros are of a longer prefix, or behind it: nobody translates into 0.0.0.0/8.
    found.filter(|v4| v4.octets()[0] != 0).collect()
}
