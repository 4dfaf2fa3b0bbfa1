//! API keys: how programs sign in.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Action, ApiKeyId, ProjectId, Secret, Validate, Violations, action::check_actions};

/// A program's credential. Without grants it may do nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// The project it belongs to.
    pub project_id: ProjectId,
    /// What people call it.
    pub name: String,
    /// The public part of the key, to recognise it by: `hwak_<lookup>_…`.
    pub lookup: String,
    /// It may do these at most, whatever it is granted; no such limit if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scopes: Option<Vec<Action>>,
    /// When it stops working, if ever.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// A key to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyCreate {
    /// 1 to 128 characters.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// The project it belongs to; the caller's own if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub project_id: Option<ProjectId>,
    /// It may do these at most, whatever it is granted; at least one action, each once. No such
    /// limit if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(min_items = 1)]
    pub scopes: Option<Vec<Action>>,
    /// When it stops working; never if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<DateTime<Utc>>,
}

impl Validate for ApiKeyCreate {
    fn validate(&self, found: &mut Violations) {
        found.text("name", &self.name, 128);
        if let Some(scopes) = &self.scopes {
            found.within("scopes", |found| check_actions(scopes, found));
        }
    }
}

/// A new key with its secret, which is shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiKeyCreated {
    /// The key's record.
    pub api_key: ApiKey,
    /// `hwak_<lookup>_<secret>`: send it as `Authorization: Bearer …`.
    pub secret: Secret,
}
