//! Who this edge is in the cluster: given once by joining, then kept on disk.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use headworks_bootstrap::file;
use headworks_client::NodeCredentials;
use headworks_types::{
    Advertise, Capabilities, NodeId, Secret,
    edge::{NodeCertificate, NodeSpec},
};
use serde::{Deserialize, Serialize};
use tokio::{
    net::UdpSocket,
    sync::watch::{Receiver, Sender},
};
use url::{Host, Url};

use crate::Config;

/// The node's id, and the certificate by which it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) node_id: NodeId,
    /// PEM, as all of these.
    pub(crate) key: Secret,
    pub(crate) certificate: String,
    pub(crate) authority: String,
    /// When another certificate is to be asked for, by this machine's clock.
    pub(crate) renew_at: DateTime<Utc>,
}

impl Identity {
    /// What was given for a request with this key.
    pub(crate) fn new(
        node_id: NodeId,
        key: Secret,
        given: NodeCertificate,
        now: DateTime<Utc>,
    ) -> Self {
        let half = Duration::from_secs(given.expires_in_seconds.into()) / 2;
        Self {
            node_id,
            key,
            certificate: given.certificate,
            authority: given.authority,
            renew_at: now + half,
        }
    }

    /// Reads it; none if this edge has never joined.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Option<Self>> {
        let Some(bytes) = file::read(path)? else {
            return Ok(None);
        };
        let identity = serde_json::from_slice(&bytes).with_context(|| {
            let path = path.display();
            format!("{path} is damaged; delete it and start with a new join token")
        })?;
        Ok(Some(identity))
    }

    /// Keeps it for ever.
    pub(crate) fn save(&self, path: &Path) -> anyhow::Result<()> {
        file::write(path, &serde_json::to_vec(self)?)
    }

    /// For TLS with controllers and other nodes.
    pub(crate) fn credentials(&self) -> NodeCredentials {
        NodeCredentials {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            authority: self.authority.clone(),
        }
    }
}

/// Who this edge is, for whoever talks to other nodes: nobody until it is known, and then with the
/// newest certificate. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Own(Arc<Sender<Option<Arc<Identity>>>>);

impl Own {
    /// It is known, or has another certificate.
    pub(crate) fn set(&self, identity: &Identity) {
        self.0.send_replace(Some(Arc::new(identity.clone())));
    }

    /// As it is now.
    pub(crate) fn get(&self) -> Option<Arc<Identity>> {
        self.0.borrow().clone()
    }

    /// Follows it.
    pub(crate) fn subscribe(&self) -> Receiver<Option<Arc<Identity>>> {
        self.0.subscribe()
    }
}

/// Where the listeners of this edge really listen; a protocol without a listener is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) http: SocketAddr,
    pub(crate) https: Option<SocketAddr>,
    pub(crate) rtmp: Option<SocketAddr>,
    pub(crate) rtmps: Option<SocketAddr>,
    pub(crate) rtsp: Option<SocketAddr>,
    pub(crate) rtsps: Option<SocketAddr>,
    pub(crate) relay: Option<SocketAddr>,
}

impl Bound {
    /// An edge that listens for HTTP only.
    pub(crate) fn new(http: SocketAddr) -> Self {
        Self {
            http,
            https: None,
            rtmp: None,
            rtmps: None,
            rtsp: None,
            rtsps: None,
            relay: None,
        }
    }

    /// Tells where the edge listens.
    pub(crate) fn log(&self) {
        let shown = |address: Option<SocketAddr>| address.map(tracing::field::display);
        tracing::info!(
            http = %self.http, rtmp = shown(self.rtmp), rtmps = shown(self.rtmps),
            rtsp = shown(self.rtsp), rtsps = shown(self.rtsps), relay = shown(self.relay),
            "the edge listens"
        );
    }
}

/// How this edge describes itself now.
pub(crate) async fn describe(
    config: &Config,
    controller: &Url,
    bound: Bound,
) -> anyhow::Result<NodeSpec> {
    let (ffmpeg, ffprobe) = config.ffmpeg.are_installed();
    let capabilities = Capabilities {
        ffmpeg,
        files: ffprobe && config.pull.files.is_some(),
    };
    Ok(NodeSpec {
        name: config.name.clone().unwrap_or_else(host_name),
        site: config.site.clone(),
        zone: config.zone.clone(),
        labels: config.labels.clone(),
        capacity: config.capacity,
        capabilities: Some(capabilities),
        limits: config.limits(),
        advertise: advertise(config, controller, bound).await?,
        relay: relay(config, controller, bound).await?,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Where other edges reach this one.
async fn relay(config: &Config, controller: &Url, bound: Bound) -> anyhow::Result<Option<Url>> {
    let Some(bound) = bound.relay else {
        return Ok(None);
    };
    let configured = config.relay_advertise.as_ref();
    let own = if configured.is_none() && bound.ip().is_unspecified() {
        Some(own_address(controller).await?)
    } else {
        None
    };
    advertised("https", bound, own, configured).map(Some)
}

/// What is configured counts; the rest is found out.
async fn advertise(config: &Config, controller: &Url, bound: Bound) -> anyhow::Result<Advertise> {
    let (http_scheme, http_bound) = match bound.https {
        Some(https) => ("https", https),
        None => ("http", bound.http),
    };
    let listeners = [
        (Some(http_bound), &config.http_advertise),
        (bound.rtmp, &config.rtmp_advertise),
        (bound.rtmps, &config.rtmps_advertise),
        (bound.rtsp, &config.rtsp_advertise),
        (bound.rtsps, &config.rtsps_advertise),
    ];
    let is_everywhere = |bound: SocketAddr| bound.ip().is_unspecified();
    let unknown = listeners
        .iter()
        .any(|(bound, url)| url.is_none() && bound.is_some_and(is_everywhere));
    let own = if unknown {
        Some(own_address(controller).await?)
    } else {
        None
    };
    let optional = |scheme, bound: Option<SocketAddr>, configured: &Option<Url>| {
        let url = |bound| advertised(scheme, bound, own, configured.as_ref());
        bound.map(url).transpose()
    };
    let http = config.http_advertise.as_ref();
    Ok(Advertise {
        http: advertised(http_scheme, http_bound, own, http)?,
        rtmp: optional("rtmp", bound.rtmp, &config.rtmp_advertise)?,
        rtmps: optional("rtmps", bound.rtmps, &config.rtmps_advertise)?,
        rtsp: optional("rtsp", bound.rtsp, &config.rtsp_advertise)?,
        rtsps: optional("rtsps", bound.rtsps, &config.rtsps_advertise)?,
    })
}

/// What is configured; else the address that we listen on; if that is all of them, our `own`.
fn advertised(
    scheme: &str,
    bound: SocketAddr,
    own: Option<IpAddr>,
    configured: Option<&Url>,
) -> anyhow::Result<Url> {
    if let Some(url) = configured {
        return Ok(url.clone());
    }
    let mut address = bound;
    if let Some(own) = own.filter(|_| bound.ip().is_unspecified()) {
        address.set_ip(own);
    }
    format!("{scheme}://{address}/")
        .parse()
        .with_context(|| format!("edge.{scheme}_advertise"))
}

/// The address that the system would use towards the controller.
async fn own_address(controller: &Url) -> anyhow::Result<IpAddr> {
    let target = resolve(controller).await?;
    let any: SocketAddr = if target.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    // Connecting a UDP socket sends nothing; it only asks for a route.
    let socket = UdpSocket::bind(any).await?;
    socket
        .connect(target)
        .await
        .context("find a route to the controller")?;
    Ok(socket.local_addr()?.ip())
}

async fn resolve(url: &Url) -> anyhow::Result<SocketAddr> {
    let port = url.port_or_known_default().unwrap_or(80);
    match url.host() {
        Some(Host::Ipv4(ip)) => Ok((ip, port).into()),
        Some(Host::Ipv6(ip)) => Ok((ip, port).into()),
        Some(Host::Domain(name)) => tokio::net::lookup_host((name, port))
            .await
            .with_context(|| format!("find the address of {name}"))?
            .next()
            .with_context(|| format!("{name} has no address")),
        None => anyhow::bail!("edge.controller_url: `{url}` has no host"),
    }
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty() && name.len() <= 63)
        .unwrap_or_else(|| "edge".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_a_restart() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("identity.json");
        assert_eq!(Identity::load(&path).expect("reads"), None);
        let identity = Identity {
            node_id: NodeId::from(uuid::Uuid::from_u128(1)),
            key: Secret::new("key"),
            certificate: "certificate".to_owned(),
            authority: "authority".to_owned(),
            renew_at: DateTime::UNIX_EPOCH,
        };
        identity.save(&path).expect("saves");
        assert_eq!(Identity::load(&path).expect("reads"), Some(identity));
        std::fs::write(&path, "{").expect("writes");
        let error = Identity::load(&path).expect_err("is damaged");
        assert!(error.to_string().contains("new join token"), "{error}");
    }

    #[tokio::test]
    async fn viewers_are_sent_to_an_address_that_exists() {
        let controller: Url = "http://127.0.0.1:8080".parse().expect("parses");
        let config = crate::config::testing();
        let cases = [
            ("[::]:8081", "http://127.0.0.1:8081/"),
            ("0.0.0.0:9", "http://127.0.0.1:9/"),
            ("192.0.2.7:8081", "http://192.0.2.7:8081/"),
            ("[2001:db8::1]:8081", "http://[2001:db8::1]:8081/"),
        ];
        for (bound, expected) in cases {
            let bound = bound.parse().expect("parses");
            let seen = advertise(&config, &controller, Bound::new(bound)).await;
            assert_eq!(seen.expect("has a route").http.as_str(), expected);
        }
    }

    #[tokio::test]
    async fn other_edges_are_told_where_relays_are() {
        let controller: Url = "http://127.0.0.1:8080".parse().expect("parses");
        let mut config = crate::config::testing();
        let http = Bound::new(([0, 0, 0, 0], 8081).into());
        let nowhere = relay(&config, &controller, http).await;
        assert_eq!(nowhere.expect("is none"), None);
        let bound = Bound {
            relay: Some(([0, 0, 0, 0], 8445).into()),
            ..http
        };
        let found = relay(&config, &controller, bound).await;
        let found = found.expect("has a route").expect("listens");
        assert_eq!(found.as_str(), "https://127.0.0.1:8445/");
        config.relay_advertise = Some("https://edge.example.com:9/".parse().expect("parses"));
        let told = relay(&config, &controller, bound).await;
        assert_eq!(told.expect("is known"), config.relay_advertise);
    }

    #[tokio::test]
    async fn what_listens_is_advertised_and_nothing_else() {
        let controller: Url = "http://127.0.0.1:8080".parse().expect("parses");
        let at = |port| SocketAddr::from(([0, 0, 0, 0], port));
        let mut config = crate::config::testing();
        config.rtmps_advertise = Some("rtmps://edge.example.com/".parse().expect("parses"));
        config.rtsp_advertise = Some("rtsp://edge.example.com/".parse().expect("parses"));
        let only_http = advertise(&config, &controller, Bound::new(at(8081))).await;
        let http: Url = "http://127.0.0.1:8081/".parse().expect("parses");
        assert_eq!(only_http.expect("has a route"), Advertise::new(http));
        let bound = Bound {
            rtmp: Some(at(1935)),
            rtmps: Some(at(1936)),
            ..Bound::new(at(8081))
        };
        let both = advertise(&config, &controller, bound).await;
        let both = both.expect("has a route");
        let bound = Bound {
            https: Some(at(8444)),
            ..bound
        };
        let safe = advertise(&config, &controller, bound).await;
        let safe = safe.expect("has a route").http;
        assert_eq!(safe.as_str(), "https://127.0.0.1:8444/");
        let shown = |url: &Option<Url>| url.as_ref().map(ToString::to_string);
        let rtmp = "rtmp://127.0.0.1:1935/".to_owned();
        assert_eq!(shown(&both.rtmp), Some(rtmp));
        assert_eq!(both.rtmps, config.rtmps_advertise);
        assert_eq!((both.rtsp, both.rtsps), (None, None));
    }
}
