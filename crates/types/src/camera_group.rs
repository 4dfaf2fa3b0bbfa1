//! Camera groups: the tree that cameras hang in, site / building / floor.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{CameraGroupId, Labels, ProjectId, Validate, Violations, camera::nullable};

/// A group of cameras and of other groups. What is granted on it holds for everything below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CameraGroup {
    /// Its id.
    pub id: CameraGroupId,
    /// The project it belongs to.
    pub project_id: ProjectId,
    /// The group that it is in; absent at the top.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent_id: Option<CameraGroupId>,
    /// The groups from the top down to this one, itself last.
    pub path: Vec<CameraGroupId>,
    /// What people call it.
    pub name: String,
    /// The caller's own name for the group; unique in the project.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub external_id: Option<String>,
    /// Labels.
    pub labels: Labels,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

/// A camera group to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CameraGroupCreate {
    /// 1 to 128 characters.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// The group that it is in; at the top if absent. Groups nest 16 deep at most.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent_id: Option<CameraGroupId>,
    /// The caller's own name for the group, 1 to 128 characters; unique in the project.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(min_length = 1, max_length = 128)]
    pub external_id: Option<String>,
    /// Labels.
    #[serde(default)]
    pub labels: Labels,
}

impl Validate for CameraGroupCreate {
    fn validate(&self, found: &mut Violations) {
        found.text("name", &self.name, 128);
        found.optional_text("external_id", self.external_id.as_deref(), 128);
        found.within("labels", |found| self.labels.validate(found));
    }
}

/// A change of a camera group (JSON merge patch, RFC 7396): absent fields stay, `null` clears.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CameraGroupUpdate {
    /// 1 to 128 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub name: Option<String>,
    /// Moves it with everything below into this group; `null` moves it to the top.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    #[schema(value_type = Option<CameraGroupId>)]
    pub parent_id: Option<Option<CameraGroupId>>,
    /// The caller's own name for the group; `null` clears it.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub external_id: Option<Option<String>>,
    /// All labels anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
}

impl Validate for CameraGroupUpdate {
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
    }
}
