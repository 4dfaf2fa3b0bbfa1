//! The section `[edge.audit]` of the configuration.

use serde::Deserialize;

/// What is kept for the audit log while no controller takes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Bytes on the disk; beyond, the oldest are thrown away.
    pub(crate) queue_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            queue_bytes: 64 << 20,
        }
    }
}
