//! Publishing: where to, who does, and who was refused.

use std::{fmt, net::SocketAddr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use crate::{Advertise, CameraId, Secret, StreamKeyBounds, StreamKeyId};

/// Where to publish one camera: one address for each protocol that its node offers. Where the
/// stream key is not in it, it goes behind each URL as `?key=<stream key>`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublishUrls {
    /// RTMP.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rtmp: Option<RtmpPublish>,
    /// RTMP over TLS.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rtmps: Option<RtmpPublish>,
    /// RTSP (ANNOUNCE and RECORD).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rtsp: Option<Url>,
    /// RTSP over TLS.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rtsps: Option<Url>,
}

/// An RTMP address, whole and as the two fields that OBS and hardware encoders have.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RtmpPublish {
    /// `rtmp://edge:1935/live/<camera>?key=<stream key>`
    pub url: Url,
    /// The field "Server": `rtmp://edge:1935/live`
    pub server: Url,
    /// The field "Stream Key": `<camera>?key=<stream key>`. Keys are shown once; where this one is not
    /// known, `hwsk_…` stands for it, to be put in its place.
    pub stream_key: Secret,
}

/// Stands for a stream key that is not shown again, where an encoder's user has to put it.
const UNKNOWN: &str = "hwsk_…";

/// Leaves the stream key out.
impl fmt::Debug for PublishUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |url: &Option<Url>| url.as_ref().map(without_query);
        f.debug_struct("PublishUrls")
            .field("rtmp", &self.rtmp)
            .field("rtmps", &self.rtmps)
            .field("rtsp", &bare(&self.rtsp))
            .field("rtsps", &bare(&self.rtsps))
            .finish()
    }
}

/// Leaves the stream key out.
impl fmt::Debug for RtmpPublish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_query(&self.url))
    }
}

impl PublishUrls {
    /// Where `camera` is published on the node that is reached so; none if it takes no
    /// publishers. Without a `key` its place is left out.
    #[must_use]
    pub fn new(node: &Advertise, camera: CameraId, key: Option<&Secret>) -> Option<Self> {
        let rtmp = |base: &Url| RtmpPublish::new(base, camera, key);
        let rtsp = |base: &Url| with_key(Advertise::live(base, camera, None), key);
        let urls = Self {
            rtmp: node.rtmp.as_ref().map(rtmp),
            rtmps: node.rtmps.as_ref().map(rtmp),
            rtsp: node.rtsp.as_ref().map(rtsp),
            rtsps: node.rtsps.as_ref().map(rtsp),
        };
        urls.if_any()
    }

    /// Those that a key with these bounds may be used with; none if there are none.
    #[must_use]
    pub fn within(mut self, bounds: &StreamKeyBounds) -> Option<Self> {
        let may = |protocol| bounds.allow_protocol(protocol);
        self.rtmp = self.rtmp.filter(|_| may(PublishProtocol::Rtmp));
        self.rtmps = self.rtmps.filter(|_| may(PublishProtocol::Rtmps));
        self.rtsp = self.rtsp.filter(|_| may(PublishProtocol::Rtsp));
        self.rtsps = self.rtsps.filter(|_| may(PublishProtocol::Rtsps));
        self.if_any()
    }

    fn if_any(self) -> Option<Self> {
        let some = self.rtmp.is_some()
            || self.rtmps.is_some()
            || self.rtsp.is_some()
            || self.rtsps.is_some();
        some.then_some(self)
    }
}

impl RtmpPublish {
    fn new(base: &Url, camera: CameraId, key: Option<&Secret>) -> Self {
        let mut server = Advertise::live(base, camera, None);
        if let Ok(mut path) = server.path_segments_mut() {
            path.pop();
        }
        let stream_key = match key {
            Some(key) => format!("{camera}?key={}", key.expose()),
            None => format!("{camera}?key={UNKNOWN}"),
        };
        Self {
            url: with_key(Advertise::live(base, camera, None), key),
            server,
            stream_key: Secret::new(stream_key),
        }
    }
}

fn with_key(mut url: Url, key: Option<&Secret>) -> Url {
    if let Some(key) = key {
        url.query_pairs_mut().append_pair("key", key.expose());
    }
    url
}

fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

/// Who publishes a camera.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Publisher {
    /// How it speaks.
    pub protocol: PublishProtocol,
    /// Where it comes from: `192.0.2.7:50312`.
    #[schema(value_type = String)]
    pub address: SocketAddr,
    /// The stream key that let it in.
    pub stream_key_id: StreamKeyId,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// Somebody who was not let in as a camera's publisher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedPublisher {
    /// When.
    pub at: DateTime<Utc>,
    /// Where it came from: `192.0.2.7:50312`.
    #[schema(value_type = String)]
    pub address: SocketAddr,
    /// Why, for people.
    pub reason: String,
}

/// How a publisher speaks.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PublishProtocol {
    /// RTMP.
    Rtmp,
    /// RTMP over TLS.
    Rtmps,
    /// RTMP in HTTP requests.
    Rtmpt,
    /// RTMP in HTTPS requests.
    Rtmpts,
    /// RTSP.
    Rtsp,
    /// RTSP over TLS.
    Rtsps,
}

impl PublishProtocol {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Rtmp,
        Self::Rtmps,
        Self::Rtmpt,
        Self::Rtmpts,
        Self::Rtsp,
        Self::Rtsps,
    ];

    /// The protocol of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == name)
    }

    /// As on the wire, which is the scheme of its URLs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
            Self::Rtmps => "rtmps",
            Self::Rtmpt => "rtmpt",
            Self::Rtmpts => "rtmpts",
            Self::Rtsp => "rtsp",
            Self::Rtsps => "rtsps",
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn camera() -> CameraId {
        CameraId::from(Uuid::from_u128(1))
    }

    fn node(rtmp: &str, rtsps: &str) -> Advertise {
        let mut node = Advertise::new("http://edge:8081/".parse().expect("is a URL"));
        node.rtmp = Some(rtmp.parse().expect("is a URL"));
        node.rtsps = Some(rtsps.parse().expect("is a URL"));
        node
    }

    #[test]
    fn encoders_get_what_they_have_fields_for() {
        let key = Secret::new("hwsk_abc_d-e_f");
        for (rtmp, rtsps) in [
            ("rtmp://edge:1935", "rtsps://edge:8322"),
            ("rtmp://edge:1935/", "rtsps://edge:8322/"),
        ] {
            let urls = PublishUrls::new(&node(rtmp, rtsps), camera(), Some(&key));
            let urls = urls.expect("takes publishers");
            let (camera, rtmp) = (camera(), urls.rtmp.expect("is offered"));
            let end = format!("{camera}?key=hwsk_abc_d-e_f");
            assert_eq!(rtmp.url.as_str(), format!("rtmp://edge:1935/live/{end}"));
            assert_eq!(rtmp.server.as_str(), "rtmp://edge:1935/live");
            assert_eq!(rtmp.stream_key.expose(), end);
            let rtsps = urls.rtsps.expect("is offered");
            assert_eq!(rtsps.as_str(), format!("rtsps://edge:8322/live/{end}"));
            assert_eq!((urls.rtmps, urls.rtsp), (None, None));
        }
    }

    #[test]
    fn without_a_key_only_encoders_see_where_it_goes() {
        let urls = PublishUrls::new(&node("rtmp://edge", "rtsps://edge"), camera(), None);
        let urls = urls.expect("takes publishers");
        let rtmp = urls.rtmp.as_ref().expect("is offered");
        let field = format!("{}?key=hwsk_…", camera());
        assert_eq!(rtmp.stream_key.expose(), field);
        for url in [
            &rtmp.url,
            &rtmp.server,
            urls.rtsps.as_ref().expect("is offered"),
        ] {
            assert_eq!(url.query(), None);
        }
        let http = Advertise::new("http://edge:8081/".parse().expect("is a URL"));
        assert_eq!(PublishUrls::new(&http, camera(), None), None);
    }

    #[test]
    fn a_key_is_shown_only_where_it_may_be_used() {
        let urls = || PublishUrls::new(&node("rtmp://edge", "rtsps://edge"), camera(), None);
        let only = |protocol| {
            let bounds = StreamKeyBounds {
                protocols: Some([protocol].into()),
                ..StreamKeyBounds::default()
            };
            urls().and_then(|urls| urls.within(&bounds))
        };
        let secure = only(PublishProtocol::Rtsps).expect("is offered");
        assert!(secure.rtsps.is_some() && secure.rtmp.is_none());
        assert_eq!(only(PublishProtocol::Rtmpt), None);
        let any = urls().and_then(|urls| urls.within(&StreamKeyBounds::default()));
        assert_eq!(any, urls());
    }

    #[test]
    fn debug_shows_no_key() {
        let key = Secret::new("hwsk_abc_def");
        let urls = PublishUrls::new(&node("rtmp://edge", "rtsps://edge"), camera(), Some(&key));
        let shown = format!("{urls:?}");
        assert!(shown.contains(&format!("live/{}", camera())), "{shown}");
        assert!(!shown.contains("hwsk_"), "{shown}");
    }
}
