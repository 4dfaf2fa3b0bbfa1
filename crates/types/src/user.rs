//! Users: the people who watch.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Labels, ProjectId, UserId, Validate, Violations, camera::nullable};

/// A person. Grants say what they may do; playback tokens are issued for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// The project it belongs to.
    pub project_id: ProjectId,
    /// What people call the user.
    pub name: String,
    /// The caller's own name for the user; unique in the project.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub external_id: Option<String>,
    /// Labels.
    pub labels: Labels,
    /// A disabled user gets no tokens, and watches nothing.
    pub enabled: bool,
    /// How many cameras the user may watch at once; as many as it likes if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_sessions: Option<u32>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

/// A user to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserCreate {
    /// 1 to 128 characters.
    pub name: String,
    /// The caller's own name for the user, 1 to 128 characters; unique in the project.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub external_id: Option<String>,
    /// Labels.
    #[serde(default)]
    pub labels: Labels,
    /// How many cameras the user may watch at once, in the whole cluster: 1 to 1000.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(minimum = 1, maximum = 1000)]
    pub max_sessions: Option<u32>,
}

impl Validate for UserCreate {
    fn validate(&self, found: &mut Violations) {
        found.text("name", &self.name, 128);
        found.optional_text("external_id", self.external_id.as_deref(), 128);
        found.within("labels", |found| self.labels.validate(found));
        check_max_sessions(self.max_sessions, found);
    }
}

/// A change of a user (JSON merge patch, RFC 7396): absent fields stay, `null` clears.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UserUpdate {
    /// 1 to 128 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The caller's own name for the user; `null` clears it.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub external_id: Option<Option<String>>,
    /// All labels anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    /// A disabled user gets no tokens, and watches nothing: running sessions end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// How many cameras the user may watch at once; `null` for as many as it likes.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    #[schema(value_type = Option<u32>)]
    pub max_sessions: Option<Option<u32>>,
}

impl Validate for UserUpdate {
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
        check_max_sessions(self.max_sessions.flatten(), found);
    }
}

fn check_max_sessions(max: Option<u32>, found: &mut Violations) {
    if max.is_some_and(|max| !(1..=1000).contains(&max)) {
        found.report("max_sessions", "must be 1 to 1000");
    }
}
