//! Users: the people who watch.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Labels, ProjectId, Secret, UserId, Validate, Violations, auth::check_password, camera::nullable,
};

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
    /// What the user signs in with, in lower case; unique in the whole installation.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub email: Option<String>,
    /// The user has a password.
    #[serde(default)]
    pub has_password: bool,
    /// The password was chosen by somebody else: signing in takes a new one.
    #[serde(default)]
    pub must_change_password: bool,
    /// When the user signed in last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_signed_in_at: Option<DateTime<Utc>>,
    /// A disabled user cannot sign in, gets no tokens and watches nothing.
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
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// The caller's own name for the user, 1 to 128 characters; unique in the project.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(min_length = 1, max_length = 128)]
    pub external_id: Option<String>,
    /// Labels.
    #[serde(default)]
    pub labels: Labels,
    /// How many cameras the user may watch at once, in the whole cluster: 1 to 1000.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(minimum = 1, maximum = 1000)]
    pub max_sessions: Option<u32>,
    /// What the user signs in with; letters may be of either case. Unique in the whole installation.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub email: Option<String>,
    /// A first password, 12 to 128 characters: the user must choose another one when signing in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub password: Option<Secret>,
}

impl Validate for UserCreate {
    fn validate(&self, found: &mut Violations) {
        found.text("name", &self.name, 128);
        found.optional_text("external_id", self.external_id.as_deref(), 128);
        found.within("labels", |found| self.labels.validate(found));
        check_max_sessions(self.max_sessions, found);
        if let Some(email) = &self.email {
            found.email("email", email);
        }
        if let Some(password) = &self.password {
            if self.email.is_none() {
                found.report("password", "cannot be used without an email");
            }
            check_password(found, "password", password, self.email.as_deref());
        }
    }
}

/// A change of a user (JSON merge patch, RFC 7396): absent fields stay, `null` clears.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UserUpdate {
    /// 1 to 128 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub name: Option<String>,
    /// The caller's own name for the user; `null` clears it.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub external_id: Option<Option<String>>,
    /// All labels anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    /// What the user signs in with; `null` clears it.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub email: Option<Option<String>>,
    /// A first password anew: ends everywhere what the user is signed in to, and must be changed
    /// when signing in. `null` takes it away.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub password: Option<Option<Secret>>,
    /// A disabled user is signed out everywhere, cannot sign in, gets no tokens and watches
    /// nothing: running sessions end.
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
        let email = self.email.as_ref().and_then(Option::as_deref);
        if let Some(email) = email {
            found.email("email", email);
        }
        if let Some(Some(password)) = &self.password {
            check_password(found, "password", password, email);
        }
        check_max_sessions(self.max_sessions.flatten(), found);
    }
}

fn check_max_sessions(max: Option<u32>, found: &mut Violations) {
    if max.is_some_and(|max| !(1..=1000).contains(&max)) {
        found.report("max_sessions", "must be 1 to 1000");
    }
}
