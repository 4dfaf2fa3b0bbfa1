//! Playback tokens: signed, per user, checked by every edge alone.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use crate::{Action, CameraId, NodeId, ProjectId, Secret, UserId, Validate, Violations};

/// `typ` of a playback token's header (RFC 8725 §3.11). API credentials have another form.
pub const PLAYBACK_TYP: &str = "hwplay+jwt";
/// `aud` of a playback token.
pub const PLAYBACK_AUDIENCE: &str = "headworks-edge";
/// `iss` of a playback token that the controller signed.
pub const PLAYBACK_ISSUER: &str = "headworks";

/// What a playback token says (RFC 7519). Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaybackClaims {
    /// Always [`PLAYBACK_ISSUER`].
    pub iss: String,
    /// Always [`PLAYBACK_AUDIENCE`].
    pub aud: String,
    /// The user or API key that watches: `usr_…` or `key_…`.
    pub sub: String,
    /// The project of everything in `cams`.
    pub prj: ProjectId,
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
    /// What it allows with them.
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
        if !(1..=600).contains(&self.expires_in_seconds) {
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

/// One URL for each way to watch.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlaybackUrls {
    /// A page with a player.
    pub page: Url,
    /// HLS (RFC 8216) with fragmented MP4.
    pub hls: Url,
    /// FLV over HTTP; H.265 as in Enhanced RTMP.
    pub flv: Url,
}

/// Leaves the token out.
impl fmt::Debug for PlaybackUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |url: &Url| {
            let mut url = url.clone();
            url.set_query(None);
            url.to_string()
        };
        f.debug_struct("PlaybackUrls")
            .field("page", &bare(&self.page))
            .field("hls", &bare(&self.hls))
            .field("flv", &bare(&self.flv))
            .finish()
    }
}

impl PlaybackUrls {
    /// The URLs of `camera` on the edge whose HTTP playback stands at `base`.
    #[must_use]
    pub fn new(base: &Url, camera: CameraId, token: &Secret) -> Self {
        let at = |file: &str| {
            let mut url = base.clone();
            if let Ok(mut path) = url.path_segments_mut() {
                path.pop_if_empty()
                    .extend(["live", &camera.to_string(), file]);
            }
            url.query_pairs_mut().append_pair("token", token.expose());
            url
        };
        Self {
            page: at("watch"),
            hls: at("index.m3u8"),
            flv: at("stream.flv"),
        }
    }
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

    #[test]
    fn urls_stand_below_the_advertised_base() {
        let camera = CameraId::from(Uuid::from_u128(1));
        for base in [
            "http://edge:8081",
            "http://edge:8081/",
            "http://edge:8081/video/",
        ] {
            let base: Url = base.parse().expect("parses");
            let urls = PlaybackUrls::new(&base, camera, &Secret::new("a.b"));
            let path = format!("live/{camera}/index.m3u8?token=a.b");
            assert!(urls.hls.as_str().ends_with(&path), "{}", urls.hls);
            assert!(!urls.hls.path().contains("//"), "{}", urls.hls);
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let base: Url = "http://edge:8081".parse().expect("parses");
        let token = Secret::new("a.b");
        let camera = PlaybackCamera {
            camera_id: CameraId::from(Uuid::from_u128(1)),
            node_id: None,
            urls: Some(PlaybackUrls::new(&base, Uuid::from_u128(1).into(), &token)),
        };
        let shown = format!("{camera:?}");
        assert!(shown.contains("/stream.flv\""), "{shown}");
        assert!(!shown.contains("a.b"), "{shown}");
    }
}
