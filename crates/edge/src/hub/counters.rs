//! What the hub counts, for metrics and reports.

use prometheus_client::metrics::counter::Counter;

/// Counts since the start of the edge. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters {
    /// Payload received from sources, bytes.
    pub(crate) received: Counter,
    /// Media sent to viewers, bytes.
    pub(crate) sent: Counter,
    /// How often a viewer fell behind and jumped to a key frame.
    pub(crate) jumps: Counter,
    /// Viewers closed because they were too slow.
    pub(crate) slow: Counter,
}
