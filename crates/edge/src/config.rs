//! The section `[edge]` of the configuration. What each knob means, and its default, stands in
//! `config.default.toml`.

use std::{
    net::{Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use headworks_bootstrap::{TrustedProxies, tls::Files};
use headworks_types::{Labels, NodeLimits, Secret, Validate as _, Violations};
use serde::{Deserialize, de::Error as _};
use url::Url;

use crate::{audit, ffmpeg, hub, ingest, outbound, relay, restream};

/// Where other edges come, if nothing else is said.
const RELAY_PORT: u16 = 8445;

/// What the edge is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Directory of everything that the edge keeps.
    #[serde(default)]
    pub data: Option<PathBuf>,
    /// Base URL of the controller, or of the load balancer before several.
    #[serde(default)]
    pub controller_url: Option<Url>,
    /// Lets the edge join the cluster at its first start.
    #[serde(default)]
    pub join_token: Option<Secret>,
    /// What people call the node; the host's name if absent.
    #[serde(default)]
    pub name: Option<String>,
    /// The place where it stands, near its cameras.
    pub site: String,
    /// The network area it belongs to.
    pub zone: String,
    /// Labels of the node.
    #[serde(default)]
    pub labels: Labels,
    /// How much work it takes, in units; one camera costs one.
    pub capacity: u32,
    /// Where playback listens: `address:port`; port 0 takes a free one.
    pub http_listen: SocketAddr,
    /// Where playback over TLS listens; nowhere if absent.
    #[serde(default)]
    pub https_listen: Option<SocketAddr>,
    /// Where viewers reach it; found out if absent.
    #[serde(default)]
    pub http_advertise: Option<Url>,
    /// Where RTMP listens.
    pub rtmp_listen: SocketAddr,
    /// Where RTMP is reached; found out if absent.
    #[serde(default)]
    pub rtmp_advertise: Option<Url>,
    /// Where RTMP over TLS listens; nowhere if absent.
    #[serde(default)]
    pub rtmps_listen: Option<SocketAddr>,
    /// Where RTMP over TLS is reached; found out if absent.
    #[serde(default)]
    pub rtmps_advertise: Option<Url>,
    /// Where RTSP listens.
    pub rtsp_listen: SocketAddr,
    /// Where RTSP is reached; found out if absent.
    #[serde(default)]
    pub rtsp_advertise: Option<Url>,
    /// Where RTP of RTSP's players and publishers is sent from and comes to over UDP; RTCP has the
    /// port behind it. Without it there is no UDP.
    #[serde(default, deserialize_with = "address_or_off")]
    pub rtsp_udp_listen: Option<SocketAddr>,
    /// Where RTSP over TLS listens; nowhere if absent.
    #[serde(default)]
    pub rtsps_listen: Option<SocketAddr>,
    /// Where RTSP over TLS is reached; found out if absent.
    #[serde(default)]
    pub rtsps_advertise: Option<Url>,
    /// Where other edges come for cameras; `[::]:8445` if absent.
    #[serde(default)]
    pub relay_listen: Option<SocketAddr>,
    /// Where other edges reach it; found out if absent.
    #[serde(default)]
    pub relay_advertise: Option<Url>,
    /// Connections that one address may have at a listener's protocol.
    #[serde(default = "connections_per_address")]
    pub connections_per_address: usize,
    /// Networks of proxies whose `X-Forwarded-For` counts.
    #[serde(default)]
    pub trusted_proxies: TrustedProxies,
    /// Viewers at once, by all protocols.
    #[serde(default = "max_viewers")]
    pub max_viewers: usize,
    /// What viewers are sent at most, Mbit/s; as much as they like if absent.
    #[serde(default)]
    pub max_egress_mbit: Option<u32>,
    /// How cameras are pulled.
    #[serde(default)]
    pub(crate) pull: ingest::Config,
    /// How cameras are had from other edges.
    #[serde(default)]
    pub(crate) relay: relay::Config,
    /// How cameras are pushed to other people's servers.
    #[serde(default)]
    pub(crate) restream: restream::Config,
    /// Where it may connect to when somebody names a host.
    #[serde(default)]
    pub(crate) outbound: outbound::Config,
    /// What is kept for the audit log.
    #[serde(default)]
    pub(crate) audit: audit::Config,
    /// How streams are buffered, written and cut.
    #[serde(default)]
    pub(crate) hub: hub::Config,
    /// FFmpeg, for what is encoded.
    #[serde(default)]
    pub(crate) ffmpeg: ffmpeg::Config,
    /// Certificate and key of the listeners that have TLS.
    #[serde(default)]
    pub(crate) tls: Files,
    /// How long a stop waits for work that is under way.
    #[serde(with = "humantime_serde")]
    pub stop_deadline: Duration,
}

impl Config {
    /// Everything that is wrong with it, each in words that name the key.
    #[must_use]
    pub fn validate(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.data.is_none() {
            found.push(
                "edge.data: is missing; it names the directory of the edge's state".to_owned(),
            );
        }
        match &self.controller_url {
            None => found.push(
                "edge.controller_url: is missing; for example https://controller:8443".to_owned(),
            ),
            Some(url) if url.scheme() != "https" || !url.has_host() => {
                found.push(
                    "edge.controller_url: must be https://…, where the controllers' edge_listen is"
                        .to_owned(),
                );
            }
            Some(_) => {}
        }
        self.validate_advertised(&mut found);
        self.validate_listeners(&mut found);
        if let Some(address) = self.rtsp_udp_listen
            && !address.port().is_multiple_of(2)
        {
            found.push(
                "edge.rtsp_udp_listen: needs an even port; RTCP has the odd one behind it"
                    .to_owned(),
            );
        }
        self.validate_tls(&mut found);
        let mut violations = Violations::default();
        violations.optional_text("name", self.name.as_deref(), 63);
        violations.text("site", &self.site, 63);
        violations.text("zone", &self.zone, 63);
        violations.within("labels", |found| self.labels.validate(found));
        if self.capacity > 100_000 {
            violations.report("capacity", "must be at most 100000");
        }
        self.limits().validate(&mut violations);
        for field in violations.into_fields() {
            let key = field.pointer.replace('/', ".");
            found.push(format!("edge{key}: {}", field.detail));
        }
        found
    }

    /// How many viewers it serves at most.
    pub(crate) fn limits(&self) -> NodeLimits {
        NodeLimits {
            max_viewers: Some(u32::try_from(self.max_viewers).unwrap_or(u32::MAX)),
            max_egress_mbit: self.max_egress_mbit,
        }
    }

    /// Lets cameras and restreams be on this machine itself, which is closed to them otherwise:
    /// for where everything runs on one machine. What `edge.outbound.allow` says comes before.
    pub fn allow_loopback(&mut self) {
        if self.outbound.allow_loopback() {
            tracing::info!(
                "cameras and restreams may be on this machine itself, since all of Headworks is; \
                 edge.outbound.allow says otherwise"
            );
        }
    }

    /// Where other edges come.
    pub(crate) fn relay_listen(&self) -> SocketAddr {
        let anywhere = (Ipv6Addr::UNSPECIFIED, RELAY_PORT).into();
        self.relay_listen.unwrap_or(anywhere)
    }

    fn validate_advertised(&self, found: &mut Vec<String>) {
        if let Some(url) = &self.relay_advertise
            && (url.scheme() != "https" || !url.has_host())
        {
            found.push("edge.relay_advertise: must be https://…".to_owned());
        }
        if let Some(url) = &self.http_advertise
            && (!matches!(url.scheme(), "http" | "https") || !url.has_host())
        {
            found.push("edge.http_advertise: must be http://… or https://…".to_owned());
        }
        for (scheme, url) in [
            ("rtmp", &self.rtmp_advertise),
            ("rtmps", &self.rtmps_advertise),
            ("rtsp", &self.rtsp_advertise),
            ("rtsps", &self.rtsps_advertise),
        ] {
            if let Some(url) = url
                && (url.scheme() != scheme || !url.has_host())
            {
                found.push(format!("edge.{scheme}_advertise: must be {scheme}://…"));
            }
        }
        for (scheme, listen, url) in [
            ("rtmps", self.rtmps_listen, &self.rtmps_advertise),
            ("rtsps", self.rtsps_listen, &self.rtsps_advertise),
        ] {
            if url.is_some() && listen.is_none() {
                found.push(format!(
                    "edge.{scheme}_advertise: nothing listens there; set edge.{scheme}_listen too"
                ));
            }
        }
    }

    fn validate_tls(&self, found: &mut Vec<String>) {
        found.extend(self.tls.validate("edge.tls"));
        for (scheme, listen) in [
            ("https", self.https_listen),
            ("rtmps", self.rtmps_listen),
            ("rtsps", self.rtsps_listen),
        ] {
            if listen.is_some() && self.tls.certificate.is_none() {
                found.push(format!(
                    "edge.{scheme}_listen: needs edge.tls.certificate and edge.tls.key"
                ));
            }
        }
    }

    /// Two cannot listen at the same place.
    fn validate_listeners(&self, found: &mut Vec<String>) {
        let all = [
            ("http", Some(self.http_listen)),
            ("https", self.https_listen),
            ("rtmp", Some(self.rtmp_listen)),
            ("rtmps", self.rtmps_listen),
            ("rtsp", Some(self.rtsp_listen)),
            ("rtsps", self.rtsps_listen),
            ("relay", Some(self.relay_listen())),
        ];
        for (index, (name, address)) in all.iter().enumerate() {
            let taken = address.filter(|address| address.port() != 0).and_then(|_| {
                let before = all[..index].iter();
                before.clone().find(|(_, other)| other == address)
            });
            if let Some((other, _)) = taken {
                found.push(format!(
                    "edge.{name}_listen: is the same as edge.{other}_listen; choose another port"
                ));
            }
        }
    }
}

/// More than all viewers in one building, and far from all places of a listener.
fn connections_per_address() -> usize {
    2000
}

fn max_viewers() -> usize {
    20_000
}

/// `off` is none. Other keys are left away for that, but this one has a default.
fn address_or_off<'de, D>(deserializer: D) -> Result<Option<SocketAddr>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    match &*String::deserialize(deserializer)? {
        "off" => Ok(None),
        address => address.parse().map(Some).map_err(D::Error::custom),
    }
}

/// For tests: a small edge on a free loopback port.
#[cfg(test)]
pub(crate) fn testing() -> Config {
    Config {
        data: None,
        controller_url: None,
        join_token: None,
        name: None,
        site: "default".to_owned(),
        zone: "default".to_owned(),
        labels: Labels::default(),
        capacity: 10,
        http_listen: ([127, 0, 0, 1], 0).into(),
        https_listen: None,
        http_advertise: None,
        rtmp_listen: ([127, 0, 0, 1], 0).into(),
        rtmp_advertise: None,
        rtmps_listen: None,
        rtmps_advertise: None,
        rtsp_listen: ([127, 0, 0, 1], 0).into(),
        rtsp_advertise: None,
        rtsp_udp_listen: None,
        rtsps_listen: None,
        rtsps_advertise: None,
        relay_listen: Some(([127, 0, 0, 1], 0).into()),
        relay_advertise: None,
        connections_per_address: connections_per_address(),
        trusted_proxies: TrustedProxies::default(),
        max_viewers: max_viewers(),
        max_egress_mbit: None,
        pull: ingest::Config::default(),
        relay: relay::Config::default(),
        restream: restream::Config::default(),
        outbound: outbound::Config::default(),
        audit: audit::Config::default(),
        hub: hub::Config::default(),
        ffmpeg: ffmpeg::Config::default(),
        tls: Files::default(),
        stop_deadline: Duration::from_secs(5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_with_tls_needs_a_certificate() {
        let mut config = testing();
        config.rtmps_listen = Some(([127, 0, 0, 1], 0).into());
        let words = "edge.rtmps_listen: needs edge.tls.certificate and edge.tls.key".to_owned();
        assert!(config.validate().contains(&words));
        config.tls = Files {
            certificate: Some("tls.crt".into()),
            key: Some("tls.key".into()),
        };
        assert!(!config.validate().contains(&words));
    }
}
