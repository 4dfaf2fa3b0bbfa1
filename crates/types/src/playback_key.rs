//! Playback keys: customers' own keys, whose playback tokens count within bounds.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Action, CameraGroupId, CameraId, PlaybackKeyId, ProjectId, PublicKey, Validate, Violations,
    action::check_camera_actions,
};

/// The most cameras or groups that a key names.
const MAX_OBJECTS: usize = 1000;

/// A customer's public key. Tokens that are signed with its private half, which only the customer
/// has, open cameras within its bounds. Edges check them alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlaybackKey {
    /// Its id; tokens carry it as `kid`.
    pub id: PlaybackKeyId,
    /// The project whose cameras it opens.
    pub project_id: ProjectId,
    /// What people call it.
    pub name: String,
    /// The key.
    pub public_key: PublicKey,
    /// What its tokens can say at most.
    pub bounds: PlaybackBounds,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
}

/// What the tokens of a key can say at most. What is beyond is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaybackBounds {
    /// All cameras of the project.
    #[serde(default)]
    pub whole_project: bool,
    /// These cameras of the project.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub camera_ids: Vec<CameraId>,
    /// The cameras below these groups.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub camera_group_ids: Vec<CameraGroupId>,
    /// What they allow with them. If it says nothing when the key is registered: to watch live,
    /// and to hear if whoever registers it may hear all of them. Always there in answers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(min_items = 1)]
    pub actions: Option<Vec<Action>>,
    /// The longest time between `iat` and `exp`, in seconds: 1 to 600. Default 600.
    #[serde(default = "ten_minutes")]
    #[schema(minimum = 1, maximum = 600)]
    pub max_expires_in_seconds: u32,
    /// The longest time between `iat` and `sxp`, in seconds: 1 to 43200. Default 14400.
    #[serde(default = "four_hours")]
    #[schema(minimum = 1, maximum = 43_200)]
    pub max_watch_seconds: u32,
}

impl PlaybackBounds {
    /// What they allow, as far as it is said.
    #[must_use]
    pub fn actions(&self) -> &[Action] {
        self.actions.as_deref().unwrap_or(&[Action::CameraViewLive])
    }
}

impl Validate for PlaybackBounds {
    fn validate(&self, found: &mut Violations) {
        if !self.whole_project && self.camera_ids.is_empty() && self.camera_group_ids.is_empty() {
            found.report(
                "camera_ids",
                "name cameras or groups, or set `whole_project`; empty never means all",
            );
        }
        for (name, length) in [
            ("camera_ids", self.camera_ids.len()),
            ("camera_group_ids", self.camera_group_ids.len()),
        ] {
            if length > MAX_OBJECTS {
                found.report(name, format!("must be at most {MAX_OBJECTS}"));
            }
        }
        if let Some(actions) = &self.actions {
            found.within("actions", |found| check_camera_actions(actions, found));
        }
        if !(1..=600).contains(&self.max_expires_in_seconds) {
            found.report("max_expires_in_seconds", "must be 1 to 600");
        }
        if !(1..=43_200).contains(&self.max_watch_seconds) {
            found.report("max_watch_seconds", "must be 1 to 43200 (12 hours)");
        }
    }
}

/// A playback key to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaybackKeyCreate {
    /// 1 to 128 characters.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// The project whose cameras it opens; the caller's own if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub project_id: Option<ProjectId>,
    /// The public key as `-----BEGIN PUBLIC KEY-----`. This or `jwk`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pem: Option<String>,
    /// The public key as a JSON Web Key. This or `pem`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub jwk: Option<PublicKey>,
    /// What its tokens can say at most.
    pub bounds: PlaybackBounds,
}

impl PlaybackKeyCreate {
    /// The key, in whichever form it came.
    ///
    /// # Errors
    /// In words, and the field that is wrong.
    pub fn public_key(&self) -> Result<PublicKey, (&'static str, &'static str)> {
        match (&self.pem, &self.jwk) {
            (Some(pem), None) => PublicKey::from_pem(pem).map_err(|words| ("pem", words)),
            (None, Some(jwk)) => match jwk.kind() {
                Ok(_) => Ok(jwk.clone()),
                Err(words) => Err(("jwk", words)),
            },
            (None, None) => Err(("pem", "is missing; give the public key here or in `jwk`")),
            (Some(_), Some(_)) => Err(("jwk", "give the key once: here or in `pem`")),
        }
    }
}

impl Validate for PlaybackKeyCreate {
    fn validate(&self, found: &mut Violations) {
        found.text("name", &self.name, 128);
        if let Err((field, words)) = self.public_key() {
            found.report(field, words);
        }
        found.within("bounds", |found| self.bounds.validate(found));
    }
}

fn ten_minutes() -> u32 {
    600
}

fn four_hours() -> u32 {
    4 * 3600
}
