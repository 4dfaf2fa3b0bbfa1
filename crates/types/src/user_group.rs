//! User groups: people who may do the same.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Labels, ProjectId, UserGroupId, UserId, Validate, Violations, camera::nullable};

/// A group of users of one project. What is granted to it, its members may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserGroup {
    /// Its id.
    pub id: UserGroupId,
    /// The project it belongs to.
    pub project_id: ProjectId,
    /// What people call it.
    pub name: String,
    /// The caller's own name for it; unique in the project. Users who sign in with an OpenID
    /// provider become members of the groups whose `external_id` the provider names.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub external_id: Option<String>,
    /// Labels.
    pub labels: Labels,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

/// A group to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserGroupCreate {
    /// 1 to 128 characters.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// The caller's own name for it, 1 to 128 characters; unique in the project.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(min_length = 1, max_length = 128)]
    pub external_id: Option<String>,
    /// Labels.
    #[serde(default)]
    pub labels: Labels,
}

impl Validate for UserGroupCreate {
    fn validate(&self, found: &mut Violations) {
        found.text("name", &self.name, 128);
        found.optional_text("external_id", self.external_id.as_deref(), 128);
        found.within("labels", |found| self.labels.validate(found));
    }
}

/// A change of a group (JSON merge patch, RFC 7396): absent fields stay, `null` clears.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UserGroupUpdate {
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
}

impl Validate for UserGroupUpdate {
    fn validate(&self, found: &mut Violations) {
        found.optional_text("name", self.name.as_deref(), 128);
        let external_id = self.external_id.as_ref().and_then(Option::as_deref);
        found.optional_text("external_id", external_id, 128);
        if let Some(labels) = &self.labels {
            found.within("labels", |found| labels.validate(found));
        }
    }
}

/// A user in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserGroupMember {
    /// Who.
    pub user_id: UserId,
    /// What people call the user.
    pub name: String,
    /// The OpenID provider that says so; absent if it was said here.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub oidc_provider: Option<String>,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// A member to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserGroupMemberAdd {
    /// A user of the group's project.
    pub user_id: UserId,
}

impl Validate for UserGroupMemberAdd {
    fn validate(&self, _: &mut Violations) {}
}
