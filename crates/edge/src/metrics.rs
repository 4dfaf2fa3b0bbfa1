//! What Prometheus reads at `/metrics`. Cameras are no labels: their number has no bound.

use std::fmt;

use headworks_types::edge::{Role, SlotState};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
    registry::Registry,
};
use tokio::sync::watch::Receiver;

use crate::{access::Access, agent::Status, hub::Hub, relay, work::Work};

/// The media type of [`Metrics::encode`]'s text.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of one edge.
pub(crate) struct Metrics(Registry);

impl Metrics {
    /// `pushed` counts what goes to other people's servers.
    pub(crate) fn new(
        hub: &Hub,
        pushed: Counter,
        relays: &relay::Counters,
        work: Work,
        access: &Access,
        status: Receiver<Status>,
    ) -> Self {
        let mut registry = Registry::with_prefix("headworks_edge");
        let counters = access.counters();
        registry.register(
            "sessions_opened",
            "Viewers whose token was accepted",
            counters.opened.clone(),
        );
        registry.register(
            "denied",
            "Requests to watch that were refused, by reason",
            counters.denied.clone(),
        );
        let media = hub.counters();
        registry.register(
            "received_bytes",
            "Media received from cameras",
            media.received.clone(),
        );
        registry.register("sent_bytes", "Media sent to viewers", media.sent.clone());
        registry.register(
            "jumps",
            "Times that a slow viewer jumped to a key frame",
            media.jumps.clone(),
        );
        registry.register(
            "slow_viewers",
            "Viewers that were closed because they were too slow",
            media.slow.clone(),
        );
        registry.register(
            "restream_sent_bytes",
            "Bytes pushed to other people's servers",
            pushed,
        );
        relay(&mut registry, relays);
        registry.register_collector(Box::new(Scrape { work, status }));
        Self(registry)
    }

    /// All of them as OpenMetrics text.
    pub(crate) fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.0)?;
        Ok(text)
    }
}

fn relay(registry: &mut Registry, relays: &relay::Counters) {
    registry.register(
        "relays_in",
        "Cameras that are had from other edges now",
        relays.incoming.clone(),
    );
    registry.register(
        "relays_out",
        "Times that another edge has a camera from here now",
        relays.outgoing.clone(),
    );
    registry.register(
        "relay_received_bytes",
        "Bytes from other edges, of the own zone or another",
        relays.received.clone(),
    );
    registry.register(
        "relay_sent_bytes",
        "Bytes sent to other edges",
        relays.sent.clone(),
    );
    registry.register(
        "relay_switches",
        "Times that a camera was taken from another edge than before",
        relays.switches.clone(),
    );
    registry.register(
        "relay_resumes",
        "Such times that went on without a hole",
        relays.resumes.clone(),
    );
    registry.register(
        "relay_jumps",
        "Times that another edge was too slow and jumped to a key frame",
        relays.jumps.clone(),
    );
    registry.register(
        "relay_refused",
        "Connections for relays that were refused",
        relays.refused.clone(),
    );
}

/// Looks at the parts when it is asked, so that they need not keep gauges up to date.
struct Scrape {
    work: Work,
    status: Receiver<Status>,
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let status = self.status.borrow().clone();
        let load = self.work.load();
        let gauges = [
            (
                "streams",
                "Streams that carry media",
                i64::from(load.streams),
            ),
            ("viewers", "Viewers now", i64::from(load.viewers)),
            (
                "revision",
                "Revision of the desired state that is applied",
                status.revision,
            ),
            (
                "connected",
                "1 while the lease is renewed",
                i64::from(status.connected),
            ),
        ];
        for (name, help, value) in gauges {
            put(&mut encoder, name, help, &ConstGauge::new(value))?;
        }
        for (name, help, role) in [
            ("pulls", "Cameras placed here, by state", Role::Ingest),
            (
                "restreams",
                "Restreams placed here, by state",
                Role::Restream,
            ),
        ] {
            put(&mut encoder, name, help, &self.states(role))?;
        }
        Ok(())
    }
}

impl Scrape {
    fn states(&self, role: Role) -> Family<[(&'static str, &'static str); 1], Gauge> {
        let states = Family::<[(&str, &str); 1], Gauge>::default();
        for state in [
            SlotState::Idle,
            SlotState::Connecting,
            SlotState::Live,
            SlotState::Failed,
        ] {
            states.get_or_create(&[("state", state.as_str())]).set(0);
        }
        let reports = self.work.reports().into_iter();
        for report in reports.filter(|report| report.key.role == role) {
            let labels = [("state", report.state.as_str())];
            states.get_or_create(&labels).inc();
        }
        states
    }
}

fn put(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}
