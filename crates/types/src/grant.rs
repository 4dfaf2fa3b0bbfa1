//! Grants: who may do what with what.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ApiKeyId, CameraId, GrantId, ProjectId, UserId, Validate, Violations};

/// Something that a grant can allow. What nobody granted is refused.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
pub enum Action {
    /// See the camera in lists and watch it live.
    #[serde(rename = "camera.view_live")]
    CameraViewLive,
    /// Create, change and delete cameras and their stream keys.
    #[serde(rename = "camera.manage")]
    CameraManage,
    /// Manage users, API keys and grants, and issue playback tokens for users.
    #[serde(rename = "user.manage")]
    UserManage,
    /// See and manage nodes and join tokens; means something on the cluster only.
    #[serde(rename = "node.manage")]
    NodeManage,
    /// Change the project and read its events; on the cluster also: create projects.
    #[serde(rename = "project.manage")]
    ProjectManage,
}

impl Action {
    /// Every action there is.
    pub const ALL: [Self; 5] = [
        Self::CameraViewLive,
        Self::CameraManage,
        Self::UserManage,
        Self::NodeManage,
        Self::ProjectManage,
    ];

    /// As on the wire and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CameraViewLive => "camera.view_live",
            Self::CameraManage => "camera.manage",
            Self::UserManage => "user.manage",
            Self::NodeManage => "node.manage",
            Self::ProjectManage => "project.manage",
        }
    }

    /// The action of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == name)
    }

    /// True if it makes sense on one camera.
    #[must_use]
    pub fn is_on_camera(self) -> bool {
        matches!(self, Self::CameraViewLive | Self::CameraManage)
    }
}

/// Who is granted something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Principal {
    /// A user.
    User {
        /// Which.
        id: UserId,
    },
    /// An API key.
    ApiKey {
        /// Which.
        id: ApiKeyId,
    },
}

/// What the actions are granted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum GrantObject {
    /// One camera.
    Camera {
        /// Which.
        id: CameraId,
    },
    /// A project and everything in it.
    Project {
        /// Which.
        id: ProjectId,
    },
    /// The whole cluster: nodes, and every project.
    Cluster,
}

/// A permission: the principal may do the actions on the object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// The project of the principal.
    pub project_id: ProjectId,
    /// Who.
    pub principal: Principal,
    /// On what.
    pub object: GrantObject,
    /// May do what.
    pub actions: Vec<Action>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// A grant to be. Nobody can grant what they may not do themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantCreate {
    /// Who.
    pub principal: Principal,
    /// On what.
    pub object: GrantObject,
    /// May do what; at least one action, each once.
    #[schema(min_items = 1)]
    pub actions: Vec<Action>,
}

impl Validate for GrantCreate {
    fn validate(&self, found: &mut Violations) {
        if self.actions.is_empty() {
            found.report(
                "actions",
                "must name at least one action; empty never means all",
            );
        }
        for (index, action) in self.actions.iter().enumerate() {
            let name = action.as_str();
            let wrong = if self.actions[..index].contains(action) {
                format!("{name} stands here twice")
            } else if matches!(self.object, GrantObject::Camera { .. }) && !action.is_on_camera() {
                format!("{name} cannot be granted on a camera")
            } else if *action == Action::NodeManage && self.object != GrantObject::Cluster {
                format!("{name} can be granted on the cluster only")
            } else {
                continue;
            };
            found.within("actions", |found| found.report(&index.to_string(), wrong));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_wire_names() {
        for action in Action::ALL {
            let json = serde_json::to_string(&action).expect("serializes");
            assert_eq!(json, format!("\"{}\"", action.as_str()));
            assert_eq!(Action::from_name(action.as_str()), Some(action));
        }
    }
}
