//! Actions: what a grant can allow or deny.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{GrantObject, Violations};

/// Something that a grant can allow. What nobody granted is refused, and no action implies another.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
pub enum Action {
    /// See the camera in lists and watch it live.
    #[serde(rename = "camera.view_live")]
    CameraViewLive,
    /// Hear the camera.
    #[serde(rename = "camera.view_audio")]
    CameraViewAudio,
    /// Watch what was recorded of the camera.
    #[serde(rename = "camera.view_recording")]
    CameraViewRecording,
    /// Take single pictures of the camera.
    #[serde(rename = "camera.snapshot")]
    CameraSnapshot,
    /// Turn and zoom the camera.
    #[serde(rename = "camera.ptz")]
    CameraPtz,
    /// Publish the camera's media.
    #[serde(rename = "camera.publish")]
    CameraPublish,
    /// Create, change and delete cameras, their groups, stream keys and restreams.
    #[serde(rename = "camera.manage")]
    CameraManage,
    /// Take recordings away as files.
    #[serde(rename = "recording.export")]
    RecordingExport,
    /// Delete recordings.
    #[serde(rename = "recording.delete")]
    RecordingDelete,
    /// Manage users, API keys, roles and grants, and issue playback tokens for users.
    #[serde(rename = "user.manage")]
    UserManage,
    /// See and manage nodes and join tokens; means something on the cluster only.
    #[serde(rename = "node.manage")]
    NodeManage,
    /// Change the project and read its events; on the cluster also: create projects.
    #[serde(rename = "project.manage")]
    ProjectManage,
    /// Read the audit log.
    #[serde(rename = "audit.read")]
    AuditRead,
}

impl Action {
    /// Every action there is.
    pub const ALL: [Self; 13] = [
        Self::CameraViewLive,
        Self::CameraViewAudio,
        Self::CameraViewRecording,
        Self::CameraSnapshot,
        Self::CameraPtz,
        Self::CameraPublish,
        Self::CameraManage,
        Self::RecordingExport,
        Self::RecordingDelete,
        Self::UserManage,
        Self::NodeManage,
        Self::ProjectManage,
        Self::AuditRead,
    ];

    /// As on the wire and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CameraViewLive => "camera.view_live",
            Self::CameraViewAudio => "camera.view_audio",
            Self::CameraViewRecording => "camera.view_recording",
            Self::CameraSnapshot => "camera.snapshot",
            Self::CameraPtz => "camera.ptz",
            Self::CameraPublish => "camera.publish",
            Self::CameraManage => "camera.manage",
            Self::RecordingExport => "recording.export",
            Self::RecordingDelete => "recording.delete",
            Self::UserManage => "user.manage",
            Self::NodeManage => "node.manage",
            Self::ProjectManage => "project.manage",
            Self::AuditRead => "audit.read",
        }
    }

    /// The action of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == name)
    }

    /// True if it makes sense on one camera, and so on groups of them.
    #[must_use]
    pub fn is_on_camera(self) -> bool {
        !matches!(
            self,
            Self::UserManage | Self::NodeManage | Self::ProjectManage | Self::AuditRead
        )
    }

    /// True if it means something on such an object.
    #[must_use]
    pub fn is_on(self, object: &GrantObject) -> bool {
        match object {
            GrantObject::Camera { .. } | GrantObject::CameraGroup { .. } => self.is_on_camera(),
            GrantObject::Project { .. } => self != Self::NodeManage,
            GrantObject::Cluster => true,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Reports an empty list, and what stands in it twice.
pub(crate) fn check_actions(actions: &[Action], found: &mut Violations) {
    if actions.is_empty() {
        found.report("", "must name at least one action; empty never means all");
    }
    for (index, action) in actions.iter().enumerate() {
        if actions[..index].contains(action) {
            found.report(&index.to_string(), format!("{action} stands here twice"));
        }
    }
}

/// As [`check_actions`]; also reports what is not about cameras.
pub(crate) fn check_camera_actions(actions: &[Action], found: &mut Violations) {
    check_actions(actions, found);
    for (index, action) in actions.iter().enumerate() {
        if !action.is_on_camera() {
            found.report(
                &index.to_string(),
                format!("{action} is not about a camera"),
            );
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
            assert_eq!(json, format!("\"{action}\""));
            assert_eq!(Action::from_name(action.as_str()), Some(action));
        }
    }
}
