//! Stream keys: a publisher's secret for one camera.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{CameraId, PublishUrls, Secret, StreamKeyId, Validate, Violations};

/// A publisher's credential for one camera. A camera may have several at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StreamKey {
    /// Its id.
    pub id: StreamKeyId,
    /// The camera that it may publish as.
    pub camera_id: CameraId,
    /// What people call it.
    pub name: String,
    /// The public part of the key, to recognise it by: `hwsk_<lookup>_…`.
    pub lookup: String,
    /// What happens when somebody publishes the camera already.
    #[serde(default)]
    pub on_conflict: OnConflict,
    /// When it stops working, if ever.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// What happens when a publisher comes while another one publishes the same camera.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// The one who comes is refused.
    #[default]
    Reject,
    /// The one who was there is closed.
    Takeover,
}

impl OnConflict {
    /// As on the wire and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Takeover => "takeover",
        }
    }
}

/// A stream key to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamKeyCreate {
    /// 1 to 128 characters.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// When it stops working; never if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<DateTime<Utc>>,
    /// What happens when somebody publishes the camera already. Default `reject`.
    #[serde(default)]
    pub on_conflict: OnConflict,
}

impl Validate for StreamKeyCreate {
    fn validate(&self, found: &mut Violations) {
        found.text("name", &self.name, 128);
    }
}

/// How to exchange a key for a new one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StreamKeyRotate {
    /// How many seconds the old key goes on working, at most 604800 (a week). Default 0.
    #[schema(maximum = 604_800)]
    pub grace_seconds: u32,
}

impl Validate for StreamKeyRotate {
    fn validate(&self, found: &mut Violations) {
        if self.grace_seconds > 7 * 86_400 {
            found.report("grace_seconds", "must be at most 604800 (a week)");
        }
    }
}

/// A new key with its secret, which is shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StreamKeyCreated {
    /// The key's record.
    pub stream_key: StreamKey,
    /// `hwsk_<lookup>_<secret>`: the key itself.
    pub secret: Secret,
    /// Where to publish with it now, ready to paste: the key is in each. Absent while the camera
    /// is on no node, whose reason its `status` says, and if it is not a published one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub publish_urls: Option<PublishUrls>,
}
