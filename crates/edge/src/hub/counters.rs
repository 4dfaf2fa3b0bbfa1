//! What the hub counts, for metrics and reports.

use prometheus_client::metrics::{counter::Counter, family::Family};

use super::Format;

/// Counts since the start of the edge. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters {
    /// Payload received from sources, bytes.
    pub(crate) received: Counter,
    /// Media sent to viewers, bytes, by format.
    pub(crate) sent: Family<[(&'static str, &'static str); 1], Counter>,
    /// Media sent to other edges, bytes.
    pub(crate) relayed: Counter,
    /// How often a viewer fell behind and jumped to a key frame.
    pub(crate) jumps: Counter,
    /// Viewers closed because they were too slow.
    pub(crate) slow: Counter,
}

impl Counters {
    /// What has been sent in all formats, and to other edges.
    pub(crate) fn sent_bytes(&self) -> u64 {
        let formats = Format::ALL.into_iter();
        let viewers: u64 = formats.map(|format| self.sent(format).get()).sum();
        viewers + self.relayed.get()
    }

    /// What has been sent in one format.
    pub(super) fn sent(&self, format: Format) -> Counter {
        let labels = [("format", format.label())];
        self.sent.get_or_create_owned(&labels)
    }
}
