//! Sessions: who watches what, where and how.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{CameraId, NodeId, ProjectId, SessionId};

/// One viewer who watches one camera by one protocol, after the edge has accepted a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The camera's project.
    pub project_id: ProjectId,
    /// What is watched.
    pub camera_id: CameraId,
    /// The node that it is watched on.
    pub node_id: NodeId,
    /// Who watches: a user (`usr_…`), an API key (`key_…`) or whoever has a token of a
    /// customer's key (`pkey_…`).
    pub subject: String,
    /// The issuer's own name for who watches.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub viewer_id: Option<String>,
    /// The token that opened it, by its `jti`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token_id: Option<String>,
    /// True if the camera is heard, too.
    #[serde(default)]
    pub sound: bool,
    /// How it is watched.
    pub protocol: ViewProtocol,
    /// From where.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// What it was sent; a few seconds old.
    pub bytes_sent: u64,
    /// Since when.
    pub started_at: DateTime<Utc>,
    /// When it ends at the latest.
    pub watch_until: DateTime<Utc>,
}

/// How a camera is watched.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ViewProtocol {
    /// HLS, also with low latency.
    Hls,
    /// FLV over HTTP.
    Flv,
    /// FLV in WebSocket messages.
    FlvWebsocket,
    /// MPEG-TS over HTTP.
    Ts,
    /// RTMP.
    Rtmp,
    /// RTMP over TLS.
    Rtmps,
    /// RTMP over HTTP.
    Rtmpt,
    /// RTMP over HTTPS.
    Rtmpts,
    /// RTSP.
    Rtsp,
    /// RTSP over TLS.
    Rtsps,
}

impl ViewProtocol {
    /// Every protocol there is.
    pub const ALL: [Self; 10] = [
        Self::Hls,
        Self::Flv,
        Self::FlvWebsocket,
        Self::Ts,
        Self::Rtmp,
        Self::Rtmps,
        Self::Rtmpt,
        Self::Rtmpts,
        Self::Rtsp,
        Self::Rtsps,
    ];

    /// As on the wire and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hls => "hls",
            Self::Flv => "flv",
            Self::FlvWebsocket => "flv_websocket",
            Self::Ts => "ts",
            Self::Rtmp => "rtmp",
            Self::Rtmps => "rtmps",
            Self::Rtmpt => "rtmpt",
            Self::Rtmpts => "rtmpts",
            Self::Rtsp => "rtsp",
            Self::Rtsps => "rtsps",
        }
    }

    /// The protocol of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|protocol| protocol.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_wire_names() {
        for protocol in ViewProtocol::ALL {
            let json = serde_json::to_string(&protocol).expect("serializes");
            assert_eq!(json, format!("\"{}\"", protocol.as_str()));
            assert_eq!(ViewProtocol::from_name(protocol.as_str()), Some(protocol));
        }
    }
}
