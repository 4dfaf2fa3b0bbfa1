//! Projects: the tenants.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Network, ProjectId, Validate, Violations};

/// A tenant. Cameras, users, keys and grants belong to one; nodes belong to the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// What people call it; unique in the cluster.
    pub name: String,
    /// Networks that its cameras and restreams may be in although they are closed to others, such
    /// as an edge's own machine. The cluster's administrators open them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub outbound_allow: Vec<Network>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

/// A project to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectCreate {
    /// 1 to 128 characters; unique in the cluster.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
}

impl Validate for ProjectCreate {
    fn validate(&self, found: &mut Violations) {
        found.text("name", &self.name, 128);
    }
}

/// A change of a project; absent fields stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectUpdate {
    /// 1 to 128 characters; unique in the cluster.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(min_length = 1, max_length = 128)]
    pub name: Option<String>,
    /// At most 64 networks instead of those before. Needs `project.manage` on the cluster.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub outbound_allow: Option<Vec<Network>>,
}

impl Validate for ProjectUpdate {
    fn validate(&self, found: &mut Violations) {
        found.optional_text("name", self.name.as_deref(), 128);
        if self
            .outbound_allow
            .as_ref()
            .is_some_and(|all| all.len() > 64)
        {
            found.report("outbound_allow", "must be at most 64 networks");
        }
    }
}
