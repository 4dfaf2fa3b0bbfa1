//! Restreams: pushes of a camera to somebody else's server.
//!
//! Secrets go in and never come out: what is answered has none of them.

mod import;
mod signing;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

pub use import::{
    Placeholders, RestreamImport, RestreamImportItem, RestreamImportOutcome, RestreamImportResult,
    RestreamTemplate,
};
pub use signing::{AlibabaVariant, RestreamSigning, SigningKeySlot, TencentHash, UrlRenewal};

use crate::{
    CameraId, Credentials, Labels, NodeId, ProjectId, RestreamId, Secret, Transport, Validate,
    Violations,
    camera::nullable,
    source::{names_no_stream, server_validate, transport_validate},
};

/// One push of a camera to one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Restream {
    /// Its id.
    pub id: RestreamId,
    /// Which camera is pushed.
    pub camera_id: CameraId,
    /// The camera's project.
    pub project_id: ProjectId,
    /// What people call it; unique among the camera's restreams.
    pub name: String,
    /// The caller's own name for it; unique in the project.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub external_id: Option<String>,
    /// Labels.
    pub labels: Labels,
    /// Where it goes, without what is secret.
    pub url: Url,
    /// How RTP travels, if the target speaks RTSP.
    pub transport: Transport,
    /// False if any certificate of the target is taken.
    pub tls_verify: bool,
    /// True if a user name and password are stored. They are never shown.
    pub has_credentials: bool,
    /// True if a stream key of the target is stored. It is never shown.
    pub has_stream_key: bool,
    /// How the URL is signed. Its secrets are never shown.
    pub signing: RestreamSigning,
    /// What becomes of the video.
    pub video: RestreamVideo,
    /// What becomes of the audio.
    pub audio: RestreamAudio,
    /// A stopped restream is not pushed.
    pub enabled: bool,
    /// Rises with each restart: the pusher then connects anew.
    pub generation: i64,
    /// How it is doing.
    pub status: RestreamStatus,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

/// What becomes of the video.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum RestreamVideo {
    /// It is sent as it comes.
    #[default]
    Copy,
    /// It is encoded anew as H.264 without added delay (libx264, `zerolatency`). Costs a lot of
    /// processor time.
    H264 {
        /// More speed or more quality per bit.
        #[serde(default)]
        preset: X264Preset,
        /// Kilobits per second, 64 to 50000.
        #[schema(minimum = 64, maximum = 50_000)]
        bitrate_kbit: u32,
        /// Frames from one key frame to the next, 1 to 600. Default 50.
        #[serde(default = "default_gop")]
        gop: u16,
        /// Pixels, even, 16 to 7680. With only one of width and height the shape stays; with none
        /// the size stays.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        width: Option<u16>,
        /// Pixels, even, 16 to 7680.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        height: Option<u16>,
    },
}

fn default_gop() -> u16 {
    50
}

/// The presets of libx264 that a live encoder can use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum X264Preset {
    /// The least work.
    Ultrafast,
    /// Still little.
    Superfast,
    /// What most encoders of live video use.
    #[default]
    Veryfast,
    /// More work, fewer bits.
    Faster,
    /// More still.
    Fast,
    /// The most work.
    Medium,
}

impl X264Preset {
    /// As on the wire and on the encoder's command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ultrafast => "ultrafast",
            Self::Superfast => "superfast",
            Self::Veryfast => "veryfast",
            Self::Faster => "faster",
            Self::Fast => "fast",
            Self::Medium => "medium",
        }
    }
}

/// What becomes of the audio.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RestreamAudio {
    /// It is sent as it comes.
    #[default]
    Copy,
    /// It is encoded as AAC, unless it is AAC already.
    Aac,
}

/// How a restream is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestreamStatus {
    /// For programs to switch on.
    pub state: RestreamState,
    /// The same for people: what it does, or what is wrong.
    pub message: String,
    /// Since when it is in this state.
    pub since: DateTime<Utc>,
    /// The node that pushes it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node_id: Option<NodeId>,
    /// That node's name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node_name: Option<String>,
    /// Why it was placed there, or why nowhere.
    pub reason: String,
    /// How often it has been placed.
    pub epoch: i64,
    /// Times that this placement has tried to connect.
    pub attempts: u32,
    /// Bytes that this placement has sent. At most ten seconds old.
    pub bytes_sent: u64,
    /// When the present connection was made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connected_at: Option<DateTime<Utc>>,
    /// Why the last connection ended or could not be made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_error: Option<String>,
    /// Until when the signed URL of the present connection is good.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub url_expires_at: Option<DateTime<Utc>>,
}

/// How a restream is doing, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RestreamState {
    /// It is stopped, or its camera is disabled.
    Disabled,
    /// No node pushes it; `reason` says why.
    Unplaced,
    /// Ready; the camera gives nothing to push.
    Idle,
    /// On its way to the target.
    Connecting,
    /// The target takes it.
    Live,
    /// It does not get through; `message` says why. It is tried again.
    Failed,
    /// The node has not reported for some time.
    Unknown,
}

/// A restream to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestreamCreate {
    /// 1 to 128 characters; unique among the camera's restreams.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// The caller's own name for it, 1 to 128 characters; unique in the project.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(min_length = 1, max_length = 128)]
    pub external_id: Option<String>,
    /// Labels.
    #[serde(default)]
    pub labels: Labels,
    /// `rtmp://`, `rtmps://`, `rtsp://` or `rtsps://`, without user name, password and what else is
    /// secret.
    pub url: Url,
    /// How RTP travels, if the target speaks RTSP.
    #[serde(default)]
    pub transport: Transport,
    /// False takes any certificate of the target. Default true.
    #[serde(default = "yes")]
    pub tls_verify: bool,
    /// User name and password, for RTSP. Sealed at rest, never shown again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub credentials: Option<Credentials>,
    /// The target's stream key: comes after the URL and a slash. Sealed at rest, never shown again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stream_key: Option<Secret>,
    /// How the URL is signed.
    #[serde(default)]
    pub signing: RestreamSigning,
    /// What becomes of the video.
    #[serde(default)]
    pub video: RestreamVideo,
    /// What becomes of the audio.
    #[serde(default)]
    pub audio: RestreamAudio,
    /// False creates it stopped. Default true.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}

impl Validate for RestreamCreate {
    fn validate(&self, found: &mut Violations) {
        found.text("name", &self.name, 128);
        found.optional_text("external_id", self.external_id.as_deref(), 128);
        found.within("labels", |found| self.labels.validate(found));
        check_url(&self.url, found);
        let is_rtsp = matches!(self.url.scheme(), "rtsp" | "rtsps");
        transport_validate(self.url.scheme(), self.transport, found);
        if let Some(credentials) = &self.credentials {
            found.within("credentials", |found| credentials.validate(found));
            if !is_rtsp {
                found.report(
                    "credentials",
                    "only RTSP targets take them; use `stream_key` or `signing`",
                );
            }
        }
        if let Some(key) = &self.stream_key {
            check_part("stream_key", key, found);
        }
        found.within("signing", |found| self.signing.validate(found));
        if self.stream_key.is_none() {
            if names_no_stream(&self.url) {
                found.report(
                    "url",
                    "names no stream; use rtmp://host/app/stream, or rtmp://host/app and a \
                     `stream_key`",
                );
            } else if self.signing.is_of_path() && self.url.path().len() <= 1 {
                found.report("url", "has no path that could be signed");
            }
        }
        found.within("video", |found| self.video.validate(found));
    }
}

fn check_url(url: &Url, found: &mut Violations) {
    if !matches!(url.scheme(), "rtmp" | "rtmps" | "rtsp" | "rtsps") {
        let wrong = url.scheme();
        found.report(
            "url",
            format!("`{wrong}` is not supported; use rtmp://, rtmps://, rtsp:// or rtsps://"),
        );
    }
    server_validate(url, found);
}

/// A secret part of a URL: 1 to 1024 characters that may stand in one.
fn check_part(field: &str, part: &Secret, found: &mut Violations) {
    let text = part.expose();
    if text.is_empty() || text.len() > 1024 {
        found.report(field, "must have 1 to 1024 characters");
    }
    if !text.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
        found.report(
            field,
            "must have only visible ASCII characters and no `#`; encode others with %",
        );
    }
}

impl Validate for RestreamVideo {
    fn validate(&self, found: &mut Violations) {
        let Self::H264 {
            bitrate_kbit,
            gop,
            width,
            height,
            ..
        } = self
        else {
            return;
        };
        if !(64..=50_000).contains(bitrate_kbit) {
            found.report("bitrate_kbit", "must be 64 to 50000");
        }
        if !(1..=600).contains(gop) {
            found.report("gop", "must be 1 to 600");
        }
        for (field, pixels) in [("width", width), ("height", height)] {
            if pixels.is_some_and(|pixels| !(16..=7680).contains(&pixels) || pixels % 2 != 0) {
                found.report(field, "must be even, 16 to 7680");
            }
        }
    }
}

/// A change of a restream (JSON merge patch, RFC 7396): absent fields stay, `null` clears.
///
/// When the scheme, host or port of the URL or `tls_verify` changes, every secret that is stored
/// must be given again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RestreamUpdate {
    /// 1 to 128 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub name: Option<String>,
    /// The caller's own name for it; `null` clears it.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub external_id: Option<Option<String>>,
    /// All labels anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    /// Where it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Url>,
    /// How RTP travels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    /// False takes any certificate of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_verify: Option<bool>,
    /// User name and password, whole; `null` forgets them.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    #[schema(value_type = Option<Credentials>)]
    pub credentials: Option<Option<Credentials>>,
    /// The target's stream key; `null` forgets it.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    #[schema(value_type = Option<Secret>)]
    pub stream_key: Option<Option<Secret>>,
    /// How the URL is signed, whole. Of the same type, secrets that are absent stay as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing: Option<RestreamSigning>,
    /// What becomes of the video, whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video: Option<RestreamVideo>,
    /// What becomes of the audio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<RestreamAudio>,
    /// False stops it, true starts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// What can be wrong depends on the rest, so the result is checked as a whole.
impl Validate for RestreamUpdate {
    fn validate(&self, found: &mut Violations) {
        found.optional_text("name", self.name.as_deref(), 128);
    }
}

#[cfg(test)]
mod tests;
