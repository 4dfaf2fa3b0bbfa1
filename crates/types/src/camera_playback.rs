//! Where to watch a camera best: an answer to a viewer's program, and addresses that lead there.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Action, CameraId, CameraState, NodeId, PlaybackTokenCreate, PlaybackUrls, Secret, UserId,
    Validate, Violations,
};

/// Asks for a playback token for one camera, and for the edges where it is watched best. What it says
/// of the token is as for `playback_token_issue`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CameraPlaybackRequest {
    /// The zone that the viewer is in. If absent, that of `address`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(min_length = 1, max_length = 63)]
    pub zone: Option<String>,
    /// The viewer's address, if somebody else asks. Its zone is the one that
    /// `[controller.zones]` gives it. Default: the caller's own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub address: Option<String>,
    /// The user who will watch; needs `user.manage`. The caller itself if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user_id: Option<UserId>,
    /// The caller's own name for who will watch, 1 to 64 characters; sessions show it. Not with
    /// `user_id`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(min_length = 1, max_length = 64)]
    pub viewer_id: Option<String>,
    /// What the token allows. Default: to watch live, and to hear if whoever watches and the caller
    /// may hear the camera.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(min_items = 1)]
    pub actions: Option<Vec<Action>>,
    /// For how long the token opens sessions, in seconds: 1 to 600. Default 300.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(minimum = 1, maximum = 600)]
    pub expires_in_seconds: Option<u32>,
    /// For how long a session may watch, in seconds: `expires_in_seconds` to 43200. Default 14400.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(minimum = 1, maximum = 43_200)]
    pub watch_seconds: Option<u32>,
    /// The network that viewers have to come from: `192.0.2.7` or `192.0.2.0/24`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ip: Option<String>,
    /// The web origin that viewers have to come from: `https://example.com`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin: Option<String>,
    /// How many sessions the token may have at once in the whole cluster, 1 to 1000.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(minimum = 1, maximum = 1000)]
    pub max_sessions: Option<u32>,
}

impl CameraPlaybackRequest {
    /// The viewer's address, if it is said.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.address.as_deref()?.parse().ok()
    }

    /// The token that it asks for.
    #[must_use]
    pub fn token(&self, camera: CameraId) -> PlaybackTokenCreate {
        let usual = PlaybackTokenCreate::for_cameras(vec![camera]);
        PlaybackTokenCreate {
            user_id: self.user_id,
            viewer_id: self.viewer_id.clone(),
            actions: self.actions.clone(),
            expires_in_seconds: self.expires_in_seconds.unwrap_or(usual.expires_in_seconds),
            watch_seconds: self.watch_seconds.unwrap_or(usual.watch_seconds),
            ip: self.ip.clone(),
            origin: self.origin.clone(),
            max_sessions: self.max_sessions,
            ..usual
        }
    }
}

impl Validate for CameraPlaybackRequest {
    fn validate(&self, found: &mut Violations) {
        found.optional_text("zone", self.zone.as_deref(), 63);
        if self.address.is_some() && self.address().is_none() {
            found.report("address", "must be an address like 192.0.2.7");
        }
        // Its fields have the same names, and whichever camera it is, it is one.
        self.token(uuid::Uuid::nil().into()).validate(found);
    }
}

/// A playback token for a camera, and where it is watched best with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CameraPlayback {
    /// The camera.
    pub camera_id: CameraId,
    /// How it is doing. One that gives no picture now may do so soon: players wait for a while.
    pub state: CameraState,
    /// The same for people.
    pub message: String,
    /// The token's `jti`: it can be revoked by that.
    pub token_id: String,
    /// The signed token.
    pub token: Secret,
    /// Until when it opens sessions.
    pub expires_at: DateTime<Utc>,
    /// Until when a session may watch.
    pub watch_until: DateTime<Utc>,
    /// The viewer's zone, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub zone: Option<String>,
    /// Where to watch: first the best edge, then others to try if it does not answer. At least one,
    /// at most four.
    #[schema(min_items = 1, max_items = 4)]
    pub edges: Vec<PlaybackEdge>,
}

/// How many edges a [`CameraPlayback`] names at most.
pub const MAX_PLAYBACK_EDGES: usize = 4;

/// An edge where a camera can be watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlaybackEdge {
    /// Which node it is.
    pub node_id: NodeId,
    /// What people call it.
    pub name: String,
    /// The network area that it belongs to.
    pub zone: String,
    /// What speaks for it, and against it, in words.
    pub reason: String,
    /// Complete URLs with the token in them, for every protocol that it offers.
    pub urls: PlaybackUrls,
}

/// What players open of a camera by HTTP. Every edge has it below `/live/{camera_id}/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum LiveFile {
    /// A page with a player.
    #[serde(rename = "watch")]
    Page,
    /// HLS.
    #[serde(rename = "index.m3u8")]
    Hls,
    /// FLV over HTTP.
    #[serde(rename = "stream.flv")]
    Flv,
    /// MPEG-TS over HTTP.
    #[serde(rename = "stream.ts")]
    Ts,
}

impl LiveFile {
    /// Its address among these.
    #[must_use]
    pub fn url(self, urls: PlaybackUrls) -> url::Url {
        match self {
            Self::Page => urls.page,
            Self::Hls => urls.hls,
            Self::Flv => urls.flv,
            Self::Ts => urls.ts,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::Advertise;

    fn request(json: serde_json::Value) -> CameraPlaybackRequest {
        serde_json::from_value(json).expect("parses")
    }

    fn wrong(json: serde_json::Value) -> Vec<String> {
        let mut found = Violations::default();
        request(json).validate(&mut found);
        let fields = found.into_fields().into_iter();
        fields.map(|field| field.pointer).collect()
    }

    #[test]
    fn nothing_need_be_said() {
        let camera = Uuid::from_u128(1).into();
        let usual = PlaybackTokenCreate::for_cameras(vec![camera]);
        assert_eq!(request(serde_json::json!({})).token(camera), usual);
        assert!(wrong(serde_json::json!({})).is_empty());
    }

    #[test]
    fn what_is_wrong_is_named_where_it_stands() {
        for (json, pointer) in [
            (serde_json::json!({"zone": ""}), "/zone"),
            (serde_json::json!({"zone": "a\nb"}), "/zone"),
            (serde_json::json!({"address": "here"}), "/address"),
            (serde_json::json!({"address": "192.0.2.0/24"}), "/address"),
            (
                serde_json::json!({"expires_in_seconds": 601}),
                "/expires_in_seconds",
            ),
            (serde_json::json!({"watch_seconds": 10}), "/watch_seconds"),
            (serde_json::json!({"ip": "here"}), "/ip"),
            (serde_json::json!({"max_sessions": 0}), "/max_sessions"),
        ] {
            assert_eq!(wrong(json.clone()), [pointer], "{json}");
        }
    }

    #[test]
    fn every_file_has_its_own_address() {
        let node = Advertise::new("http://edge:8081/".parse().expect("parses"));
        let camera = Uuid::from_u128(1).into();
        let urls = PlaybackUrls::new(&node, camera, &Secret::new("a.b"));
        for file in [LiveFile::Page, LiveFile::Hls, LiveFile::Flv, LiveFile::Ts] {
            let name = serde_json::to_value(file).expect("serializes");
            let name = name.as_str().expect("is a text");
            let path = format!("/live/{camera}/{name}");
            assert_eq!(file.url(urls.clone()).path(), path);
        }
    }
}
