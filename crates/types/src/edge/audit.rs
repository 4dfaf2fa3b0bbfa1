//! What edges tell the audit log.
//!
//! An edge numbers what happens and keeps it on disk until a controller has it. What is sent twice
//! is stored once: a record is named by its node, the queue that it was kept in, and its number in
//! that queue.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{AuditResult, CameraId, Validate, Violations};

/// So many entries are in one delivery at most.
pub const AUDIT_BATCH: usize = 1000;

/// Records that wait on an edge, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditDelivery {
    /// Drawn when the edge's queue was made: numbers mean something only within one.
    pub queue: Uuid,
    /// At most [`AUDIT_BATCH`].
    pub entries: Vec<AuditEntry>,
}

impl Validate for AuditDelivery {
    fn validate(&self, found: &mut Violations) {
        if self.entries.len() > AUDIT_BATCH {
            found.report("entries", format!("must be at most {AUDIT_BATCH}"));
        }
        for (index, entry) in self.entries.iter().enumerate() {
            found.within(&format!("entries/{index}"), |found| {
                found.optional_text("subject", entry.subject.as_deref(), 128);
                found.optional_text("viewer_id", entry.viewer_id.as_deref(), 256);
                found.optional_text("reason", entry.reason.as_deref(), 256);
                found.optional_text("protocol", entry.protocol.as_deref(), 32);
            });
        }
    }
}

/// Something that happened on an edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Its number in the queue.
    pub sequence: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub action: AuditAction,
    /// What became of it.
    pub result: AuditResult,
    /// Who, by the token or key that was shown: `usr_…`, `key_…`, `skey_…`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<String>,
    /// The customer's own name of the viewer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub viewer_id: Option<String>,
    /// Of which camera.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub camera_id: Option<CameraId>,
    /// By which protocol.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub protocol: Option<String>,
    /// From where.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// The session, while it is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub session_id: Option<Uuid>,
    /// How much was carried, at its end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes: Option<u64>,
    /// Why it was refused, or has ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// How often: refusals that are alike within a second are one entry.
    pub count: u64,
}

/// What happens on edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditAction {
    /// Somebody wants to watch.
    SessionOpen,
    /// Somebody watches no more.
    SessionEnd,
    /// Somebody wants to publish.
    PublishStart,
    /// Somebody publishes no more.
    PublishEnd,
    /// So many records had to be thrown away.
    AuditLost,
}

impl AuditAction {
    /// As on the wire and in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SessionOpen => "session_open",
            Self::SessionEnd => "session_end",
            Self::PublishStart => "publish_start",
            Self::PublishEnd => "publish_end",
            Self::AuditLost => "audit_lost",
        }
    }
}
