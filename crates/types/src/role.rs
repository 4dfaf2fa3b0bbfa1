//! Roles: named sets of actions.

use std::{borrow::Cow, fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use crate::{Action, ProjectId, RoleId, Validate, Violations, action::check_actions};

/// A role that every project has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BuiltInRole {
    /// Watches.
    Viewer,
    /// Watches, moves cameras and takes recordings away.
    Operator,
    /// Sets cameras up.
    Installer,
    /// Does everything.
    Admin,
}

impl BuiltInRole {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Installer, Self::Admin];

    /// As on the wire and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Installer => "installer",
            Self::Admin => "admin",
        }
    }

    /// The role of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }

    /// What it may do.
    #[must_use]
    pub fn actions(self) -> &'static [Action] {
        use Action as A;
        match self {
            Self::Viewer => &[
                A::CameraViewLive,
                A::CameraViewAudio,
                A::CameraViewRecording,
                A::CameraSnapshot,
            ],
            Self::Operator => &[
                A::CameraViewLive,
                A::CameraViewAudio,
                A::CameraViewRecording,
                A::CameraSnapshot,
                A::CameraPtz,
                A::RecordingExport,
            ],
            Self::Installer => &[
                A::CameraViewLive,
                A::CameraSnapshot,
                A::CameraPtz,
                A::CameraPublish,
                A::CameraManage,
            ],
            Self::Admin => &Action::ALL,
        }
    }
}

/// Which role: the name of a built-in one, or the id of one that the project made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "Cow<'_, str>")]
pub enum RoleRef {
    /// `viewer`, `operator`, `installer` or `admin`.
    BuiltIn(BuiltInRole),
    /// `role_…`
    Custom(RoleId),
}

impl FromStr for RoleRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(role) = BuiltInRole::from_name(text) {
            return Ok(Self::BuiltIn(role));
        }
        text.parse().map(Self::Custom).map_err(|_| {
            let names: Vec<_> = BuiltInRole::ALL
                .into_iter()
                .map(BuiltInRole::as_str)
                .collect();
            format!("expected {} or the id of a role", names.join(", "))
        })
    }
}

impl TryFrom<Cow<'_, str>> for RoleRef {
    type Error = String;

    fn try_from(text: Cow<'_, str>) -> Result<Self, String> {
        text.parse()
    }
}

impl From<RoleRef> for String {
    fn from(role: RoleRef) -> Self {
        role.to_string()
    }
}

impl fmt::Display for RoleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn(role) => f.pad(role.as_str()),
            Self::Custom(id) => id.fmt(f),
        }
    }
}

impl PartialSchema for RoleRef {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(
                "The name of a built-in role, or the id of one that the project made.",
            ))
            .pattern(Some(
                "^(viewer|operator|installer|admin|role_[0-9a-f]{32})$",
            ))
            .examples(["viewer"])
            .into()
    }
}

impl ToSchema for RoleRef {}

/// A named set of actions. Those that make no sense on what it is granted on do nothing there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Role {
    /// Its id; of a built-in one its name.
    pub id: RoleRef,
    /// The project that made it; a built-in one is every project's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub project_id: Option<ProjectId>,
    /// What people call it; unique in the project.
    pub name: String,
    /// What it may do.
    pub actions: Vec<Action>,
    /// When it was created, if the project made it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub created_at: Option<DateTime<Utc>>,
    /// When it was changed last, if the project made it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub updated_at: Option<DateTime<Utc>>,
}

impl From<BuiltInRole> for Role {
    fn from(role: BuiltInRole) -> Self {
        Self {
            id: RoleRef::BuiltIn(role),
            project_id: None,
            name: role.as_str().to_owned(),
            actions: role.actions().to_vec(),
            created_at: None,
            updated_at: None,
        }
    }
}

/// A role to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleCreate {
    /// 1 to 128 characters; unique in the project, and not a built-in role's.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// What it may do; at least one action, each once.
    #[schema(min_items = 1)]
    pub actions: Vec<Action>,
}

impl Validate for RoleCreate {
    fn validate(&self, found: &mut Violations) {
        check_name(&self.name, found);
        found.within("actions", |found| check_actions(&self.actions, found));
    }
}

/// A change of a role (JSON merge patch, RFC 7396). It changes every grant of the role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RoleUpdate {
    /// 1 to 128 characters; unique in the project, and not a built-in role's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub name: Option<String>,
    /// All actions anew; at least one, each once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1)]
    pub actions: Option<Vec<Action>>,
}

impl Validate for RoleUpdate {
    fn validate(&self, found: &mut Violations) {
        if let Some(name) = &self.name {
            check_name(name, found);
        }
        if let Some(actions) = &self.actions {
            found.within("actions", |found| check_actions(actions, found));
        }
    }
}

fn check_name(name: &str, found: &mut Violations) {
    found.text("name", name, 128);
    if BuiltInRole::from_name(name).is_some() {
        found.report("name", "is the name of a built-in role");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_named_or_numbered() {
        for role in BuiltInRole::ALL {
            let reference: RoleRef = role.as_str().parse().expect("parses");
            assert_eq!(reference, RoleRef::BuiltIn(role));
            assert!(!role.actions().is_empty());
        }
        let custom = "role_0190f3c2a1b27c3d8e4f5a6b7c8d9e0f";
        assert_eq!(
            custom.parse::<RoleRef>().expect("parses").to_string(),
            custom
        );
        assert!("root".parse::<RoleRef>().is_err());
    }

    #[test]
    fn empty_never_means_all() {
        let mut found = Violations::default();
        let role = RoleCreate {
            name: "admin".to_owned(),
            actions: Vec::new(),
        };
        role.validate(&mut found);
        let pointers: Vec<_> = found.into_fields().into_iter().map(|f| f.pointer).collect();
        assert_eq!(pointers, ["/name", "/actions"]);
    }
}
