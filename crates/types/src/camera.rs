//! Cameras: named live sources.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::{
    CameraGroupId, CameraId, CameraSource, Labels, NodeId, Problem, ProjectId, PublishUrls,
    Publisher, RefusedPublisher, Secret, Track, Validate, Viewing, Violations,
};

/// A named live source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Camera {
    /// Its id.
    pub id: CameraId,
    /// The project it belongs to.
    pub project_id: ProjectId,
    /// The group that it is in, if any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group_id: Option<CameraGroupId>,
    /// What people call it.
    pub name: String,
    /// The caller's own name for the camera; unique in the project.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub external_id: Option<String>,
    /// Labels.
    pub labels: Labels,
    /// Where the media comes from.
    pub source: CameraSource,
    /// True if a user name and password are stored. They are never shown.
    pub has_credentials: bool,
    /// A disabled camera is neither pulled nor shown.
    pub enabled: bool,
    /// When it is pulled or played; a published camera comes when its publisher comes.
    pub start: StartMode,
    /// Which nodes may do its work.
    pub placement: Placement,
    /// It refuses a second session: two nodes are never connected to it at once, so it moves only
    /// if it must, with a break.
    #[serde(default)]
    pub exclusive_source: bool,
    /// How it may be watched.
    #[serde(default)]
    pub viewing: Viewing,
    /// How it is doing.
    pub status: CameraStatus,
    /// Where its publisher sends it now, without the stream key. Only a published camera has it,
    /// and only while it is placed; else `status` says why it is not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub publish_urls: Option<PublishUrls>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

/// What a camera asks for to show its picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The user name, as typed: no percent encoding.
    pub username: String,
    /// The password, as typed: no percent encoding.
    pub password: Secret,
}

impl Validate for Credentials {
    fn validate(&self, found: &mut Violations) {
        found.text("username", &self.username, 256);
        if self.password.expose().chars().count() > 256 {
            found.report("password", "must have at most 256 characters");
        }
    }
}

/// When a camera is pulled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StartMode {
    /// All the time.
    #[default]
    Always,
    /// From the first viewer until some time after the last.
    OnDemand,
}

/// Which nodes may do a camera's work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Placement {
    /// Only nodes of this site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Only nodes of this zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Only nodes that carry all of these labels.
    pub labels: Labels,
}

impl Validate for Placement {
    fn validate(&self, found: &mut Violations) {
        found.optional_text("site", self.site.as_deref(), 63);
        found.optional_text("zone", self.zone.as_deref(), 63);
        found.within("labels", |found| self.labels.validate(found));
    }
}

/// How a camera is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CameraStatus {
    /// For programs to switch on.
    pub state: CameraState,
    /// The same for people: what it does, or what is wrong.
    pub message: String,
    /// Since when it is in this state.
    pub since: DateTime<Utc>,
    /// The node that it is placed on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node_id: Option<NodeId>,
    /// That node's name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node_name: Option<String>,
    /// Why it was placed there, or why nowhere.
    pub reason: String,
    /// How often it has been placed.
    pub epoch: i64,
    /// What it is made of, as last seen.
    #[serde(default)]
    pub tracks: Vec<Track>,
    /// How many players watch it now, also several of one person. Restreams do not count.
    pub viewers: u32,
    /// Who publishes it now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub publisher: Option<Publisher>,
    /// Who was refused as its publisher last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refused: Option<RefusedPublisher>,
}

/// How a camera is doing, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CameraState {
    /// Switched off by its `enabled` field.
    Disabled,
    /// No node does its work; `reason` says why.
    Unplaced,
    /// Ready: on demand without a viewer, or waiting for its publisher.
    Idle,
    /// Placed, no picture yet.
    Connecting,
    /// Gives a picture.
    Live,
    /// Gives no picture; `message` says why. It is tried again.
    Failed,
    /// The node has not reported for some time.
    Unknown,
}

impl CameraState {
    /// As on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Unplaced => "unplaced",
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// A camera to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CameraCreate {
    /// 1 to 128 characters.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// The group that it is in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group_id: Option<CameraGroupId>,
    /// The caller's own name for the camera, 1 to 128 characters; unique in the project.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(min_length = 1, max_length = 128)]
    pub external_id: Option<String>,
    /// Labels.
    #[serde(default)]
    pub labels: Labels,
    /// Where the media comes from.
    pub source: CameraSource,
    /// User name and password of the camera. Sealed at rest, never shown again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub credentials: Option<Credentials>,
    /// A disabled camera is neither pulled nor shown. Default true.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// When it is pulled.
    #[serde(default)]
    pub start: StartMode,
    /// Which nodes may do its work.
    #[serde(default)]
    pub placement: Placement,
    /// True for a camera that refuses a second session: two nodes are never connected to it at
    /// once, so it moves only if it must, with a break. Default false.
    #[serde(default)]
    pub exclusive_source: bool,
    /// How it may be watched.
    #[serde(default)]
    pub viewing: Viewing,
}

impl Validate for CameraCreate {
    fn validate(&self, found: &mut Violations) {
        found.text("name", &self.name, 128);
        found.optional_text("external_id", self.external_id.as_deref(), 128);
        found.within("labels", |found| self.labels.validate(found));
        found.within("source", |found| self.source.validate(found));
        found.within("placement", |found| self.placement.validate(found));
        found.within("viewing", |found| self.viewing.validate(found));
        if let Some(credentials) = &self.credentials {
            found.within("credentials", |found| credentials.validate(found));
        }
        if self.credentials.is_some() && !self.source.takes_credentials() {
            found.report(
                "credentials",
                "only a pulled camera has them; publishers use stream keys",
            );
        }
    }
}

/// A change of a camera (JSON merge patch, RFC 7396): absent fields stay, `null` clears.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CameraUpdate {
    /// 1 to 128 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub name: Option<String>,
    /// Moves it into this group; `null` takes it out of its group.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    #[schema(value_type = Option<CameraGroupId>)]
    pub group_id: Option<Option<CameraGroupId>>,
    /// The caller's own name for the camera; `null` clears it.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub external_id: Option<Option<String>>,
    /// All labels anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    /// Where the media comes from, whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<CameraSource>,
    /// User name and password of the camera, whole; `null` forgets them. They must be given again
    /// when the scheme, host or port of the source changes, or its `tls_verify` is switched off.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    #[schema(value_type = Option<Credentials>)]
    pub credentials: Option<Option<Credentials>>,
    /// A disabled camera is neither pulled nor shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// When it is pulled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<StartMode>,
    /// Which nodes may do its work, whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// True for a camera that refuses a second session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclusive_source: Option<bool>,
    /// How it may be watched, whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub viewing: Option<Viewing>,
}

impl Validate for CameraUpdate {
    fn validate(&self, found: &mut Violations) {
        found.optional_text("name", self.name.as_deref(), 128);
        found.optional_text(
            "external_id",
            self.external_id.as_ref().and_then(Option::as_deref),
            128,
        );
        if let Some(labels) = &self.labels {
            found.within("labels", |found| labels.validate(found));
        }
        if let Some(source) = &self.source {
            found.within("source", |found| source.validate(found));
        }
        if let Some(Some(credentials)) = &self.credentials {
            found.within("credentials", |found| credentials.validate(found));
        }
        if let Some(placement) = &self.placement {
            found.within("placement", |found| placement.validate(found));
        }
        if let Some(viewing) = &self.viewing {
            found.within("viewing", |found| viewing.validate(found));
        }
    }
}

/// Many cameras at once. Each item succeeds or fails by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CameraBulkCreate {
    /// 1 to 1000 cameras, each a `CameraCreate`. Each is parsed and checked by itself, so that a
    /// bad one does not spoil the others.
    #[schema(value_type = Vec<CameraCreate>, min_items = 1, max_items = 1000)]
    pub items: Vec<serde_json::Value>,
    /// Only say what would happen.
    #[serde(default)]
    pub dry_run: bool,
}

impl Validate for CameraBulkCreate {
    fn validate(&self, found: &mut Violations) {
        if !(1..=1000).contains(&self.items.len()) {
            found.report("items", "must have 1 to 1000 cameras");
        }
    }
}

/// What became of the items, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CameraBulkResult {
    /// One for each item.
    pub results: Vec<CameraBulkOutcome>,
}

/// What became of one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum CameraBulkOutcome {
    /// The camera exists now.
    Created {
        /// It.
        camera: Box<Camera>,
    },
    /// Dry run: it would have been created.
    Valid,
    /// It was not created.
    Failed {
        /// Why.
        problem: Problem,
    },
}

/// Tells `null` (clear) from absent (leave alone).
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camera(json: serde_json::Value) -> CameraCreate {
        serde_json::from_value(json).expect("parses")
    }

    #[test]
    fn everything_wrong_is_reported_at_once() {
        let mut found = Violations::default();
        camera(serde_json::json!({
            "name": " ",
            "source": {"type": "pull", "url": "ftp://root:pw@host/1"},
            "labels": {"a b": "1"},
        }))
        .validate(&mut found);
        let pointers: Vec<_> = found.into_fields().into_iter().map(|f| f.pointer).collect();
        assert_eq!(
            pointers,
            ["/name", "/labels/a b", "/source/url", "/source/url"]
        );
    }

    #[test]
    fn null_clears_and_absent_leaves_alone() {
        let update: CameraUpdate =
            serde_json::from_str(r#"{"external_id": null}"#).expect("parses");
        assert_eq!(update.external_id, Some(None));
        assert_eq!(update.credentials, None);
    }

    #[test]
    fn passwords_do_not_reach_debug_output() {
        let camera = camera(serde_json::json!({
            "name": "gate",
            "source": {"type": "pull", "url": "rtsp://host/1"},
            "credentials": {"username": "root", "password": "p@ss:w/rd"},
        }));
        assert!(!format!("{camera:?}").contains("p@ss"));
    }
}
