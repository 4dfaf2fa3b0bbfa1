//! The audit log: who did or saw what, when, from where, and with what result.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{NodeId, ProjectId};

/// One thing that somebody did, saw, or was refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditRecord {
    /// Its number. Records of edges may come late, so that a higher number can be of before.
    pub id: i64,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// In which project; absent for what concerns the cluster or nobody that we know.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub project_id: Option<ProjectId>,
    /// The id of who did it; absent for a stranger.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub actor: Option<String>,
    /// The operation of the API, such as `camera_update`. On edges: `session_open`,
    /// `session_end`, `publish_start`, `publish_end`. `audit_lost` says that records are missing.
    pub action: String,
    /// The id of what it was done to; absent where there was none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub object: Option<String>,
    /// What became of it.
    pub result: AuditResult,
    /// Why it was refused or failed: a problem's code, or an edge's reason.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// Where it came from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// The request, as in the logs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<String>,
    /// The edge that it happened on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node_id: Option<NodeId>,
    /// More, depending on the action. Never a secret.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditResult {
    /// It was done.
    Ok,
    /// Whoever asked may not.
    Refused,
    /// It was begun, and went wrong.
    Failed,
}

impl AuditResult {
    /// As on the wire and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}
