//! Explanations: why somebody may do something, or may not.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Action, CameraId, Grant, Principal};

/// Whether somebody may do something with a camera, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccessExplanation {
    /// Who: a user or an API key.
    pub principal: Principal,
    /// With what.
    pub camera_id: CameraId,
    /// What.
    pub action: Action,
    /// The answer.
    pub allowed: bool,
    /// The answer in words.
    pub reason: String,
    /// The grants of the action on this camera, its groups, its project or the cluster.
    pub grants: Vec<AccessGrant>,
}

/// What one grant has to do with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccessGrant {
    /// The grant.
    pub grant: Grant,
    /// True if it holds at this time and from this address.
    pub holds: bool,
    /// True if the answer would not be the same without such grants.
    pub decides: bool,
    /// What it says, in words.
    pub words: String,
}
