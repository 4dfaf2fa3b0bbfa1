//! The network of a lab: two sites, each a switch with what hangs on it, and a router between them,
//! the control plane and the world outside.
//!
//! ```text
//!   edges, cameras, viewers ── switch of site a ──┐
//!                                               router ── control plane
//!   edges, cameras, viewers ── switch of site b ──┘  └──── outside
//! ```
//!
//! What goes between the sites crosses one uplink for each, which can be made narrow, lossy or cut,
//! and is counted. All addresses are in `10.77.0.0/16`; the machine's own network has no part in it.

use std::sync::Arc;

use anyhow::Context;
use serde_json::Value;

use super::Namespace;

/// Where the control plane is.
pub(super) const CONTROL: &str = "10.77.3.2";
/// Where the world outside is.
pub(super) const OUTSIDE: &str = "10.77.4.2";

/// One of the two sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Site {
    /// The first.
    A,
    /// The second.
    B,
}

impl Site {
    /// Both.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// `a` or `b`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// An address in it.
    #[must_use]
    pub fn address(self, host: u8) -> String {
        let net = match self {
            Self::A => 1,
            Self::B => 2,
        };
        format!("10.77.{net}.{host}")
    }

    fn uplink(self) -> String {
        format!("site-{}", self.name())
    }
}

/// Which way packets do not get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Neither.
    Both,
    /// It hears nothing.
    In,
    /// It is not heard.
    Out,
}

/// One host on a switch.
#[derive(Debug)]
pub struct Host {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its address.
    pub address: String,
    site: Site,
    /// Where it hangs on the switch.
    port: String,
}

impl Host {
    /// Cuts its cable, one way or both.
    pub fn cut(&self, cut: Cut) -> anyhow::Result<()> {
        self.join()?;
        let mut script = "add table inet cable;".to_owned();
        for (direction, hook, interface) in [
            (Cut::In, "input", "iifname"),
            (Cut::Out, "output", "oifname"),
        ] {
            if cut == Cut::Both || cut == direction {
                script.push_str(&format!(
                    "add chain inet cable {hook} {{ type filter hook {hook} priority 0; }};\
                     add rule inet cable {hook} {interface} eth0 drop;"
                ));
            }
        }
        self.namespace.nft(&script).map(drop)
    }

    /// Mends the cable.
    pub fn join(&self) -> anyhow::Result<()> {
        let mend = "add table inet cable; delete table inet cable";
        self.namespace.nft(mend).map(drop)
    }
}

/// All of it.
#[derive(Debug)]
pub struct Network {
    router: Namespace,
    switches: [Namespace; 2],
    /// Where the controllers are.
    pub control: Arc<Namespace>,
    /// Where somebody else's servers and everybody who uses the API are.
    pub outside: Arc<Namespace>,
}

impl Network {
    /// Builds it, without hosts in its sites.
    pub fn build() -> anyhow::Result<Self> {
        let router = Namespace::new("router")?;
        router.run("sysctl", &["-q", "-w", "net.ipv4.ip_forward=1"])?;
        let switches = [switch(Site::A, &router)?, switch(Site::B, &router)?];
        let control = behind(&router, "control", CONTROL, "10.77.3.1")?;
        let outside = behind(&router, "outside", OUTSIDE, "10.77.4.1")?;
        router.nft(
            "add table inet wan; add counter inet wan a_to_b; add counter inet wan b_to_a;\
             add chain inet wan cut { type filter hook forward priority 0; };\
             add chain inet wan count { type filter hook forward priority 10; };\
             add rule inet wan count iifname site-a oifname site-b counter name a_to_b;\
             add rule inet wan count iifname site-b oifname site-a counter name b_to_a",
        )?;
        Ok(Self {
            router,
            switches,
            control: Arc::new(control),
            outside: Arc::new(outside),
        })
    }

    /// Hangs one more host on a site's switch. `number` is the last part of its address.
    pub fn host(&self, site: Site, name: &str, number: u8) -> anyhow::Result<Host> {
        let namespace = Namespace::new(name)?;
        let port = format!("port{number}");
        namespace.wire("eth0", self.switch(site), &port)?;
        self.switch(site)
            .ip(&format!("link set {port} master br0"))?;
        let address = site.address(number);
        namespace.ip(&format!("addr add {address}/24 dev eth0"))?;
        namespace.ip(&format!("route add default via {}", site.address(1)))?;
        Ok(Host {
            namespace,
            address,
            site,
            port,
        })
    }

    /// Unplugs a host from its switch, or plugs it in.
    pub fn plug(&self, host: &Host, is_in: bool) -> anyhow::Result<()> {
        let state = if is_in { "up" } else { "down" };
        self.switch(host.site)
            .ip(&format!("link set {} {state}", host.port))
    }

    /// Lets nothing go between the sites.
    pub fn part_sites(&self) -> anyhow::Result<()> {
        let rules = "add rule inet wan cut iifname site-a oifname site-b drop;\
                     add rule inet wan cut iifname site-b oifname site-a drop";
        self.router.nft(rules).map(drop)
    }

    /// Cuts a site off from everything else.
    pub fn part(&self, site: Site) -> anyhow::Result<()> {
        let uplink = site.uplink();
        let rules = format!(
            "add rule inet wan cut iifname {uplink} drop; add rule inet wan cut oifname {uplink} drop"
        );
        self.router.nft(&rules).map(drop)
    }

    /// Loses so many packets of a hundred on a site's uplink, both ways.
    pub fn lose(&self, site: Site, percent: u8) -> anyhow::Result<()> {
        let uplink = site.uplink();
        let rules = format!(
            "add rule inet wan cut iifname {uplink} numgen random mod 100 < {percent} drop;\
             add rule inet wan cut oifname {uplink} numgen random mod 100 < {percent} drop"
        );
        self.router.nft(&rules).map(drop)
    }

    /// Lets everything through again.
    pub fn heal(&self) -> anyhow::Result<()> {
        self.router.nft("flush chain inet wan cut").map(drop)
    }

    /// Makes a site's uplink so narrow, both ways.
    pub fn narrow(&self, site: Site, mbit: u32) -> anyhow::Result<()> {
        let queue = format!("root tbf rate {mbit}mbit burst 64kb latency 400ms");
        self.router
            .tc(&format!("qdisc replace dev {} {queue}", site.uplink()))?;
        self.switch(site)
            .tc(&format!("qdisc replace dev uplink {queue}"))
    }

    /// Does something in a thread of the router.
    pub fn on_router(&self, work: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
        self.router.spawn(work)
    }

    /// The bytes that have gone from this site to the other one.
    pub fn bytes_from(&self, site: Site) -> anyhow::Result<u64> {
        let name = format!("{}_to_{}", site.name(), site.other().name());
        let said = self.router.nft(&format!("list counter inet wan {name}"))?;
        bytes_in(&said).with_context(|| format!("no counter in {said}"))
    }

    fn switch(&self, site: Site) -> &Namespace {
        match site {
            Site::A => &self.switches[0],
            Site::B => &self.switches[1],
        }
    }
}

fn bytes_in(said: &str) -> Option<u64> {
    let said: Value = serde_json::from_str(said).ok()?;
    let objects = said["nftables"].as_array()?;
    objects
        .iter()
        .find_map(|one| one["counter"]["bytes"].as_u64())
}

/// A switch with its uplink to the router, which has the site's first address.
fn switch(site: Site, router: &Namespace) -> anyhow::Result<Namespace> {
    let switch = Namespace::new(format!("switch {}", site.name()))?;
    switch.ip("link add br0 type bridge")?;
    switch.ip("link set br0 up")?;
    let uplink = site.uplink();
    router.wire(&uplink, &switch, "uplink")?;
    switch.ip("link set uplink master br0")?;
    router.ip(&format!("addr add {}/24 dev {uplink}", site.address(1)))?;
    Ok(switch)
}

/// A namespace straight behind the router.
fn behind(
    router: &Namespace,
    name: &str,
    address: &str,
    gateway: &str,
) -> anyhow::Result<Namespace> {
    let namespace = Namespace::new(name)?;
    router.wire(name, &namespace, "eth0")?;
    router.ip(&format!("addr add {gateway}/24 dev {name}"))?;
    namespace.ip(&format!("addr add {address}/24 dev eth0"))?;
    namespace.ip(&format!("route add default via {gateway}"))?;
    Ok(namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_read() {
        let said = r#"{"nftables": [{"metainfo": {"version": "1.0.6"}},
            {"counter": {"family": "inet", "name": "a_to_b", "table": "wan", "handle": 2,
             "packets": 3, "bytes": 252}}]}"#;
        assert_eq!(bytes_in(said), Some(252));
        assert_eq!(bytes_in("{}"), None);
    }
}
