//! Playback tokens: signed, per user, checked by every edge alone.

use std::{fmt, net::IpAddr};

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use crate::{
    Action, Advertise, CameraGroupId, CameraId, NodeId, ProjectId, Secret, UserId, Validate,
    Violations, action::check_camera_actions,
};

/// `typ` of a playback token's header (RFC 8725 §3.11). API credentials have another form.
pub const PLAYBACK_TYP: &str = "hwplay+jwt";
/// `aud` of a playback token.
pub const PLAYBACK_AUDIENCE: &str = "headworks-edge";
/// `iss` of a playback token that the controller signed.
pub const PLAYBACK_ISSUER: &str = "headworks";
/// For how long a token opens sessions at most, in seconds.
pub const MAX_OPEN_SECONDS: u32 = 600;

/// What a playback token says (RFC 7519). Times are whole seconds since 1970.
///
/// It says no more than edges need: FFmpeg cuts the path of an RTMP URL behind `/live/` after 511
/// characters, and the token is one part of it. With one camera and nothing special it has less
/// than 400.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaybackClaims {
    /// [`PLAYBACK_ISSUER`], or nothing. What customers sign says what it likes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub iss: Option<String>,
    /// Always [`PLAYBACK_AUDIENCE`].
    pub aud: String,
    /// The user or API key that watches: `usr_…` or `key_…`. In what customers sign, their own
    /// name for who watches.
    pub sub: String,
    /// The user or API key that issued it, where that is not `sub`. In what customers sign it means
    /// nothing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by: Option<String>,
    /// The issuer's own name for who watches, where `sub` is the issuer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub vid: Option<String>,
    /// Names this token.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub jti: Option<String>,
    /// When it was issued.
    pub iat: i64,
    /// From when on it opens a session.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub nbf: Option<i64>,
    /// Until when it opens a session: at most [`Self::MAX_OPEN`] after `iat`.
    pub exp: i64,
    /// Until when a session may watch: at most [`Self::MAX_WATCH`] after `iat`. If it is not said,
    /// [`Self::WATCH`] after `iat`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sxp: Option<i64>,
    /// The cameras that it opens.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub cams: Vec<CameraId>,
    /// The groups below which it opens all cameras.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub grps: Vec<CameraGroupId>,
    /// What it allows with them. To watch them live and to hear them, if it says nothing.
    #[serde(default = "to_watch", skip_serializing_if = "is_to_watch")]
    pub act: Vec<Action>,
    /// The network that viewers have to come from: `192.0.2.0/24`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ip: Option<IpNet>,
    /// The web origin that viewers have to come from, by HTTP: `https://example.com`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub org: Option<String>,
    /// How many sessions it may have at once; needs a `jti`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max: Option<u32>,
}

impl PlaybackClaims {
    /// The longest time that a token may open sessions, seconds after `iat`.
    pub const MAX_OPEN: i64 = MAX_OPEN_SECONDS as i64;
    /// The longest time that a session may watch, seconds after `iat`.
    pub const MAX_WATCH: i64 = 43_200;
    /// How long a session may watch if the token does not say, seconds after `iat`.
    pub const WATCH: i64 = 14_400;

    /// Says who issued it, if that has to be said.
    #[must_use]
    pub fn issued_by(mut self, issuer: String) -> Self {
        self.by = Some(issuer).filter(|issuer| *issuer != self.sub);
        self
    }

    /// Until when a session may watch.
    #[must_use]
    pub fn watch_until(&self) -> i64 {
        let usual = self.iat.saturating_add(Self::WATCH);
        self.sxp.unwrap_or(usual)
    }

    /// Opens nothing, and lets nobody watch, after this time.
    #[must_use]
    pub fn ending(mut self, end: i64) -> Self {
        self.exp = self.exp.min(end);
        let until = self.watch_until().min(end);
        self.with_watch_until(until)
    }

    /// Says to watch until this time, if that has to be said.
    #[must_use]
    pub fn with_watch_until(mut self, sxp: i64) -> Self {
        self.sxp = Some(sxp).filter(|sxp| *sxp != self.iat.saturating_add(Self::WATCH));
        self
    }
}

/// Asks for a playback token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaybackTokenCreate {
    /// The user who will watch; needs `user.manage`. The caller itself if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user_id: Option<UserId>,
    /// The caller's own name for who will watch, 1 to 64 characters; sessions show it. Not with
    /// `user_id`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(min_length = 1, max_length = 64)]
    pub viewer_id: Option<String>,
    /// At most 50 cameras that whoever watches may view.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schema(max_items = 50)]
    pub camera_ids: Vec<CameraId>,
    /// At most 10 camera groups below which whoever watches may view everything.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schema(max_items = 10)]
    pub camera_group_ids: Vec<CameraGroupId>,
    /// What the token allows; whoever watches and the caller must have all of it. Default: to
    /// watch live, and to hear if both may hear everything that is named. Without
    /// `camera.view_audio` there is no sound, by no protocol.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(min_items = 1)]
    pub actions: Option<Vec<Action>>,
    /// For how long it opens sessions, in seconds: 1 to 600. Default 300.
    #[serde(default = "five_minutes")]
    #[schema(minimum = 1, maximum = 600)]
    pub expires_in_seconds: u32,
    /// For how long a session may watch, in seconds: `expires_in_seconds` to 43200. Default 14400.
    #[serde(default = "four_hours")]
    #[schema(minimum = 1, maximum = 43_200)]
    pub watch_seconds: u32,
    /// The network that viewers have to come from: `192.0.2.7` or `192.0.2.0/24`. Where grants hold
    /// from some networks only, it has to be within those; it is not needed of users who ask for
    /// themselves, whose tokens are then for the address that they ask from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ip: Option<String>,
    /// The web origin that viewers have to come from: `https://example.com`. Opens nothing but
    /// HTTP.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin: Option<String>,
    /// How many sessions the token may have at once in the whole cluster, 1 to 1000.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(minimum = 1, maximum = 1000)]
    pub max_sessions: Option<u32>,
}

impl PlaybackTokenCreate {
    /// A token of the caller for these cameras, with all defaults.
    #[must_use]
    pub fn for_cameras(camera_ids: Vec<CameraId>) -> Self {
        Self {
            user_id: None,
            viewer_id: None,
            camera_ids,
            camera_group_ids: Vec::new(),
            actions: None,
            expires_in_seconds: five_minutes(),
            watch_seconds: four_hours(),
            ip: None,
            origin: None,
            max_sessions: None,
        }
    }

    /// What it must be allowed to do.
    #[must_use]
    pub fn needed_actions(&self) -> &[Action] {
        self.actions.as_deref().unwrap_or(&[Action::CameraViewLive])
    }

    /// The network of `ip`; of a single address, the one with only that.
    #[must_use]
    pub fn network(&self) -> Option<IpNet> {
        let text = self.ip.as_deref()?;
        let network = text
            .parse()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.ok().map(|network: IpNet| network.trunc())
    }

    fn validate_objects(&self, found: &mut Violations) {
        if self.camera_ids.len() > 50
            || self.camera_ids.is_empty() && self.camera_group_ids.is_empty()
        {
            found.report("camera_ids", "must name 1 to 50 cameras, or camera groups");
        }
        if self.camera_group_ids.len() > 10 {
            found.report("camera_group_ids", "must name at most 10 camera groups");
        }
        once("camera_ids", &self.camera_ids, found);
        once("camera_group_ids", &self.camera_group_ids, found);
        if let Some(actions) = &self.actions {
            found.within("actions", |found| check_camera_actions(actions, found));
        }
    }
}

/// Reports what stands in a list twice.
fn once<T: PartialEq>(name: &str, list: &[T], found: &mut Violations) {
    for (index, item) in list.iter().enumerate() {
        if list[..index].contains(item) {
            found.within(name, |found| {
                found.report(&index.to_string(), "stands here twice");
            });
        }
    }
}

impl Validate for PlaybackTokenCreate {
    fn validate(&self, found: &mut Violations) {
        self.validate_objects(found);
        found.optional_text("viewer_id", self.viewer_id.as_deref(), 64);
        if self.user_id.is_some() && self.viewer_id.is_some() {
            found.report("viewer_id", "goes without `user_id`: the user has a name");
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
        if self.ip.is_some() && self.network().is_none() {
            found.report("ip", "must be an address or a network like 192.0.2.0/24");
        }
        if let Some(origin) = &self.origin
            && !is_origin(origin)
        {
            found.report("origin", "must be like https://example.com");
        }
        if self
            .max_sessions
            .is_some_and(|max| !(1..=1000).contains(&max))
        {
            found.report("max_sessions", "must be 1 to 1000");
        }
    }
}

/// As browsers write it (RFC 6454 §6.2).
fn is_origin(text: &str) -> bool {
    let parsed = Url::parse(text);
    text.len() <= 255 && parsed.is_ok_and(|url| url.origin().ascii_serialization() == text)
}

/// Takes a playback token back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaybackTokenRevoke {
    /// The token's `jti`.
    pub token_id: String,
    /// The project of its cameras; the caller's own if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub project_id: Option<ProjectId>,
}

impl Validate for PlaybackTokenRevoke {
    fn validate(&self, found: &mut Violations) {
        found.text("token_id", &self.token_id, 128);
    }
}

/// A playback token and where to use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlaybackToken {
    /// The token's `jti`: it can be revoked by that.
    pub token_id: String,
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
    vec![Action::CameraViewLive, Action::CameraViewAudio]
}

fn is_to_watch(actions: &[Action]) -> bool {
    actions == to_watch()
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

    fn claims() -> PlaybackClaims {
        PlaybackClaims {
            iss: None,
            aud: PLAYBACK_AUDIENCE.to_owned(),
            sub: "usr_00000000000000000000000000000001".to_owned(),
            by: None,
            vid: None,
            jti: None,
            iat: 0,
            nbf: None,
            exp: 1,
            sxp: None,
            cams: Vec::new(),
            grps: Vec::new(),
            act: to_watch(),
            ip: None,
            org: None,
            max: None,
        }
    }

    #[test]
    fn what_is_the_default_is_not_said() {
        let text = serde_json::to_string(&claims().with_watch_until(14_400)).expect("serializes");
        let said = r#"{"aud":"headworks-edge","sub":"usr_00000000000000000000000000000001","iat":0,"exp":1}"#;
        assert_eq!(text, said);
    }

    #[test]
    fn networks_and_origins_are_checked() {
        for (ip, network) in [
            ("192.0.2.7", Some("192.0.2.7/32")),
            ("192.0.2.7/24", Some("192.0.2.0/24")),
            ("2001:db8::1", Some("2001:db8::1/128")),
            ("192.0.2.0/33", None),
            ("here", None),
        ] {
            let mut ask = PlaybackTokenCreate::for_cameras(vec![Uuid::from_u128(1).into()]);
            ask.ip = Some(ip.to_owned());
            assert_eq!(ask.network().map(|net| net.to_string()).as_deref(), network);
            let mut found = Violations::default();
            ask.validate(&mut found);
            assert_eq!(found.into_fields().is_empty(), network.is_some(), "{ip}");
        }
        for (origin, good) in [
            ("https://example.com", true),
            ("http://localhost:3000", true),
            ("https://example.com/", false),
            ("https://example.com:443", false),
            ("null", false),
            ("*", false),
        ] {
            assert_eq!(is_origin(origin), good, "{origin}");
        }
    }

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
        let claims = |act| PlaybackClaims { act, ..claims() };
        for (act, said) in [
            (to_watch(), false),
            (vec![Action::CameraViewLive], true),
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
