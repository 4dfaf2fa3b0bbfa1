//! What relays count, for metrics and reports.

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};

/// Counts since the start of the edge. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters {
    /// Cameras that are had from other edges now.
    pub(crate) incoming: Gauge,
    /// Times that another edge has a camera from here now.
    pub(crate) outgoing: Gauge,
    /// Bytes from other edges, by whether they crossed between zones.
    pub(crate) received: Family<[(&'static str, &'static str); 1], Counter>,
    /// Bytes to other edges.
    pub(crate) sent: Counter,
    /// How often a camera was taken from another edge than before.
    pub(crate) switches: Counter,
    /// How often that went on where it was.
    pub(crate) resumes: Counter,
    /// How often another edge was too slow and jumped to a key frame.
    pub(crate) jumps: Counter,
    /// Connections that were refused.
    pub(crate) refused: Counter,
}

impl Counters {
    /// What comes from the own zone, or from another.
    pub(crate) fn received(&self, is_near: bool) -> Counter {
        let zone = if is_near { "own" } else { "other" };
        self.received.get_or_create_owned(&[("zone", zone)])
    }
}

/// Counts one more for as long as it lives.
pub(super) struct Counted(Gauge);

impl Counted {
    pub(super) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
