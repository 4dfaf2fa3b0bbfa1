//! Playback tokens: signed, per user, checked by every edge alone.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use crate::{Action, Advertise, CameraId, NodeId, Secret, UserId, Validate, Violations};

/// `typ` of a playback token's header (RFC 8725 §3.11). API credentials have another form.
pub const PLAYBACK_TYP: &str = "hwplay+jwt";
/// `aud` of a playback token.
pub const PLAYBACK_AUDIENCE: &str = "headworks-edge";
/// `iss` of a playback token that the controller signed.
pub const PLAYBACK_ISSUER: &str = "headworks";
/// For how long a token opens sessions at most, in seconds.
pub const MAX_OPEN_SECONDS: u32 = 600;

/// What a playback token says (RFC 7519). Times are seconds since 1970.
///
/// It says no more than edges need: FFmpeg cuts the path of an RTMP URL behind `/live/` after 511
/// characters, and the token is one part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaybackClaims {
    /// Always [`PLAYBACK_ISSUER`].
    pub iss: String,
    /// Always [`PLAYBACK_AUDIENCE`].
    pub aud: String,
    /// The user or API key that watches: `usr_…` or `key_…`.
    pub sub: String,
    /// Names this token.
    pub jti: String,
    /// When it was issued.
    pub iat: i64,
    /// Until when it opens a session.
    pub exp: i64,
    /// Until when a session may watch.
    pub sxp: i64,
    /// The cameras that it opens.
    pub cams: Vec<CameraId>,
    /// What it allows with them. To watch them live, if it says nothing.
    #[serde(default = "to_watch", skip_serializing_if = "is_to_watch")]
    pub act: Vec<Action>,
}

/// Asks for a playback token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaybackTokenCreate {
    /// The user who will watch; needs `user.manage`. The caller itself if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user_id: Option<UserId>,
    /// 1 to 50 cameras that whoever watches may view.
    #[schema(min_items = 1, max_items = 50)]
    pub camera_ids: Vec<CameraId>,
    /// For how long it opens sessions, in seconds: 1 to 600. Default 300.
    #[serde(default = "five_minutes")]
    pub expires_in_seconds: u32,
    /// For how long a session may watch, in seconds: `expires_in_seconds` to 43200. Default 14400.
    #[serde(default = "four_hours")]
    pub watch_seconds: u32,
}

impl Validate for PlaybackTokenCreate {
    fn validate(&self, found: &mut Violations) {
        if !(1..=50).contains(&self.camera_ids.len()) {
            found.report("camera_ids", "must name 1 to 50 cameras");
        }
        for (index, id) in self.camera_ids.iter().enumerate() {
            if self.camera_ids[..index].contains(id) {
                found.within("camera_ids", |found| {
                    found.report(&index.to_string(), "stands here twice");
                });
            }
        }
        if !(1..=MAX_OPEN_SECONDS).contains(&self.expires_in_seconds) {
            found.report("expires_in_seconds", "must be 1 to 600");
        }
        if !(self.expires_in_seconds..=43_200).contains(&self.watch_seconds) {
            found.report(
                "watch_seconds",
                "must be `expires_in_seconds` to 43200 (12 hours)",
            );
        }
    }
}

/// A playback token and where to use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlaybackToken {
    /// The signed token.
    pub token: Secret,
    /// Until when it opens sessions.
    pub expires_at: DateTime<Utc>,
    /// Until when a session may watch.
    pub watch_until: DateTime<Utc>,
    /// Where each camera can be watched now.
    pub cameras: Vec<PlaybackCamera>,
}

/// Where one camera can be watched now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlaybackCamera {
    /// The camera.
    pub camera_id: CameraId,
    /// The node that has it; absent while it is on none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node_id: Option<NodeId>,
    /// Complete URLs with the token in them; absent while it is on no node.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub urls: Option<PlaybackUrls>,
}

/// One URL for each way to watch. A protocol that the node does not offer is absent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlaybackUrls {
    /// A page with a player.
    pub page: Url,
    /// HLS (RFC 8216) with fragmented MP4.
    pub hls: Url,
    /// FLV over HTTP; H.265 as in Enhanced RTMP.
    pub flv: Url,
    /// FLV in WebSocket messages.
    pub flv_ws: Url,
    /// MPEG-TS over HTTP.
    pub ts: Url,
    /// RTMP. With a token for one camera it fits into what players take (512 characters behind
    /// `/live/`); one for several may not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rtmp: Option<Url>,
    /// RTMP over TLS.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rtmps: Option<Url>,
    /// RTSP.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rtsp: Option<Url>,
    /// RTSP over TLS.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rtsps: Option<Url>,
}

/// Leaves the token out.
impl fmt::Debug for PlaybackUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, url) in self.named() {
            let mut url = url.clone();
            url.set_query(None);
            map.entry(&name, &url.as_str());
        }
        map.finish()
    }
}

impl PlaybackUrls {
    /// The URLs of `camera` on the edge that is reached so.
    #[must_use]
    pub fn new(node: &Advertise, camera: CameraId, token: &Secret) -> Self {
        let with_token = |mut url: Url| {
            url.query_pairs_mut().append_pair("token", token.expose());
            url
        };
        let http = |file| with_token(Advertise::live(&node.http, camera, Some(file)));
        let bare = |base: &Option<Url>| {
            let base = base.as_ref()?;
            Some(with_token(Advertise::live(base, camera, None)))
        };
        let mut flv_ws = http("stream.flv");
        let scheme = if flv_ws.scheme() == "https" {
            "wss"
        } else {
            "ws"
        };
        // Both are of the same kind as http and https, so that the change is always possible.
        let _ = flv_ws.set_scheme(scheme);
        Self {
            page: http("watch"),
            hls: http("index.m3u8"),
            flv: http("stream.flv"),
            flv_ws,
            ts: http("stream.ts"),
            rtmp: bare(&node.rtmp),
            rtmps: bare(&node.rtmps),
            rtsp: bare(&node.rtsp),
            rtsps: bare(&node.rtsps),
        }
    }

    /// Those that there are, with their names, the easiest first.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &Url)> {
        let all = [
            ("page", Some(&self.page)),
            ("hls", Some(&self.hls)),
            ("flv", Some(&self.flv)),
            ("flv_ws", Some(&self.flv_ws)),
            ("ts", Some(&self.ts)),
            ("rtmp", self.rtmp.as_ref()),
            ("rtmps", self.rtmps.as_ref()),
            ("rtsp", self.rtsp.as_ref()),
            ("rtsps", self.rtsps.as_ref()),
        ];
        let named = |(name, url): (_, Option<_>)| Some((name, url?));
        all.into_iter().filter_map(named)
    }
}

fn to_watch() -> Vec<Action> {
    vec![Action::CameraViewLive]
}

fn is_to_watch(actions: &[Action]) -> bool {
    actions == [Action::CameraViewLive]
}

fn five_minutes() -> u32 {
    300
}

fn four_hours() -> u32 {
    4 * 3600
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn node(http: &str) -> Advertise {
        Advertise::new(http.parse().expect("is a URL"))
    }

    #[test]
    fn urls_stand_below_the_advertised_base() {
        let camera = CameraId::from(Uuid::from_u128(1));
        for base in [
            "http://edge:8081",
            "http://edge:8081/",
            "https://edge:8081/video/",
        ] {
            let urls = PlaybackUrls::new(&node(base), camera, &Secret::new("a.b"));
            let path = format!("live/{camera}/index.m3u8?token=a.b");
            assert!(urls.hls.as_str().ends_with(&path), "{}", urls.hls);
            assert!(!urls.hls.path().contains("//"), "{}", urls.hls);
            let socket = urls.flv.as_str().replacen("http", "ws", 1);
            assert_eq!(urls.flv_ws.as_str(), socket);
            assert_eq!((urls.rtmp, urls.rtsps), (None, None));
        }
    }

    #[test]
    fn every_protocol_that_is_offered_has_its_url() {
        let camera = CameraId::from(Uuid::from_u128(1));
        let base = |url: &str| Some(url.parse().expect("is a URL"));
        let node = Advertise {
            rtmp: base("rtmp://edge:1935"),
            rtmps: base("rtmps://edge/"),
            rtsp: base("rtsp://[2001:db8::1]:8554/"),
            rtsps: base("rtsps://edge:8322/"),
            ..node("http://edge:8081")
        };
        let urls = PlaybackUrls::new(&node, camera, &Secret::new("a.b"));
        assert_eq!(urls.named().count(), 9);
        for (name, start) in [
            ("rtmp", "rtmp://edge:1935"),
            ("rtmps", "rtmps://edge"),
            ("rtsp", "rtsp://[2001:db8::1]:8554"),
            ("rtsps", "rtsps://edge:8322"),
        ] {
            let (_, url) = urls.named().find(|(n, _)| *n == name).expect("is there");
            assert_eq!(url.as_str(), format!("{start}/live/{camera}?token=a.b"));
        }
    }

    #[test]
    fn a_token_to_watch_does_not_say_so() {
        let claims = |act| PlaybackClaims {
            iss: PLAYBACK_ISSUER.to_owned(),
            aud: PLAYBACK_AUDIENCE.to_owned(),
            sub: "usr_00000000000000000000000000000001".to_owned(),
            jti: "1".to_owned(),
            iat: 0,
            exp: 1,
            sxp: 2,
            cams: Vec::new(),
            act,
        };
        for (act, said) in [
            (vec![Action::CameraViewLive], false),
            (vec![Action::CameraManage], true),
            (vec![], true),
        ] {
            let text = serde_json::to_string(&claims(act.clone())).expect("serializes");
            assert_eq!(text.contains("\"act\""), said, "{text}");
            let back: PlaybackClaims = serde_json::from_str(&text).expect("parses");
            assert_eq!(back.act, act);
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let token = Secret::new("a.b");
        let node = node("http://edge:8081");
        let camera = PlaybackCamera {
            camera_id: CameraId::from(Uuid::from_u128(1)),
            node_id: None,
            urls: Some(PlaybackUrls::new(&node, Uuid::from_u128(1).into(), &token)),
        };
        let shown = format!("{camera:?}");
        assert!(shown.contains("/stream.flv\""), "{shown}");
        assert!(!shown.contains("a.b"), "{shown}");
    }
}
